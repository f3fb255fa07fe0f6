"""Serving the page, to this machine alone unless asked otherwise."""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, UserError

__all__ = ["serve"]

WAITING = 8  # visitors in the queue


def serve(
    generators: Sequence[str] = ("cifar10",),
    host: str = "127.0.0.1",
    port: int = 7860,
    block: bool = True,
) -> Any:
    """Serve the page until it is interrupted; nothing is asked for on the network.

    Args:
        generators: names, files or addresses that the page offers, the first by default.
        host: address to listen at; 127.0.0.1 is this machine alone.
        port: to listen at, 0 = any free one.
        block: whether to wait until the server is stopped; else the page is returned, to be closed.

    Raises:
        UserError: gradio is missing, a generator cannot be loaded, or the port is taken.
    """
    if not 0 <= port <= 65535:
        raise ArgumentError(f"`port` is {port}, and must be 0 to 65535.", "")
    # Read when gradio is imported: no telemetry, no look for a newer version, no font.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"the page needs gradio ({error}): pip install 'lightning-inpaint[app]'."
        ) from None
    from .page import CSS, build_page, theme

    folder = tempfile.TemporaryDirectory(prefix="lightning-inpaint-")
    os.environ["GRADIO_TEMP_DIR"] = str(_uploads())
    blocks = build_page(generators, Path(folder.name))
    blocks.queue(max_size=WAITING)
    try:
        _, address, _ = blocks.launch(
            server_name=host,
            server_port=port or _free_port(host),
            share=False,
            inbrowser=False,
            quiet=True,
            ssr_mode=False,
            enable_monitoring=False,
            footer_links=[],
            max_file_size="64mb",
            allowed_paths=[folder.name],
            prevent_thread_lock=True,
            theme=theme(),
            css=CSS,
        )
    except OSError as error:
        folder.cleanup()
        raise UserError(f"port {port} at {host} is taken: give another (--port 0: any).") from error
    blocks.lightning_inpaint_folder = folder  # type: ignore[attr-defined]  # lives as long as the page
    print(f"{address} (Ctrl-C ends it)", flush=True)
    if block:
        blocks.block_thread()
        folder.cleanup()
    return blocks


@cache
def _uploads() -> Path:
    """Where gradio keeps files: it knows one folder for all pages of a process."""
    folder = tempfile.TemporaryDirectory(prefix="lightning-inpaint-uploads-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _free_port(host: str) -> int:
    import socket

    with socket.socket() as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])
