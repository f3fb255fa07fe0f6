"""Which mask belongs to which picture, for masks that come as files (white = fill)."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np

from ..errors import ArgumentError
from .listing import list_pictures, stem
from .pictures import read_alpha, read_mask
from .references import FileRef, PictureError, printable

__all__ = ["AlphaMasks", "MaskProvider", "MaskVariant", "PairedMasks", "PictureKey", "SingleMask"]

_SUFFIX = re.compile(r"(?P<stem>.+?)(?P<suffix>[_-]mask\d*)", re.DOTALL)


class PictureKey(NamedTuple):
    """What a picture is paired by.

    Attributes:
        name: its path below the folder, zip or list without extension: `cat/0001`.
        root: the folder around all pictures, with its slash; empty if there is none.
        file: the picture itself, None if it is not a file.
    """

    name: str
    root: str = ""
    file: FileRef | None = None


class MaskVariant(NamedTuple):
    """One mask of one picture: what it adds to the picture's id, and its file if it has one."""

    suffix: str = ""
    file: FileRef | None = None


class MaskProvider(Protocol):
    """Where the masks of a job come from."""

    @property
    def from_files(self) -> bool:
        """True where somebody drew the masks, so that a look at their polarity is worthwhile."""
        ...

    def variants(self, picture: PictureKey) -> list[MaskVariant]:
        """The masks of a picture; raises PictureError if it has none."""
        ...

    def load(self, variant: MaskVariant, picture_id: str, resolution: int) -> np.ndarray:
        """Mask uint8 (H, W), 255 = fill; generated kinds have H = W = resolution."""
        ...


def split_mask_suffix(name: str) -> tuple[str, str]:
    """Split `cat/0001_mask002` into `cat/0001` and `_mask002`; the second is empty without one."""
    match = _SUFFIX.fullmatch(name)
    return (match["stem"], match["suffix"]) if match else (name, "")


def pairing_key(name: str) -> str:
    """The same key for a name written with composed or decomposed accents (macOS zips differ)."""
    return unicodedata.normalize("NFC", name)


class SingleMask:
    """One mask file for every picture; it is read when first needed."""

    from_files = True

    def __init__(self, path: Path) -> None:
        self.file = FileRef(str(path))

    def variants(self, picture: PictureKey) -> list[MaskVariant]:
        """The one mask."""
        return [MaskVariant("", self.file)]

    def load(self, variant: MaskVariant, picture_id: str, resolution: int) -> np.ndarray:
        """The mask, uint8 (H, W), 255 = fill."""
        return _recent_mask(self.file).copy()


@lru_cache(maxsize=2)
def _recent_mask(file: FileRef) -> np.ndarray:
    return read_mask(file)


class AlphaMasks:
    """The transparent part of each picture is its hole."""

    from_files = True

    def variants(self, picture: PictureKey) -> list[MaskVariant]:
        """The picture's own alpha channel."""
        if picture.file is None:
            raise ArgumentError(
                "`masks=alpha` needs picture files: use `data=FolderMasks`.", "data"
            )
        return [MaskVariant("", picture.file)]

    def load(self, variant: MaskVariant, picture_id: str, resolution: int) -> np.ndarray:
        """Read the mask: uint8 (H, W), 255 (fill) where the picture is fully transparent."""
        assert variant.file is not None
        return np.uint8(255) - read_alpha(variant.file)


class PairedMasks:
    """Masks in a folder or zip, paired by relative stem.

    Picture `cat/0001.jpg` takes `cat/0001.png`, and each of `cat/0001_mask.png`,
    `cat/0001_mask001.png`, ...: one job per mask, whose id ends in the mask's suffix. A single
    folder around everything (as zips often have) may be there on either side or not.
    """

    from_files = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._by_key: dict[str, list[MaskVariant]] = {}
        listing = list_pictures(path, "masks")
        if not listing.files:
            raise ArgumentError(f"{path}: there are no masks in it (`masks`).", "data")
        names = [stem(name) for name, _ in listing.files]
        self._root = common_root(names)
        for name, (_, file) in zip(names, listing.files, strict=True):
            self._add(name, "", file)
            base, suffix = split_mask_suffix(name)
            if suffix:
                self._add(base, suffix, file)

    def _add(self, name: str, suffix: str, file: FileRef) -> None:
        self._by_key.setdefault(pairing_key(name), []).append(MaskVariant(suffix, file))

    def variants(self, picture: PictureKey) -> list[MaskVariant]:
        """The masks of a picture, in the order of their names.

        Raises:
            PictureError: if it has none.
        """
        key = pairing_key(picture.name)
        short = key.removeprefix(pairing_key(picture.root))
        for candidate in (key, self._root + key, short, self._root + short):
            # With pictures and masks in one folder, a picture is not its own mask.
            found = [v for v in self._by_key.get(candidate, []) if v.file != picture.file]
            if found:
                return found
        name = PurePosixPath(key).name
        raise PictureError(
            printable(f"{key}: no mask in {self.path} ({key}.png or {name}_mask*.png)")
        )

    def load(self, variant: MaskVariant, picture_id: str, resolution: int) -> np.ndarray:
        """Read the mask: uint8 (H, W), 255 = fill."""
        assert variant.file is not None
        return read_mask(variant.file)


def common_root(names: list[str]) -> str:
    """The folder that holds everything, with its slash, or an empty string."""
    first = {name.partition("/")[0] for name in names}
    return f"{first.pop()}/" if len(first) == 1 and all("/" in name for name in names) else ""
