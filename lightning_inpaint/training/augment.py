"""Differentiable augmentation of what a discriminator sees.

DiffAugment (Zhao et al. 2020, arXiv:2006.10738), not ADA (Karras et al. 2020, arXiv:2006.06676):
its three operations have no state to adapt, checkpoint or share between devices, cost a few
passes over the pictures, and bring the same gain on 32 to 128 pixel pictures. As in ADA each
operation is applied to a picture with probability ``p``, so that augmentations do not leak into
the generator while ``p`` < 1, and ``p`` = 0 is the identity.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .draws import RowStream

__all__ = ["OPERATIONS", "diff_augment", "operations"]


def _uniform(x: Tensor, stream: RowStream) -> Tensor:
    return stream.uniform(len(x)).to(x.dtype).view(-1, 1, 1, 1)


def adjust_color(x: Tensor, stream: RowStream) -> Tensor:
    """Brightness +-0.5, saturation 0 to 2, contrast 0.5 to 1.5, of pictures in [-1, 1]."""
    x = x + _uniform(x, stream) - 0.5
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * 2 * _uniform(x, stream)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (0.5 + _uniform(x, stream))


def translate(x: Tensor, stream: RowStream) -> Tensor:
    """Shift by up to an eighth of the side, zeros moving in."""
    n, _, height, width = x.shape
    limits = [(height + 4) // 8, (width + 4) // 8]
    offset = [stream.integers(n, -m, m + 1)[:, None] for m in limits]
    padded = F.pad(x, (limits[1],) * 2 + (limits[0],) * 2)
    rows = torch.arange(height, device=x.device) + limits[0] - offset[0]
    columns = torch.arange(width, device=x.device) + limits[1] - offset[1]
    index = torch.arange(n, device=x.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def cut_out(x: Tensor, stream: RowStream) -> Tensor:
    """Blank a square of half the side, anywhere (it may hang over the edge)."""
    n, _, height, width = x.shape
    inside = []
    for size in (height, width):
        half = max(size // 4, 1)
        centre = stream.integers(n, 0, size + 1)[:, None]
        place = torch.arange(size, device=x.device)
        inside.append((place >= centre - half) & (place < centre + half))
    return x * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


OPERATIONS: dict[str, Callable[[Tensor, RowStream], Tensor]] = {
    "color": adjust_color,
    "translation": translate,
    "cutout": cut_out,
}


def operations(policy: str) -> list[str]:
    """Names in ``policy``, separated by commas.

    Raises:
        ValueError: an unknown operation.
    """
    names = [name.strip() for name in policy.split(",") if name.strip()]
    for name in names:
        if name not in OPERATIONS:
            raise ValueError(f"unknown augmentation {name!r}: choose from {', '.join(OPERATIONS)}")
    return names


def diff_augment(
    x: Tensor,
    policy: str = "color,translation,cutout",
    p: float = 1.0,
    stream: RowStream | None = None,
) -> Tensor:
    """Augment pictures with draws of their own for each, differentiably.

    Args:
        x: (N, C, H, W) in about [-1, 1].
        policy: names of :data:`OPERATIONS` joined by commas; empty = none.
        p: probability of each operation for each picture.
        stream: source of the random numbers, on the device of ``x``; None = torch's global one.

    Raises:
        ValueError: an unknown operation.
    """
    stream = stream or RowStream()
    for name in operations(policy):
        if p <= 0:
            continue
        changed = OPERATIONS[name](x, stream)
        x = torch.where(_uniform(x, stream) < p, changed, x)
    return x
