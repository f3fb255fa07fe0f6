"""Which pictures a folder or zip holds: names only, nothing is decoded here.

Ids become file names of the output, so they are made safe here: no `..`, no control characters,
no two alike even on a file system that ignores case.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import ArgumentError
from .pictures import heif_available
from .references import FileRef, open_zip, printable

__all__ = ["Listing", "list_pictures", "number_repeats", "safe_id", "unique_ids"]

SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".avifs", ".gif", ".mpo"}
    | {".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c", ".bmp", ".dib", ".tif", ".tiff", ".ico"}
    | {
        ".tga",
        ".icb",
        ".vda",
        ".vst",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".pfm",
        ".psd",
        ".dds",
        ".qoi",
    }
    | {".sgi", ".bw", ".rgb", ".rgba", ".pcx", ".icns"}
)
HEIF = frozenset({".heic", ".heif", ".hif"})  # read where pillow-heif is installed
# Pictures that cannot be read: left out with a word, not passed over in silence.
UNREADABLE = frozenset(
    {".jxl", ".psb", ".xcf", ".exr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"}
    | {
        ".eps",
        ".ps",
        ".svg",
        ".wmf",
        ".emf",
        ".fli",
        ".flc",
        ".blp",
        ".cur",
        ".dcx",
        ".fit",
        ".fits",
    }
    | {".ftc", ".ftu", ".im", ".msp", ".pcd", ".pxr", ".ras", ".xbm", ".xpm"}
)
# First bytes of the common formats, for pictures whose name does not say what they are.
_MAGIC = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|BM.{4}\0\0\0\0|RIFF.{4}WEBP|II\*\0|MM\0\*", re.DOTALL
)


class Listing(NamedTuple):
    """What a folder or zip holds.

    Attributes:
        files: (relative name, file), sorted by name.
        skipped: (id, one-line reason) of what looks like a picture by its name only.
    """

    files: list[tuple[str, FileRef]]
    skipped: list[tuple[str, str]]


def list_pictures(root: Path, argument: str, exclude: Path | None = None) -> Listing:
    """List the pictures of a folder (with sub-folders), zip, or single file, sorted by name.

    Hidden files and `__MACOSX` are left out; files of another kind are ignored unless their first
    bytes say that they are pictures.

    Args:
        root: the folder, zip or picture.
        argument: of a data module, that named it; for errors.
        exclude: a folder inside `root` to leave out (that of the masks).

    Raises:
        UserError: if `root` does not exist or is a broken zip.
    """
    if root.is_dir():
        return _sorted(_walk(root, exclude))
    if not root.is_file():
        raise ArgumentError(f"{root}: no such file or folder (`{argument}`).", "data")
    if root.suffix.lower() == ".zip":
        return _sorted(_members(root))
    return Listing([(root.name, FileRef(str(root)))], [])


Found = tuple[str, FileRef | str]  # relative name, and either the file or the reason against it


def _sorted(found: Iterator[Found]) -> Listing:
    listing = Listing([], [])
    for name, what in sorted(found, key=lambda item: item[0]):
        if isinstance(what, FileRef):
            listing.files.append((name, what))
        else:
            listing.skipped.append((safe_id(name), what))
    return listing


def _hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _walk(root: Path, exclude: Path | None) -> Iterator[Found]:
    excluded = exclude.resolve() if exclude else None
    seen: set[str] = set()
    closed: list[OSError] = []
    for folder, folders, names in os.walk(root, followlinks=True, onerror=closed.append):
        real = os.path.realpath(folder)
        if real in seen:  # a symbolic link to a folder above
            folders.clear()
            continue
        seen.add(real)
        if excluded and excluded != root.resolve():
            folders[:] = [name for name in folders if Path(folder, name).resolve() != excluded]
        relative = os.path.relpath(folder, root)
        prefix = "" if relative == "." else relative.replace(os.sep, "/") + "/"
        if _hidden(PurePosixPath(prefix).parts):
            folders.clear()
            continue
        if not names and not folders and PurePosixPath(prefix).suffix.lower() in SUFFIXES:
            yield prefix[:-1], f"{printable(folder)}: this is an empty folder, not a picture."
        for name in names:
            file = FileRef(os.path.join(folder, name))
            if name.startswith("."):
                continue
            if unreadable := _unreadable(file):
                yield prefix + name, unreadable
            elif _is_picture(file):
                yield prefix + name, file
    for error in closed:
        yield (
            os.path.relpath(error.filename, root).replace(os.sep, "/"),
            f"{printable(str(error.filename))}: this folder cannot be read: {error.strerror}.",
        )


def _members(path: Path) -> Iterator[Found]:
    archive = open_zip(str(path), os.getpid())
    for member in dict.fromkeys(archive.namelist()):
        name, file = member.replace("\\", "/"), FileRef(member, str(path))
        parts = PurePosixPath(name).parts
        if name.endswith("/") or _hidden(tuple(part for part in parts if part != "..")):
            continue
        if unreadable := _unreadable(file):
            yield name, unreadable
            continue
        if not _is_picture(file):
            continue
        if ".." in parts or name.startswith("/"):
            yield name, f"{file}: a name in a zip must not lead out of it."
        else:
            yield name, file


def _unreadable(file: FileRef) -> str:
    """Why a file that is a picture by its name cannot be read; empty where it can, or is none."""
    suffix = PurePosixPath(file.name).suffix.lower()
    if suffix in UNREADABLE or (suffix in HEIF and not heif_available()):
        what = suffix[1:].upper()
        more = ", or install pillow-heif" if suffix in HEIF else ""
        return f"{file}: {what} cannot be read: save it as JPEG, PNG or TIFF{more}."
    return ""


def _is_picture(file: FileRef) -> bool:
    if PurePosixPath(file.name).suffix.lower() in SUFFIXES | HEIF:
        return True
    try:
        return _MAGIC.match(_first_bytes(file)) is not None
    except (OSError, RuntimeError, zipfile.BadZipFile):
        return False


def _first_bytes(file: FileRef) -> bytes:
    if file.archive:
        with open_zip(file.archive, os.getpid()).open(file.name) as stream:
            return stream.read(16)
    if not stat.S_ISREG(os.stat(file.name).st_mode):
        return b""
    with open(file.name, "rb") as stream:
        return stream.read(16)


def stem(name: str) -> str:
    """Relative name without its picture extension: `cat/0001.jpg` becomes `cat/0001`."""
    suffix = PurePosixPath(name).suffix
    known = SUFFIXES | HEIF | UNREADABLE
    return name[: -len(suffix)] if suffix.lower() in known else name


def safe_id(name: str) -> str:
    """Make a relative name fit for an output file: percent-code what a name should not hold.

    Bytes that are not UTF-8, control characters, backslashes and colons are coded; `..`, `.` and
    empty parts vanish; a folder called `x.png` becomes `x_png`, since the output of a picture
    called `x` may be a file of that name.
    """
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    folders = [_coded(_folder(part)) for part in parts[:-1]]
    return "/".join([*folders, _coded(parts[-1])] if parts else ["picture"])


def _folder(part: str) -> str:
    taken = PurePosixPath(part).suffix.lower() in SUFFIXES | {".json", ".npz"}
    return "_".join(part.rsplit(".", 1)) if taken else part


def _coded(part: str) -> str:
    def code(match: re.Match[str]) -> str:
        number = ord(match[0])
        if 0xDC80 <= number <= 0xDCFF:  # how Python spells a byte that is not UTF-8
            return f"%{number - 0xDC00:02X}"
        return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))

    return re.sub(r'[\x00-\x1f\x7f\\:*?"<>|\ud800-\udfff]', code, part)


def unique_ids(names: list[str]) -> list[str]:
    """Ids for relative names with extension: the stem, or `stem_ext` for those whose stems collide.

    `a.png` and `a.jpg` become `a_png` and `a_jpg` whatever their order; what still collides, or
    would on a file system that ignores case, gets `~2`, `~3`, ...
    """
    stems = [safe_id(stem(name)) for name in names]
    counts: dict[str, int] = {}
    for key in map(_folded, stems):
        counts[key] = counts.get(key, 0) + 1
    ids = []
    for name, short in zip(names, stems, strict=True):
        suffix = PurePosixPath(name).suffix[1:]
        ids.append(f"{short}_{suffix}" if counts[_folded(short)] > 1 and suffix else short)
    return number_repeats(ids)


def number_repeats(names: list[str]) -> list[str]:
    """Append `~2`, `~3`, ... to names that occurred before, letter case and accents' form aside."""
    taken: set[str] = set()
    result = []
    for name in names:
        number, candidate = 1, name
        while _folded(candidate) in taken:
            number += 1
            candidate = f"{name}~{number}"
        taken.add(_folded(candidate))
        result.append(candidate)
    return result


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
