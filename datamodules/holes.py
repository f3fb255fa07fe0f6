"""A square around each hole of a picture, with context, at the scale at which the hole fits the generator.

Polarity is the user's: mask 255 = fill.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from ..images.source import Holes

__all__ = ["Square", "squares_around"]

CONTEXT = 1.5  # side of the square over that of the hole
_GRID = 256  # holes nearer to each other than a cell of so many are one
_MOST = 16  # squares of a picture; more holes than that share one
_TOGETHER = 1.25  # how much larger a shared square may be than the larger one


class Square(NamedTuple):
    """Where a hole is completed.

    Attributes:
        box: (left, top, right, bottom) in pixels of the picture; a square, unless the hole is longer than
            the picture is wide.
        holes: which part of the mask it fills; None = all of it.
    """

    box: tuple[int, int, int, int]
    holes: Holes | None


Box = tuple[int, int, int, int]


def squares_around(mask: np.ndarray, resolution: int) -> list[Square]:
    """The squares in which the holes of a mask are completed, the largest first.

    A square is never smaller than the generator's picture, so that nothing is enlarged before it is
    completed. Holes whose squares overlap share one where it is hardly larger.

    Args:
        mask: uint8 (H, W), 255 = fill.
        resolution: of the generator.

    Returns:
        One square at least where anything is to be filled, else none.
    """
    height, width = mask.shape
    side = -(-max(height, width) // _GRID)
    rows, columns = -(-height // side), -(-width // side)
    padded = np.zeros((rows * side, columns * side), bool)
    padded[:height, :width] = mask > 0
    cells = padded.reshape(rows, side, columns, side).any(axis=(1, 3))
    labels = _labelled(cells)
    groups = []
    for label in np.unique(labels[cells]):
        groups.append(([int(label)], _extent(mask, labels == label, side)))
    groups = _merged(groups, (width, height), resolution)
    groups.sort(key=lambda group: (-_area(group[1]), group[1]))
    if len(groups) == 1:
        return [Square(_square(groups[0][1], (width, height), resolution), None)]
    return [
        Square(_square(box, (width, height), resolution), Holes(np.isin(labels, names), side))
        for names, box in groups
    ]


def _labelled(cells: np.ndarray) -> np.ndarray:
    """A number for each connected part (8 neighbours): the largest of its cells' places; 0 elsewhere."""
    inside = torch.from_numpy(cells)[None, None]
    labels = torch.arange(1, cells.size + 1, dtype=torch.float32).view(1, 1, *cells.shape) * inside
    while True:
        spread = labels
        for _ in range(16):
            spread = functional.max_pool2d(spread, 3, stride=1, padding=1) * inside
        if torch.equal(spread, labels):
            return labels[0, 0].long().numpy()
        labels = spread


def _extent(mask: np.ndarray, cells: np.ndarray, side: int) -> Box:
    """The box around the hole in some cells."""
    rows, columns = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    top, left = int(rows[0]) * side, int(columns[0]) * side
    part = mask[top : (rows[-1] + 1) * side, left : (columns[-1] + 1) * side] > 0
    own = cells[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    part = part & own.repeat(side, axis=0).repeat(side, axis=1)[: part.shape[0], : part.shape[1]]
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    return (
        left + int(columns[0]),
        top + int(rows[0]),
        left + int(columns[-1]) + 1,
        top + int(rows[-1]) + 1,
    )


def _merged(
    groups: list[tuple[list[int], Box]], size: tuple[int, int], resolution: int
) -> list[tuple[list[int], Box]]:
    done: list[tuple[list[int], Box]] = []
    waiting = list(groups)
    while waiting:
        names, box = waiting.pop()
        for other in done:
            union = _union(box, other[1])
            limit = _TOGETHER * max(_side(box, resolution), _side(other[1], resolution))
            near = _overlap(_square(box, size, resolution), _square(other[1], size, resolution))
            if near and _side(union, resolution) <= limit:
                done.remove(other)
                waiting.append((names + other[0], union))
                break
        else:
            done.append((names, box))
    if len(done) > _MOST:
        everything = done[0][1]
        for _, box in done:
            everything = _union(everything, box)
        return [([name for names, _ in done for name in names], everything)]
    return done


def _side(box: Box, resolution: int) -> int:
    """Side of the square around a hole."""
    extent = max(box[2] - box[0], box[3] - box[1])
    return max(resolution, round(CONTEXT * extent))


def _square(box: Box, size: tuple[int, int], resolution: int) -> Box:
    side = _side(box, resolution)
    left, right = _centred(box[0], box[2], side, size[0])
    top, bottom = _centred(box[1], box[3], side, size[1])
    return left, top, right, bottom


def _centred(first: int, last: int, side: int, size: int) -> tuple[int, int]:
    length = min(side, size)
    start = min(max(0, (first + last - length) // 2), size - length)
    return start, start + length


def _union(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
