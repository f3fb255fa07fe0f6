"""The likelihood of the known pixels.

y = M * x + sigma * eps with M = 1 where a pixel is **known** (users' masks say the opposite:
1 = fill; :func:`known_weight` is the one place that turns them round). With pictures in [-1, 1] the
energy is E = sum M (G(u) - y)^2 and log p(y | u) = -E / (2 sigma^2) + const; the seed's temperature
is temp = 2 sigma^2.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["known_psnr", "known_weight", "masked_squared_error"]


def known_weight(mask: Tensor) -> Tensor:
    """Weight of each pixel in the likelihood: ``1 - mask``.

    Args:
        mask: (N, 1, H, W) in [0, 1], **1 = fill, 0 = known**; grey values count in part.
    """
    return 1 - mask


def masked_squared_error(pictures: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Energy of each picture: the squared error summed over its known values.

    Args:
        pictures: (N, C, H, W), generated, in about [-1, 1].
        target: (N, C, H, W), the given pictures in [-1, 1].
        known: (N, 1, H, W), **1 = known, 0 = to fill** (see :func:`known_weight`).

    Returns:
        (N,): never averaged over the batch, so that pictures do not influence each other.
    """
    return ((pictures - target).square() * known).sum(dim=(1, 2, 3))


def known_psnr(energy: Tensor, known: Tensor, channels: int) -> Tensor:
    """Peak signal-to-noise ratio on the known pixels.

    Args:
        energy: (N,) from :func:`masked_squared_error`, pictures in [-1, 1] (peak-to-peak 2).
        known: (N, 1, H, W), 1 = known.
        channels: picture channels.

    Returns:
        (N,) in dB, ``10 log10(4 / mean squared error)``; NaN where nothing is known.
    """
    values = known.sum(dim=(1, 2, 3)) * channels
    nothing = torch.full_like(energy, float("nan"))
    return torch.where(values > 0, 10 * torch.log10(4 * values / energy.clamp(min=1e-12)), nothing)
