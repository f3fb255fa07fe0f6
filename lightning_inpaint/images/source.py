"""The full-size original that a completion goes back into."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

__all__ = ["Holes", "LateOriginal", "Patch", "PictureInfo", "Source", "metadata"]


class PictureInfo(NamedTuple):
    """What a picture file says beside its pixels, and a completion keeps.

    Attributes:
        icc: colour profile.
        exif: EXIF block, its orientation reset (the pixels are upright already).
        dpi: resolution in pixels per inch, across and down.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None


class Holes(NamedTuple):
    """Which part of a mask a completion fills, where another one fills the rest.

    Attributes:
        cells: bool ``(h, w)``, True = this part, each entry for a square of the picture.
        side: of that square, in pixels.
    """

    cells: np.ndarray
    side: int

    def within(self, window: tuple[slice, slice]) -> np.ndarray:
        """bool, of the size of a window of the picture: True = this part."""
        rows, columns = (np.arange(part.start, part.stop) // self.side for part in window)
        return self.cells[np.ix_(rows, columns)]


class Source:
    """The full-size original of a picture that was fitted to the generator's resolution.

    (No dataclass: Lightning would take it apart when it moves a batch to its device.)

    Attributes:
        path: Where the picture was read from, for messages.
        image: uint8 array ``(H, W, C)`` at the original size.
        mask: uint8 array ``(H, W)``, 255 = fill, 0 = known, values between blend.
        box: ``(left, top, right, bottom)``: the region of the original, in its pixels, that was
            fitted to the generator.
        info: Colour profile, EXIF and resolution of the file.
        holes: The part of the mask that is filled from here; None = all of it that is in the box.
        patches: The completions of the other holes of the picture.
    """

    def __init__(
        self,
        path: str,
        image: np.ndarray,
        mask: np.ndarray,
        box: tuple[int, int, int, int],
        info: PictureInfo | None = None,
        holes: Holes | None = None,
        patches: tuple[Patch, ...] = (),
    ) -> None:
        self.path, self.image, self.mask, self.box = path, image, mask, box
        self.info, self.holes, self.patches = info, holes, patches

    def with_patches(self, patches: tuple[Patch, ...]) -> Source:
        """The same with the completions of its other holes."""
        other = copy(self)
        other.patches = patches
        return other

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.image.shape[1], self.image.shape[0]


class LateOriginal(Source):
    """A `Source` that reads picture and mask when they are asked for; the last original is kept.

    A batch of photographs would fill the memory: 24 megapixels take 96 MB with their mask.

    Args:
        source: what it stands for.
        load: reads picture and mask anew; equal ones read the same.
    """

    def __init__(self, source: Source, load: Callable[[], tuple[np.ndarray, np.ndarray]]) -> None:
        self.path, self.box, self.info = source.path, source.box, source.info
        self.holes, self.patches = source.holes, source.patches
        self._size, self._load = source.size, load

    def __getattribute__(self, name: str) -> Any:
        if name in ("image", "mask"):
            image, mask = _latest(self._load)
            return image if name == "image" else mask
        return super().__getattribute__(name)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self._size


class Patch(NamedTuple):
    """Completions of another hole of the same picture.

    Attributes:
        source: the same original with another box.
        raw: uint8 ``(K, C, h, w)``, the full generated pictures, lowest energy first.
    """

    source: Source
    raw: Tensor


@lru_cache(maxsize=1)
def _latest(load: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return load()


def metadata(info: PictureInfo | None) -> dict[str, Any]:
    """What Pillow's ``save`` takes to keep a file's profile, EXIF and resolution."""
    if info is None:
        return {}
    kept = {"icc_profile": info.icc, "exif": info.exif, "dpi": info.dpi}
    return {key: value for key, value in kept.items() if value is not None}
