"""What the sizes of the originals mean for a job, said and used before it begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from .fitting import Fit, fitted_box
from .inspection import ENLARGED
from .references import PictureError

__all__ = ["enlarged_ahead", "most_in_memory", "sizes_ahead"]

Size = tuple[int, int]
_LOOKED_AT = 32  # pictures
_COPIES = 8  # bytes for a pixel of an original in a batch: picture, mask, composite
_SHARE = 0.25  # of the memory, for originals


def sizes_ahead(
    positions: Sequence[int], original_size: Callable[[int], Size | None]
) -> list[Size]:
    """Width and height of some pictures, spread over the job; those that cannot be read are left out."""
    step = max(1, len(positions) // _LOOKED_AT)
    sizes = []
    for position in list(positions)[::step][:_LOOKED_AT]:
        try:
            size = original_size(position)
        except PictureError:  # it is said when its turn comes
            continue
        if size is None:
            return []
        sizes.append(size)
    return sizes


def enlarged_ahead(sizes: Sequence[Size], side: int, fit: Fit) -> str | None:
    """A sentence for pictures that are far larger than a generator of ``side`` pixels; None = they are not.

    With ``around`` it is the hole that counts, and nothing is said before it is looked at.
    """
    if fit == "around":
        return None
    factors = []
    for width, height in sizes:
        left, top, right, bottom = fitted_box(height, width, fit)
        factors.append(max(right - left, bottom - top) / side)
    many = sum(factor > ENLARGED for factor in factors)
    if not many:
        return None
    alone = len(sizes) == 1
    count = "the picture is" if alone else f"{many} of {len(sizes)} pictures looked at are"
    hole = "its hole" if alone else "their holes"
    return (
        f"{count} more than {ENLARGED:.0f} times as large as the {side} x {side} pixels that the "
        f"generator draws: what fills {hole} is enlarged up to {max(factors):.1f}-fold and will look "
        "soft, whatever its PSNR. `fit=around` completes the surroundings of a hole alone; else "
        "take a generator of more pixels."
    )


def most_in_memory(sizes: Sequence[Size], kept: int) -> int:
    """Pictures whose originals fit a share of the machine's memory, 1 at least.

    Args:
        sizes: of originals.
        kept: pixels above which an original is not kept but read again.
    """
    largest = max((min(width * height, kept) for width, height in sizes), default=1)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, int(_SHARE * memory / (_COPIES * largest)))
