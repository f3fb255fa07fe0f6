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

__all__ = ["OPERATIONS", "diff_augment"]


def _uniform(n: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(n, 1, 1, 1, device=like.device, dtype=like.dtype, generator=generator)


def adjust_color(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Brightness +-0.5, saturation 0 to 2, contrast 0.5 to 1.5, of pictures in [-1, 1]."""
    n = x.shape[0]
    x = x + _uniform(n, x, generator) - 0.5
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * 2 * _uniform(n, x, generator)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * (0.5 + _uniform(n, x, generator))


def translate(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Shift by up to an eighth of the side, zeros moving in."""
    n, _, height, width = x.shape
    limits = [(height + 4) // 8, (width + 4) // 8]
    offset = [
        torch.randint(-m, m + 1, (n, 1), device=x.device, generator=generator) for m in limits
    ]
    padded = F.pad(x, (limits[1],) * 2 + (limits[0],) * 2)
    rows = torch.arange(height, device=x.device) + limits[0] - offset[0]
    columns = torch.arange(width, device=x.device) + limits[1] - offset[1]
    index = torch.arange(n, device=x.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def cut_out(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Blank a square of half the side, anywhere (it may hang over the edge)."""
    n, _, height, width = x.shape
    keep = torch.ones(n, 1, height, width, dtype=torch.bool, device=x.device)
    inside = []
    for size in (height, width):
        half = max(size // 4, 1)
        centre = torch.randint(0, size + 1, (n, 1), device=x.device, generator=generator)
        place = torch.arange(size, device=x.device)
        inside.append((place >= centre - half) & (place < centre + half))
    keep = ~(inside[0][:, None, :, None] & inside[1][:, None, None, :]) & keep
    return x * keep


OPERATIONS: dict[str, Callable[[Tensor, torch.Generator | None], Tensor]] = {
    "color": adjust_color,
    "translation": translate,
    "cutout": cut_out,
}


def diff_augment(
    x: Tensor,
    policy: str = "color,translation,cutout",
    p: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Augment pictures with draws of their own for each, differentiably.

    Args:
        x: (N, C, H, W) in about [-1, 1].
        policy: names of :data:`OPERATIONS` joined by commas; empty = none.
        p: probability of each operation for each picture.
        generator: source of the random numbers, on the device of ``x``.

    Raises:
        ValueError: an unknown operation.
    """
    for name in filter(None, policy.split(",")):
        if name not in OPERATIONS:
            raise ValueError(f"unknown augmentation {name!r}: choose from {', '.join(OPERATIONS)}")
        if p <= 0:
            continue
        changed = OPERATIONS[name](x, generator)
        chosen = _uniform(x.shape[0], x, generator) < p
        x = torch.where(chosen, changed, x)
    return x
