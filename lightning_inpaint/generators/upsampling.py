"""Two-fold up-sampling with a small FIR filter, alone and joined to a 3x3 convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["fir_kernel", "four_phase_weight", "upsample2x", "upsample_conv2d"]


def fir_kernel(taps: Sequence[float]) -> Tensor:
    """Separable ``taps`` as a 2-D kernel that sums to 4, the gain of two-fold up-sampling.

    Args:
        taps: the 1-D filter, for example ``(1, 3, 3, 1)``.

    Returns:
        Tensor of shape (len(taps), len(taps)), float32.
    """
    f = torch.tensor(taps, dtype=torch.float32)
    kernel = torch.outer(f, f)
    return kernel * (4 / kernel.sum())


def _per_channel(kernel: Tensor, channels: int, like: Tensor) -> Tensor:
    return kernel.to(like).expand(channels, 1, *kernel.shape).contiguous()


def upsample2x(x: Tensor, kernel: Tensor) -> Tensor:
    """Zero insertion followed by ``kernel`` (4x4): (N, C, H, W) -> (N, C, 2H, 2W)."""
    channels = x.shape[1]
    return F.conv_transpose2d(
        x, _per_channel(kernel, channels, x), stride=2, padding=1, groups=channels
    )


def four_phase_weight(weight: Tensor, kernel: Tensor) -> Tensor:
    """Fold the FIR ``kernel`` into an up-sampling convolution.

    A stride-2 transposed 3x3 convolution followed by a 4x4 FIR has a 6x6 impulse response; each of
    its four output phases is a 3x3 convolution of the small picture.

    Args:
        weight: (O, I, 3, 3); its taps are the impulse response (NVIDIA's orientation), not turned
            round as in :func:`torch.nn.functional.conv2d`.
        kernel: (4, 4), symmetric or not.

    Returns:
        (4 * O, I, 3, 3), ready for ``conv2d(padding=1)`` and ``pixel_shuffle(2)``.
    """
    o, i = weight.shape[:2]
    taps = weight.reshape(o * i, 1, 3, 3)
    response = F.conv2d(taps, kernel.to(weight).flip(0, 1)[None, None], padding=3)
    response = response.reshape(o, i, 6, 6)
    # Output 2j + a sees inputs j-1, j, j+1 through response taps 4+a, 2+a, a.
    phases = [response[:, :, a::2, b::2].flip(2, 3) for a in (0, 1) for b in (0, 1)]
    return torch.stack(phases, dim=1).reshape(4 * o, i, 3, 3)


def upsample_conv2d(x: Tensor, weight: Tensor, kernel: Tensor, *, fused: bool = False) -> Tensor:
    """Up-sample two-fold and convolve with ``weight`` (3x3 or 1x1): (N, I, H, W) -> (N, O, 2H, 2W).

    Args:
        x: (N, I, H, W).
        weight: (O, I, 3, 3), an impulse response as in :func:`four_phase_weight`, or (O, I, 1, 1).
        kernel: (4, 4) from :func:`fir_kernel`.
        fused: one convolution into four phases and a pixel shuffle: four times the arithmetic of the
            transposed form and no pass over memory, so it pays where convolutions are cheap
            (bfloat16 on matrix units) and costs a factor two in float32 on a CPU.
    """
    if weight.shape[-1] == 1:
        return upsample2x(F.conv2d(x, weight), kernel)
    if fused:
        return F.pixel_shuffle(F.conv2d(x, four_phase_weight(weight, kernel), padding=1), 2)
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    out = y.shape[1]
    return F.conv2d(y, _per_channel(kernel.flip(0, 1), out, y), padding=1, groups=out)
