"""What lies where in an output folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import is_temporary

__all__ = ["OutputFolder"]

#: Bytes of a name on usual file systems (255), less what is added to an id.
_LONGEST = 255 - len("_c0001.json")

#: Files that a picture may have beyond those that its record lists.
_EXTRAS = (
    ("uncertainty", ".png"),
    ("uncertainty", ".npz"),
    ("variation", ".png"),
    ("arviz", ".nc"),
    ("animations", ".gif"),
    ("animations", ".webp"),
    ("thumbnails", ".webp"),
    ("originals", ".webp"),
    ("masked", ".webp"),
)


#: Where the files of pictures go that are no longer those of the input.
SET_ASIDE = "set_aside"

#: What must be in a record to be one.
_RECORD = {
    *("id", "index", "label", "seed", "steps", "original", "input", "diversity", "completions"),
    *("curve", "settings", "generator", "bytes", "input_sha256"),
}
_COMPLETION = {
    *("chain", "composite", "raw", "first_energy", "last_energy", "known_psnr", "status"),
    "diagnostics",
}


class OutputFolder:
    """The files of one run. Every picture's files are named after its id; ``/`` makes sub-folders.

    ====================== ==================================================================
    ``composites/<id>``    the completion with the known pixels put back, at the original's size
    ``raw/<id>``           the full generated picture
    ``inputs/<id>.png``    what the generator was shown; transparent where masked
    ``uncertainty/<id>``   standard deviation over the chains, ``.png`` and ``.npz``
    ``variation/<id>.png`` the mean completion, moved along the chains' principal components
    ``animations/<id>``    the walk from noise to completion
    ``thumbnails/<id>``    what the gallery shows; of larger pictures also ``originals/<id>`` and
                           ``masked/<id>``, at the original's size
    ``records/<id>.json``  how it came about; written last, so it marks the picture as finished
    ``set_aside/``         finished pictures whose input has changed, been renamed or removed since
    ``run.json``           settings and generator of the run
    ====================== ==================================================================

    With several chains ``_c01``, ``_c02``, ... follow the id, the lowest energy first.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def file(self, kind: str, picture: str, suffix: str, rank: int = 0, chains: int = 1) -> Path:
        """Path of one of a picture's files; ``rank`` counts its completions from 0, best first."""
        if not picture or picture.startswith("/") or ".." in picture.split("/") or "\0" in picture:
            raise UserError(
                f"The picture id {picture!r} cannot be a file name: rename the picture."
            )
        digits = max(2, len(str(chains)))
        number = f"_c{rank + 1:0{digits}d}" if chains > 1 else ""
        return self.root / kind / f"{picture}{number}{suffix}"

    @staticmethod
    def usable(picture: str) -> bool:
        """Whether an id can name files: it stays in the folder, and no part of it is too long."""
        parts = picture.split("/")
        fits = all(0 < len(os.fsencode(part)) <= _LONGEST for part in parts)
        return fits and not {".", ".."} & set(parts) and "\0" not in picture

    def record(self, picture: str) -> Path:
        """Path of a picture's record."""
        return self.file("records", picture, ".json")

    def read_record(self, picture: str) -> dict[str, Any]:
        """The record of a finished picture."""
        return json.loads(self.record(picture).read_text())

    def find_record(self, picture: str) -> dict[str, Any] | None:
        """The record of a picture; None where there is none, or a damaged or foreign file."""
        try:
            record = self.read_record(picture)
        except (OSError, ValueError, RecursionError):
            return None
        return record if _is_record(record, picture) else None

    def recorded(self) -> Iterator[str]:
        """Ids of the pictures with a record, whole or damaged, in no particular order."""
        top = str(self.root / "records")
        for folder, _, names in os.walk(top):
            inner = os.path.relpath(folder, top).replace(os.sep, "/")
            prefix = "" if inner == "." else f"{inner}/"
            for name in names:
                if name.endswith(".json") and not name.startswith("."):
                    yield prefix + name.removesuffix(".json")

    def whole(self, record: dict[str, Any]) -> bool:
        """Whether all files that a record names are there, with as many bytes as it says."""
        return all(_size(self.root / name) == size for name, size in record["bytes"].items())

    def sweep(self) -> None:
        """Remove the unfinished files of killed processes; the folder must be this job's own."""
        for folder, _, names in os.walk(self.root):
            for name in filter(is_temporary, names):
                Path(folder, name).unlink(missing_ok=True)

    def forget(self, picture: str) -> None:
        """Remove a finished picture's files, its record first."""
        record = self.find_record(picture)
        self.record(picture).unlink(missing_ok=True)
        for path in self._files(picture, record):
            path.unlink(missing_ok=True)

    def set_aside(self, picture: str, record: dict[str, Any]) -> None:
        """Move a picture's files to the same places below ``set_aside/``, its record last."""
        for path in (*self._files(picture, record), self.record(picture)):
            target = self.root / SET_ASIDE / self.relative(path)
            if path.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)

    def extras(self, picture: str) -> list[Path]:
        """Files of a picture beside its completions that other callbacks have written so far."""
        kinds = (each for each in _EXTRAS if each[0] != "thumbnails")  # those come at the end
        return [
            path for path in (self.file(kind, picture, s) for kind, s in kinds) if path.exists()
        ]

    def _files(self, picture: str, record: dict[str, Any] | None) -> list[Path]:
        named = [] if record is None else [self.root / name for name in record["bytes"]]
        other = [self.file(kind, picture, suffix) for kind, suffix in _EXTRAS]
        return list(dict.fromkeys([*named, *other]))

    def relative(self, path: Path) -> str:
        """A path as it is stored in records: relative to the folder, with forward slashes."""
        return path.relative_to(self.root).as_posix()


def _is_record(value: Any, picture: str) -> bool:
    """Whether JSON is the record of this picture, with all that is read from it."""
    if not (isinstance(value, dict) and value.keys() >= _RECORD and value["id"] == picture):
        return False
    sizes, made = value["bytes"], value["completions"]
    named = isinstance(sizes, dict) and all(".." not in Path(name).parts for name in sizes)
    listed = isinstance(made, list) and made and all(isinstance(each, dict) for each in made)
    return bool(named and listed and all(each.keys() >= _COMPLETION for each in made))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size or None  # an empty file is none
    except OSError:
        return None
