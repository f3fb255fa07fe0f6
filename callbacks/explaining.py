"""Errors of the disk under an output folder, in one sentence that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import files
from ..errors import UserError

__all__ = ["explained", "persist", "write_bytes", "write_json", "write_text"]

_CAUSES = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EROFS: "the file system is read-only: pass another --output_dir",
    errno.EACCES: "permission is denied: change the folder's permissions or pass another --output_dir",
    errno.EPERM: "permission is denied: change the folder's permissions or pass another --output_dir",
    errno.ENOTDIR: "a file is where a folder is needed: move it or pass another --output_dir",
    errno.EEXIST: "a file is where a folder is needed: move it or pass another --output_dir",
    errno.EISDIR: "a folder is where the file is to go: move it or pass another --output_dir",
    errno.ENAMETOOLONG: "the name is too long for the file system: shorten the picture's name",
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an operating system's error about ``path`` into one sentence that says what to do."""
    try:
        yield
    except OSError as error:
        said = f"of an error ({error.strerror or error}): pass another --output_dir"
        cause = _CAUSES.get(error.errno or 0, said)
        raise UserError(
            f"Cannot write {path}, because {cause}, then start the same command again "
            "(finished pictures are kept)."
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """:func:`lightning_inpaint.files.write_bytes` for files of an output folder.

    Raises:
        UserError: The file cannot be written: disk full, read-only, a name too long.
    """
    with explained(path):
        files.write_bytes(path, data)


def persist(paths: Iterable[Path]) -> None:
    """:func:`lightning_inpaint.files.persist` for files of an output folder.

    Raises:
        UserError: The disk has lost one of them.
    """
    paths = list(paths)
    with explained(paths[0] if paths else Path()):
        files.persist(paths)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON; see :func:`write_bytes`."""
    with explained(path):
        files.write_json(path, value)
