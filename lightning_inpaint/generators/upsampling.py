"""Two-fold up-sampling with a small FIR filter, alone and folded into a 3x3 convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "fir_kernel",
    "four_phase_weight",
    "per_channel",
    "upsample2x",
    "upsample_matrix",
]

LARGEST_MATRIX = 64


def fir_kernel(taps: Sequence[float], device: str | None = None) -> Tensor:
    """Separable ``taps`` as a 2-D kernel that sums to 4, the gain of two-fold up-sampling.

    Args:
        taps: the 1-D filter, for example ``(1, 3, 3, 1)``.
        device: where; None = the default device.

    Returns:
        Tensor of shape (len(taps), len(taps)), float32.
    """
    f = torch.tensor(taps, dtype=torch.float32, device=device)
    kernel = torch.outer(f, f)
    return kernel * (4 / kernel.sum())


def per_channel(kernel: Tensor, channels: int, like: Tensor) -> Tensor:
    """The filter once per channel, (channels, 1, 4, 4), for a depthwise convolution."""
    return kernel.to(like).expand(channels, 1, *kernel.shape).contiguous()


def upsample_matrix(taps: Sequence[float], size: int) -> Tensor | None:
    """One-dimensional up-sampling as a matrix U (2 size, size): the picture becomes U x U^T.

    For pictures, whose three channels are too few for a convolution to be quick.

    Returns:
        U, or None where the filter is not exactly the product of its taps in float32, or ``size`` is
        so large that zeros would dominate.
    """
    if len(taps) != 4 or size > LARGEST_MATRIX:
        return None
    f = torch.tensor(taps, dtype=torch.float32, device="cpu")  # also while shapes alone are made
    f = f * (2 / f.sum())
    if not torch.equal(torch.outer(f, f), fir_kernel(taps, "cpu")):
        return None
    rows, columns = torch.arange(2 * size, device="cpu"), torch.arange(size, device="cpu")
    tap = rows[:, None] + 1 - 2 * columns
    return torch.where((tap >= 0) & (tap < 4), f[tap.clamp(0, 3)], 0.0)


def upsample2x(x: Tensor, kernel: Tensor, matrix: Tensor | None = None) -> Tensor:
    """Zero insertion followed by ``kernel`` (4x4): (N, C, H, W) -> (N, C, 2H, 2W).

    ``matrix`` from :func:`upsample_matrix` does the same where it is given.
    """
    if matrix is not None:
        matrix = matrix.to(x.dtype)
        return matrix @ x.contiguous() @ matrix.T
    channels = x.shape[1]
    return F.conv_transpose2d(
        x, per_channel(kernel, channels, x), stride=2, padding=1, groups=channels
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
