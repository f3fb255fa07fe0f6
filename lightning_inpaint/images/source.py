"""The full-size original that a completion goes back into."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Source"]


class Source(NamedTuple):
    """The full-size original of a picture that was fitted to the generator's resolution.

    Attributes:
        path: Where the picture was read from, for messages.
        image: uint8 array ``(H, W, C)`` at the original size.
        mask: uint8 array ``(H, W)``, 255 = fill, 0 = known, values between blend.
        box: ``(left, top, right, bottom)``: the region of the original, in its pixels, that was
            fitted to the generator.
    """

    path: str
    image: np.ndarray
    mask: np.ndarray
    box: tuple[int, int, int, int]
