"""Files that appear whole or not at all: the one place that writes what others will read."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = [
    "is_temporary",
    "persist",
    "settle",
    "whole_file",
    "write_bytes",
    "write_json",
    "write_text",
]

_NUMBERS = itertools.count()
_NAME = re.compile(r"\.[0-9a-f]{16}-[0-9a-f]{8}-\d+-\d+\.tmp")


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file under a temporary name of its own in the same folder, then rename it.

    Readers see the old file or the new one, never a part; of several writers the last one wins.
    Missing folders are made. Nothing waits for the disk; see :func:`persist`.

    Args:
        path: file to write.
        data: its bytes.

    Raises:
        OSError: it cannot be written; what was there is kept.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:  # also ctrl-C and SIGTERM, which arrive anywhere
        with suppress(OSError):
            temporary.unlink()
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text; see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write strict JSON (no NaN), one item per line; see :func:`write_bytes`."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, for libraries that want one; it becomes ``path`` at the end.

    Durable. What killed processes of this machine have left of the same file is removed: such
    files are large.

    Raises:
        OSError: it cannot be written; what was there is kept.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_remains(path)
    temporary = _temporary(path)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        settle(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def settle(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can tell."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # a folder cannot be opened on some systems
        return
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def persist(paths: Iterable[Path]) -> None:
    """Wait until files and their names are on the disk; much faster for many at once.

    Raises:
        OSError: the disk reports that it has lost one of them.
    """
    folders = set()
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
        folders.add(path.parent)
    for folder in folders:
        settle(folder)


def is_temporary(name: str) -> bool:
    """Whether a file's name is one that this module gives to unfinished files."""
    return _NAME.fullmatch(name) is not None


def _temporary(path: Path) -> Path:
    """A name that no other writer has; short, as the file's own may be as long as names can be."""
    return path.with_name(f"{_prefix(path)}{os.getpid()}-{next(_NUMBERS)}.tmp")


def _prefix(path: Path) -> str:
    name = hashlib.sha256(path.name.encode(errors="surrogateescape")).hexdigest()[:16]
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    return f".{name}-{host}-"


def _remove_remains(path: Path) -> None:
    prefix = _prefix(path)
    for other in path.parent.glob(f"{prefix}*.tmp"):
        pid = int(other.name.removeprefix(prefix).partition("-")[0])
        if not _alive(pid):
            with suppress(OSError):
                other.unlink()


def _alive(pid: int) -> bool:
    if os.name != "posix":  # elsewhere signal 0 is no question
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
