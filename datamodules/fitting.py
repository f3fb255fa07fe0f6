"""A picture of any size and its mask, brought to the generator's resolution.

Polarity is the user's: mask 255 (or 1) = fill. What lies in the hole never leaks into the known
pixels: a pixel of the small picture is the mean of the *known* pixels that it covers.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from ..images.source import Source
from .pictures import PictureError

__all__ = ["FITS", "Fit", "Fitted", "fit_picture"]

Fit = Literal["resize", "crop"]
FITS: tuple[Fit, ...] = get_args(Fit)

_LEAST = 1e-4  # known (or hidden) share of a pixel below which it is rounding


class Fitted(NamedTuple):
    """A picture ready for the generator.

    Attributes:
        image: uint8 (R, R, 3).
        mask: float32 (R, R) in [0, 1], 1 = fill.
        source: the original, or None if `image` is the original.
    """

    image: np.ndarray
    mask: np.ndarray
    source: Source | None


def fit_picture(
    image: np.ndarray,
    mask: np.ndarray,
    resolution: int,
    fit: Fit = "resize",
    *,
    name: str = "picture",
    mask_name: str = "the mask",
) -> Fitted:
    """Fit a picture and its mask to R x R pixels.

    Args:
        image: uint8 (H, W, 3).
        mask: uint8, 255 = fill, of the picture's size (H, W) or of the generator's (R, R).
        resolution: R.
        fit: `resize` squeezes the whole picture into the square; `crop` takes the largest centred
            square, and nothing outside of it is ever filled.
        name: the picture, for messages and as the path of the source.
        mask_name: the mask, for messages.

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
        return Fitted(image, mask.astype(np.float32) / 255, None)
    left, top, right, bottom = box = _box(height, width, fit)
    inside = image[top:bottom, left:right]
    if mask.shape == small:  # drawn on the generator's grid: stays as it is there
        hole = mask.astype(np.float32) / 255
        full = np.zeros((height, width), np.uint8)
        full[top:bottom, left:right] = _nearest(mask, bottom - top, right - left)
    else:
        full = mask
        hole = np.clip(_resize(full[top:bottom, left:right] / np.float32(255), resolution), 0, 1)
        hole[hole < _LEAST] = 0
    known = 1 - full[top:bottom, left:right].astype(np.float32) / 255
    weight = _resize(known, resolution)
    hole[weight < _LEAST] = 1  # covers no known pixel, whatever was drawn
    return Fitted(_known_mean(inside, known, weight, hole), hole, Source(name, image, full, box))


def _box(height: int, width: int, fit: Fit) -> tuple[int, int, int, int]:
    if fit == "resize":
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
    image: np.ndarray, known: np.ndarray, weight: np.ndarray, hole: np.ndarray
) -> np.ndarray:
    """Resize with the known pixels as weights; what is all hole shows the original's own mean."""
    planes = []
    for channel in range(image.shape[2]):  # one by one: an 8k picture in float takes 256 MiB each
        plane = image[..., channel].astype(np.float32)
        mean = _resize(plane * known, len(hole)) / np.maximum(weight, _LEAST)
        planes.append(np.where(hole < 1, mean, _resize(plane, len(hole))))
    return np.clip(np.rint(np.stack(planes, axis=-1)), 0, 255).astype(np.uint8)
