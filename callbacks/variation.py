"""In which ways the completions of a picture differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..completions import Completions
from ..errors import UserError
from ..images.sheet import contact_sheet
from .explaining import write_bytes
from .finish import Follower
from .imaging import encode, to_array

if TYPE_CHECKING:
    from .writer import CompletionWriter

__all__ = ["PosteriorVariation", "principal_variation"]

#: Columns of the sheet, in standard deviations.
STEPS = (-2, -1, 0, 1, 2)


class PosteriorVariation(Follower):
    """Draws each picture's mean completion and what its chains vary in: ``variation/<id>.png``.

    A row is a principal component of the completions, in pixels, with its share of their variance; its columns
    go from two standard deviations below the mean to two above. With fewer than three chains there is nothing
    to draw.

    Args:
        components: Rows at most; K chains have K - 1 components.
        side: Size of each picture in the sheet, in pixels.
    """

    def __init__(self, components: int = 3, side: int = 96) -> None:
        for name, value in (("components", components), ("side", side)):
            if value < 1:
                raise UserError(f"PosteriorVariation's {name} is {value}: it must be at least 1.")
        self.components, self.side = components, side

    def on_composite(
        self,
        writer: CompletionWriter,
        completions: Completions,
        n: int,
        k: int,
        composite: np.ndarray,
    ) -> None:
        """Draw the sheet of a picture with its first completion."""
        if k > 0 or completions.chains < 3:
            return
        pictures, shares = principal_variation(completions.composite[n], self.components)
        if not len(shares):
            return
        rows = [
            (f"component {i + 1}: {100 * share:.0f} %", list(row))
            for i, (row, share) in enumerate(zip(pictures, shares, strict=True))
        ]
        captions = ["mean" if step == 0 else f"{step:+d} sd" for step in STEPS]
        sheet = contact_sheet(rows, captions, self.side)
        path = writer.folder.file("variation", completions.id[n], ".png")
        write_bytes(path, encode(np.asarray(sheet)))


def principal_variation(completions: Tensor, components: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """The mean of a picture's completions, moved along their principal components.

    Args:
        completions: uint8 ``(K, C, H, W)``.
        components: How many, at most K - 1; those without variance are left out.

    Returns:
        uint8 ``(components, 5, H, W, C)``, the mean and 2, 1 standard deviations to either side, clamped; and
        each component's share of the variance, largest first. A component's sign is such that its largest
        change is to the lighter.
    """
    pixels = np.stack([to_array(each) for each in completions]).astype(np.float64)
    mean = pixels.mean(axis=0)
    _, sizes, ways = np.linalg.svd((pixels - mean).reshape(len(pixels), -1), full_matrices=False)
    varying = int((sizes > 1e-9 * max(sizes[0], 1)).sum())
    count = min(components, len(pixels) - 1, varying)
    ways, deviations = ways[:count], sizes[:count] / np.sqrt(len(pixels) - 1)
    peaks = np.take_along_axis(ways, np.abs(ways).argmax(axis=1)[:, None], axis=1)
    offsets = (ways * np.sign(peaks) * deviations[:, None]).reshape(count, 1, *mean.shape)
    moved = mean + np.array(STEPS).reshape(1, -1, 1, 1, 1) * offsets
    shares = np.square(sizes[:count]) / max(np.square(sizes).sum(), 1e-30)
    return np.rint(moved).clip(0, 255).astype(np.uint8), shares
