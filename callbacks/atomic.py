"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import UserError

__all__ = ["explained", "write_bytes", "write_json", "write_text"]

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
        cause = _CAUSES.get(error.errno or 0, error.strerror or str(error))
        raise UserError(
            f"Cannot write {path}, because {cause}, then start the same command again "
            "(finished pictures are kept)."
        ) from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name in its folder, then rename it.

    The temporary name follows from ``path`` alone, so that whoever writes the file again after a
    crash also takes the remains of the first attempt away. Missing folders are made.

    Raises:
        UserError: The file cannot be written: disk full, read-only, a name too long.
    """
    short = hashlib.sha256(path.name.encode(errors="surrogateescape")).hexdigest()[:20]
    temporary = path.with_name(f".{short}.tmp")  # as the name itself may be as long as names can be
    with explained(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            os.replace(temporary, path)
        except BaseException:  # also ctrl-C and SIGTERM, which arrive anywhere
            with suppress(OSError):
                temporary.unlink()
            raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON (no NaN), one item per line; see :func:`write_bytes`."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
