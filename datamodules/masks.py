"""Masks by name: halves, boxes, strokes, pixels, checkerboards.

Polarity everywhere in this file is the user's: **255 (or True) = fill, 0 = known**.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import UserError, did_you_mean
from .pairing import (
    AlphaMasks,
    MaskProvider,
    MaskVariant,
    PairedMasks,
    PictureKey,
    SingleMask,
)
from .streams import numpy_stream

__all__ = ["MASK_KINDS", "MaskKind", "NamedMasks", "resolve_masks"]

# A kind draws (height, width, amount, stream) -> bool array (height, width), True = fill.
Draw = Callable[[int, int, float, np.random.Generator], np.ndarray]


def _share(total: int, fraction: float) -> int:
    return min(total, math.floor(total * fraction + 0.5))


def _right(h: int, w: int, amount: float, _: np.random.Generator) -> np.ndarray:
    mask = np.zeros((h, w), bool)
    mask[:, w - _share(w, amount) :] = True
    return mask


def _left(h: int, w: int, amount: float, rng: np.random.Generator) -> np.ndarray:
    return _right(h, w, amount, rng)[:, ::-1]


def _bottom(h: int, w: int, amount: float, rng: np.random.Generator) -> np.ndarray:
    return _right(w, h, amount, rng).T


def _top(h: int, w: int, amount: float, rng: np.random.Generator) -> np.ndarray:
    return _bottom(h, w, amount, rng)[::-1]


def _center(h: int, w: int, amount: float, _: np.random.Generator) -> np.ndarray:
    mask = np.zeros((h, w), bool)
    rows, columns = max(1, _share(h, amount)), max(1, _share(w, amount))
    top, left = (h - rows) // 2, (w - columns) // 2
    mask[top : top + rows, left : left + columns] = True
    return mask


def _random_box(h: int, w: int, amount: float, rng: np.random.Generator) -> np.ndarray:
    area, aspect, y, x = rng.random(4)
    fraction = amount or 0.1 + 0.3 * area
    stretch = 2 ** (aspect - 0.5)  # height : width between 1:2 and 2:1
    rows = min(h, max(1, _share(h, math.sqrt(fraction) * stretch)))
    columns = min(w, max(1, _share(w, fraction * h / rows)))
    top, left = int(y * (h - rows + 1)), int(x * (w - columns + 1))
    mask = np.zeros((h, w), bool)
    mask[top : top + rows, left : left + columns] = True
    return mask


def _random_pixels(h: int, w: int, amount: float, rng: np.random.Generator) -> np.ndarray:
    order = np.argsort(rng.random(h * w), kind="stable")
    mask = np.zeros(h * w, bool)
    mask[order[: _share(h * w, amount)]] = True
    return mask.reshape(h, w)


def _checkerboard(h: int, w: int, amount: float, _: np.random.Generator) -> np.ndarray:
    cell = int(amount) or max(1, min(h, w) // 8)
    rows, columns = np.arange(h)[:, None] // cell, np.arange(w)[None, :] // cell
    return (rows + columns) % 2 == 1


def _near_segment(h: int, w: int, a: np.ndarray, b: np.ndarray, radius: float) -> np.ndarray:
    """Pixels whose centre lies within `radius` of the segment from a to b (points are (y, x))."""
    y, x = np.mgrid[0:h, 0:w] + 0.5
    direction = b - a
    along = (y - a[0]) * direction[0] + (x - a[1]) * direction[1]
    t = np.clip(along / max(float(direction @ direction), 1e-12), 0, 1)
    return np.hypot(y - a[0] - t * direction[0], x - a[1] - t * direction[1]) <= radius


def _strokes(h: int, w: int, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Free-form brush strokes (random walks with a round brush) until `amount` is covered."""
    mask, size = np.zeros((h, w), bool), min(h, w)
    for _ in range(1000):  # enough for any amount but the last few pixels
        if mask.mean() >= amount:
            break
        point, angle = rng.random(2) * (h, w), rng.random() * 2 * math.pi
        radius = max(0.75, size * (0.04 + 0.06 * rng.random()))
        for _ in range(3 + int(rng.random() * 4)):
            length = size * (0.1 + 0.25 * rng.random())
            target = point + length * np.array([math.sin(angle), math.cos(angle)])
            target = np.clip(target, 0, (h, w))
            mask |= _near_segment(h, w, point, target, radius)
            if mask.mean() >= amount:
                break
            point, angle = target, angle + (rng.random() - 0.5) * math.pi
    return mask


def _constant(value: bool) -> Draw:
    return lambda h, w, amount, rng: np.full((h, w), value)


