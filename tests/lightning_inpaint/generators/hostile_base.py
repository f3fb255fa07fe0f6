"""Common to the hostile files: their table, and pickles written by hand.

``FILES`` maps a name (its ending is the file's) to a function from a *mark* to the file's bytes: code
that is run anywhere creates the file ``mark``.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

Maker = Callable[[Path], bytes]
FILES: dict[str, Maker] = {}

CONFIG: dict[str, Any] = {
    "z_dim": 4,
    "w_dim": 4,
    "resolution": 8,
    "mapping_layers": 1,
    "channel_base": 32,
    "channel_max": 4,
}


def file(name: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        FILES[name] = maker
        return maker

    return register


def network() -> StyleGAN2Generator:
    return StyleGAN2Generator(**CONFIG).eval().requires_grad_(False)


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


FLOAT = named("torch", "FloatStorage")


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """Protocol-2 pickle of a call with already pickled arguments."""
    return b"\x80\x02" + named(module, name) + b"(" + b"".join(arguments) + b"tR."


def run_on(mark: Path) -> dict[str, bytes]:
    """Arguments that would leave the mark."""
    python = f"open({str(mark)!r}, 'w').close()"
    return {"shell": text(f"touch {mark}"), "python": text(python), "mark": text(str(mark))}


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()
