"""Files in folders and in zips, by reference: what they are called and what is in them."""

from __future__ import annotations

import os
import stat
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError

__all__ = ["FileRef", "PictureError", "open_zip", "printable"]

_MAX_BYTES = 2**30  # of one file inside a zip, which could unpack to anything


class PictureError(UserError):
    """One picture (or its mask) cannot be used; the job goes on without it."""


class FileRef(NamedTuple):
    """A file in a folder (`archive` None, `name` a path) or a member of a zip."""

    name: str
    archive: str | None = None

    def __str__(self) -> str:
        return printable(self.name if self.archive is None else f"{self.archive}/{self.name}")

    def read(self) -> bytes:
        """The bytes of the file; raises PictureError where there are none to be had."""
        data = _read_member(self) if self.archive else _read_file(self)
        if not data:
            raise PictureError(f"{self}: the file is empty (0 bytes).")
        return data


def printable(path: str) -> str:
    """A path in one line that any terminal, table or JSON file can hold; odd bytes are escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in path)


def _read_file(file: FileRef) -> bytes:
    path = Path(file.name)
    try:
        mode = path.stat().st_mode
        # A named pipe or device called x.png would make open() wait for ever.
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise PictureError(f"{file}: this is {what}, not a picture.")
        return path.read_bytes()
    except FileNotFoundError:
        what = "broken symbolic link" if path.is_symlink() else "no such file"
        raise PictureError(f"{file}: {what}.") from None
    except PermissionError:
        raise PictureError(f"{file}: permission denied.") from None
    except OSError as error:
        raise PictureError(f"{file}: {error.strerror or error}.") from None
    except ValueError as error:  # a list can hold names that no file can have
        raise PictureError(f"{file}: {error}.") from None


def _read_member(file: FileRef) -> bytes:
    archive = open_zip(str(file.archive), os.getpid())
    try:
        if archive.getinfo(file.name).file_size > _MAX_BYTES:
            raise PictureError(f"{file}: unpacks to more than {_MAX_BYTES >> 20} MiB, not read.")
        return archive.read(file.name)
    except RuntimeError as error:  # also NotImplementedError
        what = "it is encrypted" if "encrypted" in str(error) else str(error)
        raise PictureError(f"{file}: cannot be unpacked: {what}.") from None
    except (KeyError, OSError, EOFError, zipfile.BadZipFile, ValueError) as error:
        raise PictureError(f"{file}: cannot be unpacked: {error}.") from None
    except Exception as error:  # zlib, lzma and bz2 each have an exception of their own
        raise PictureError(f"{file}: damaged in the zip: {error}.") from None


@lru_cache(maxsize=8)
def open_zip(path: str, pid: int) -> zipfile.ZipFile:
    """Open a zip once per process (a handle shared across a fork would share its position).

    Raises:
        UserError: if it is not a zip.
    """
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be opened as a zip file: {error}.") from None