class MaskKind(NamedTuple):
    """A mask by name: how it is drawn and what the number behind the colon means."""

    draw: Draw
    amount: str | None
    """Meaning of the number, None if the kind takes none."""
    default: float
    """Amount if none is given; 0 lets the kind choose."""
    whole: bool = False
    """True if the amount is a whole number of pixels rather than a fraction in (0, 1]."""


MASK_KINDS: dict[str, MaskKind] = {
    "right_half": MaskKind(_right, "fraction of the width", 0.5),
    "left_half": MaskKind(_left, "fraction of the width", 0.5),
    "top_half": MaskKind(_top, "fraction of the height", 0.5),
    "bottom_half": MaskKind(_bottom, "fraction of the height", 0.5),
    "center": MaskKind(_center, "side of the box over the side of the picture", 0.5),
    "random_box": MaskKind(_random_box, "fraction of the area (default: drawn from .1 to .4)", 0),
    "strokes": MaskKind(_strokes, "least fraction of the area", 0.3),
    "random_pixels": MaskKind(_random_pixels, "fraction of the pixels", 0.5),
    "checkerboard": MaskKind(_checkerboard, "cell in pixels (default: an eighth)", 0, whole=True),
    "all": MaskKind(_constant(True), None, 1),
    "none": MaskKind(_constant(False), None, 0),
}
"""Every mask that has a name. `all` hides the whole picture, `none` hides nothing."""


@dataclass(frozen=True)
class NamedMasks:
    """Masks of one kind; random ones follow the stream (seed, picture id).

    Args:
        name: a key of MASK_KINDS.
        amount: the number behind the colon; 0 lets the kind choose.
        seed: seed of the random kinds.
    """

    name: str
    amount: float
    seed: int = 0
    from_files: bool = False

    def variants(self, picture: PictureKey) -> list[MaskVariant]:
        """One mask for every picture."""
        return [MaskVariant()]

    def load(self, variant: MaskVariant, picture_id: str, resolution: int) -> np.ndarray:
        """Draw the mask of a picture: uint8 (resolution, resolution), 255 = fill."""
        return self.draw(picture_id, resolution, resolution)

    def draw(self, picture_id: str, height: int, width: int) -> np.ndarray:
        """Draw the mask of a picture: uint8 (height, width), 255 = fill."""
        rng = numpy_stream(self.seed, "mask", picture_id)
        mask = MASK_KINDS[self.name].draw(height, width, self.amount, rng)
        return np.where(mask, np.uint8(255), np.uint8(0))


def _unknown(spec: str, name: str) -> UserError:
    known = ", ".join([*MASK_KINDS, "alpha"])
    hint = did_you_mean(name.lower().replace("-", "_"), MASK_KINDS, least=0.5)
    return UserError(
        f"unknown mask {spec!r}: {hint}{' ' if hint else ''}it is neither a file, a folder nor a zip, "
        f"and the masks by name are {known}."
    )


def _amount(spec: str, name: str, text: str) -> float:
    kind = MASK_KINDS[name]
    if kind.amount is None:
        raise UserError(f"mask {spec!r}: {name} takes no number, write just {name}.")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if kind.whole:
        if not (value >= 1 and value.is_integer()):
            raise UserError(
                f"mask {spec!r}: {name} takes a whole number of pixels, as in {name}:4."
            )
    elif not 0 < value <= 1:
        raise UserError(
            f"mask {spec!r}: {name} takes a number above 0 and up to 1 ({kind.amount}), "
            f"as in {name}:0.25."
        )
    return value


def resolve_masks(spec: str | Path, seed: int = 0) -> MaskProvider:
    """Turn what the user wrote into a provider of masks (fill = 255).

    Args:
        spec: a name such as `right_half` or `random_pixels:0.8`, a mask file used for every
            picture, or a folder or zip of masks paired with the pictures by relative stem. A name
            wins over a file of the same name; write `./center` for the file. `alpha` takes the
            transparent part of each picture.
        seed: seed of the random kinds.

    Raises:
        UserError: if it is none of these, or the one mask file cannot be read.
    """
    text = str(spec)
    name, _, number = text.partition(":")
    if name in MASK_KINDS:
        return NamedMasks(
            name, _amount(text, name, number) if number else MASK_KINDS[name].default, seed
        )
    if text == "alpha":
        return AlphaMasks()
    path = Path(text).expanduser()
    if path.is_dir() or (path.suffix.lower() == ".zip" and path.is_file()):
        return PairedMasks(path)
    if path.is_file():
        mask = SingleMask(path)
        mask.load(MaskVariant(), "", 0)  # unreadable means that there is nothing to do: say so now
        return mask
    raise _unknown(text, name)
