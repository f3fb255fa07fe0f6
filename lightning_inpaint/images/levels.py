"""Between the 256 levels of picture files and the range [-1, 1] of generators."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["from_uint8", "to_uint8"]


def from_uint8(levels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Pictures of 0..255 in [-1, 1]: ``levels / 127.5 - 1``; any shape."""
    return levels.to(dtype) / 127.5 - 1


def to_uint8(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1] as uint8 in 0..255, rounded to nearest and clamped; any shape."""
    return ((pictures.detach().float() + 1) * 127.5).round().clamp(0, 255).byte()
