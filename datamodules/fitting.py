"""A picture of any size and its mask, brought to the generator's resolution.

Polarity is the user's: mask 255 (or 1) = fill. What lies in the hole never leaks into the known
pixels: a pixel of the small picture is the mean of the *known* pixels that it covers.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from ..images.source import PictureInfo, Source
from .holes import Square, squares_around
from .references import PictureError

__all__ = ["FITS", "Fit", "Fitted", "fit_picture", "fitted_box", "full_mask"]

Fit = Literal["resize", "crop", "around"]
FITS: tuple[Fit, ...] = get_args(Fit)

_STRIP = 256  # rows weighted at a time
_LEAST = 1e-4  # known (or hidden) share of a pixel below which it is rounding


class Fitted(NamedTuple):
    """A picture ready for the generator.

    Attributes:
        image: uint8 (R, R, 3).
        mask: float32 (R, R) in [0, 1], 1 = fill.
        source: the original, or None if `image` is the original and has no profile or the like.
    """

    image: np.ndarray
    mask: np.ndarray
    source: Source | None

    @property
    def enlargement(self) -> float:
        """How many pixels of the original a pixel of the completion becomes, along the longer side."""
        if self.source is None:
            return 1.0
        left, top, right, bottom = self.source.box
        return max((right - left) / self.mask.shape[1], (bottom - top) / self.mask.shape[0])


def fit_picture(
    image: np.ndarray,
    mask: np.ndarray,
    resolution: int,
    fit: Fit = "resize",
    *,
    name: str = "picture",
    mask_name: str = "the mask",
    info: PictureInfo | None = None,
) -> list[Fitted]:
    """Fit a picture and its mask to R x R pixels.

    Args:
        image: uint8 (H, W, C).
        mask: uint8, 255 = fill, of the picture's size (H, W) or of the generator's (R, R).
        resolution: R.
        fit: `resize` squeezes the whole picture into the square; `crop` takes the largest centred
            square, and nothing outside of it is ever filled; `around` takes a square around each hole, see
            `squares_around`.
        name: the picture, for messages and as the path of the source.
        mask_name: the mask, for messages.
        info: profile, EXIF and resolution of the file.

    Returns:
        One, or with `around` one for each of the picture's holes, the largest first.

    Raises:
        PictureError: if the mask has another size.
    """
    height, width = image.shape[:2]
    small = (resolution, resolution)
    if mask.shape not in ((height, width), small):
        raise PictureError(
            f"{name}: {mask_name} has {mask.shape[1]} x {mask.shape[0]} pixels and must have the "
            f"picture's {width} x {height} or the generator's {resolution} x {resolution}."
        )
    if (height, width) == small:
        source = None if info is None else Source(name, image, mask, (0, 0, width, height), info)
        return [Fitted(image, mask.astype(np.float32) / 255, source)]
    if fit == "around":
        full = full_mask(mask, height, width)
        squares = squares_around(full, resolution) or [Square((0, 0, width, height), None)]
        return [
            _fitted(image, full, None, Source(name, image, full, box, info, holes), resolution)
            for box, holes in squares
        ]
    box = fitted_box(height, width, fit)
    if mask.shape == small:  # drawn on the generator's grid: stays as it is there
        hole = mask.astype(np.float32) / 255
        full = full_mask(mask, height, width, box)
        return [_fitted(image, full, hole, Source(name, image, full, box, info), resolution)]
    return [_fitted(image, mask, None, Source(name, image, mask, box, info), resolution)]


def full_mask(
    mask: np.ndarray, height: int, width: int, box: tuple[int, int, int, int] | None = None
) -> np.ndarray:
    """A mask of the generator's size at that of the picture, in a box or all over it."""
    if mask.shape == (height, width):
        return mask
    left, top, right, bottom = box or (0, 0, width, height)
    full = np.zeros((height, width), np.uint8)
    full[top:bottom, left:right] = _nearest(mask, bottom - top, right - left)
    return full


def _fitted(
    image: np.ndarray, full: np.ndarray, hole: np.ndarray | None, source: Source, resolution: int
) -> Fitted:
    left, top, right, bottom = source.box
    inside, covered = image[top:bottom, left:right], full[top:bottom, left:right]
    if hole is None:
        hole = np.clip(_resize(covered / np.float32(255), resolution), 0, 1)
        hole[hole < _LEAST] = 0
    weight = _resize(_known(covered), resolution)
    hole[weight < _LEAST] = 1  # covers no known pixel, whatever was drawn
    return Fitted(_known_mean(inside, covered, weight, hole), hole, source)


def _known(covered: np.ndarray) -> np.ndarray:
    """Share of each pixel that is known: float32, 1 = known, from uint8, 255 = fill."""
    return 1 - covered.astype(np.float32) / 255


def fitted_box(height: int, width: int, fit: Fit) -> tuple[int, int, int, int]:
    """The region of a picture that is fitted to the square, (left, top, right, bottom)."""
    if fit != "crop":
        return 0, 0, width, height
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def _nearest(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    image = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(image)


def _resize(plane: np.ndarray, resolution: int) -> np.ndarray:
    """Resize a float plane with non-negative weights: area means down, bilinear up."""
    down = min(plane.shape) >= resolution
    kind = Image.Resampling.BOX if down else Image.Resampling.BILINEAR
    image = Image.fromarray(plane.astype(np.float32, copy=False))
    return np.array(image.resize((resolution, resolution), kind))


def _known_mean(
    image: np.ndarray, covered: np.ndarray, weight: np.ndarray, hole: np.ndarray
) -> np.ndarray:
    """Resize with the known pixels as weights; what is all hole shows the original's own mean."""
    planes = []
    # Channel by channel, and weighted in strips: an 8k picture takes 256 MiB for each plane of floats.
    for channel in range(image.shape[2]):
        plane = image[..., channel].astype(np.float32)
        whole = _resize(plane, len(hole))
        for top in range(0, len(plane), _STRIP):
            rows = slice(top, top + _STRIP)
            plane[rows] *= _known(covered[rows])
        mean = _resize(plane, len(hole)) / np.maximum(weight, _LEAST)
        planes.append(np.where(hole < 1, mean, whole))
    return np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255).astype(np.uint8)
