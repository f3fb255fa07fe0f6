"""Originals that are read again when a completion goes back into them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .fitting import Fit, fitted_box, full_mask
from .pairing import MaskProvider, MaskVariant
from .pictures import read_picture
from .references import FileRef

__all__ = ["Original"]


@dataclass(frozen=True, eq=False)
class Original:
    """Reads a picture and its mask, **255 = fill**, at full size.

    Attributes:
        file: the picture.
        masks: where its mask comes from.
        variant: which mask.
        id: of the picture.
        resolution: of the generator.
        fit: how the picture was fitted.
        invert: take black for fill.
    """

    file: FileRef
    masks: MaskProvider
    variant: MaskVariant
    id: str
    resolution: int
    fit: Fit
    invert: bool

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (H, W, 3) and (H, W).

        Raises:
            PictureError: one of them can no longer be read.
        """
        image = read_picture(self.file)
        height, width = image.shape[:2]
        mask = self.masks.load(self.variant, self.id, self.resolution)
        if self.invert:
            mask = np.uint8(255) - mask
        return image, full_mask(mask, height, width, fitted_box(height, width, self.fit))
