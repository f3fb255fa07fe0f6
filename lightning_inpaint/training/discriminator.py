"""The discriminator: residual blocks, a score for every class."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..generators.stylegan2 import (
    LRELU_GAIN,
    EqualizedLinear,
    leaky_relu,
    second_moment_norm,
)
from .losses import discriminator_loss, generator_loss, mismatch_loss

__all__ = ["Discriminator", "group_deviation"]


class EqualizedConv(nn.Module):
    """Convolution with run-time weight scale (arXiv:1710.10196, section 4.1).

    Args:
        in_channels, out_channels: channels.
        size: side of the kernel, 1 or 3.
        activate: bias and leaky ReLU with its variance-keeping gain.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: int, *, activate: bool = True
    ) -> None:
        super().__init__()
        self.padding = size // 2
        self.weight_gain = 1 / math.sqrt(in_channels * size * size)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, size, size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if activate else None

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        if self.bias is None:
            return F.conv2d(x, self.weight * (self.weight_gain * gain), padding=self.padding)
        y = F.conv2d(x, self.weight * self.weight_gain, self.bias, padding=self.padding)
        return leaky_relu(y, LRELU_GAIN * gain, None)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with an average over 2x2 pixels between them, beside a 1x1 skip."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = EqualizedConv(in_channels, in_channels, 3)
        self.conv1 = EqualizedConv(in_channels, out_channels, 3)
        self.skip = EqualizedConv(in_channels, out_channels, 1, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        gain = math.sqrt(0.5)
        inner = F.avg_pool2d(self.conv0(x), 2)
        return self.skip(F.avg_pool2d(x, 2), gain) + self.conv1(inner, gain)


def group_deviation(x: Tensor, group: int, *, channelwise: bool = False) -> Tensor:
    """Mean standard deviation over groups of consecutive rows.

    Karras et al. 2018 (arXiv:1710.10196), section 3: generated pictures that are all alike give
    themselves away.

    Args:
        x: (N, C, h, w), N a multiple of ``group`` or below it.
        group: rows of a group.
        channelwise: keep the channels apart, so that samples which vary as much as real pictures but in
            fewer directions give themselves away too.

    Returns:
        (N, 1, 1, 1), or (N, C, 1, 1).
    """
    n = len(x)
    group = min(group, n)
    y = x.unflatten(0, (n // group, group))
    y = y.to(torch.promote_types(y.dtype, torch.float32))
    # Not torch's var, which is ten times slower over a dimension that is not the last.
    spread = (y - y.mean(dim=1, keepdim=True)).square().mean(dim=1)
    over = (2, 3) if channelwise else (1, 2, 3)
    deviation = (spread + 1e-8).sqrt().mean(dim=over).view(n // group, -1)
    return deviation.to(x.dtype).repeat_interleave(group, dim=0)[:, :, None, None]


class Discriminator(nn.Module):
    """Pictures to one score per class: features projected on an embedding of each class.

    The projection of Miyato and Koyama 2018 (arXiv:1802.05637) as StyleGAN2-ADA normalizes it
    (arXiv:2006.06676, appendix), evaluated for all classes, which costs one small product. Pictures
    are halved by averaging before the second convolution, a quarter of its arithmetic.

    Args:
        resolution: pixels per side, a power of two from 8 on.
        num_classes: 0 = unconditional.
        img_channels: picture channels.
        channel_base: channels at resolution r are ``min(channel_base // r, channel_max)``.
        channel_max: the most of them.
        cmap_dim: dimensions of the class projection.
        group: consecutive rows whose deviation is one more feature (see
            :func:`group_deviation`); 0 = none, and rows are independent, as in R3GAN
            (Huang et al. 2024, arXiv:2501.05441).
    """

    def __init__(
        self,
        resolution: int,
        num_classes: int = 0,
        img_channels: int = 3,
        channel_base: int = 1536,
        channel_max: int = 256,
        cmap_dim: int = 256,
        group: int = 0,
    ) -> None:
        super().__init__()
        self.num_classes, self.group = num_classes, group
        sides = [2**i for i in range(resolution.bit_length() - 1, 2, -1)]
        width = {r: min(channel_base // r, channel_max) for r in [*sides, 4]}
        self.from_rgb = EqualizedConv(img_channels, width[resolution], 3)
        self.blocks = nn.ModuleList(ResidualBlock(width[r], width[r // 2]) for r in sides)
        self.conv = EqualizedConv(width[4] + (1 if group else 0), width[4], 3)
        self.fc = EqualizedLinear(width[4] * 16, width[4], activate=True)
        self.out = EqualizedLinear(width[4], cmap_dim if num_classes else 1)
        if num_classes:
            self.embed = EqualizedLinear(num_classes, cmap_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to scores (N, classes), or (N, 1) when unconditional."""
        x = self.from_rgb(x)
        for block in self.blocks:
            x = block(x)
        if self.group:
            deviation = group_deviation(x, self.group)
            x = torch.cat([x, deviation.expand(-1, 1, *x.shape[2:])], dim=1)
        x = self.out(self.fc(self.conv(x).flatten(1)))
        if not self.num_classes:
            return x
        every = torch.eye(self.num_classes, device=x.device, dtype=x.dtype)
        classes = second_moment_norm(self.embed(every))
        return x @ classes.T / math.sqrt(classes.shape[1])

    def loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The logistic loss that it descends, from scores (N,)."""
        return discriminator_loss(real, fake)

    def opposed_loss(self, fake: Tensor) -> Tensor:
        """The generator's non-saturating loss, from scores (N,)."""
        return generator_loss(fake)

    def mismatch_loss(self, real: Tensor, labels: Tensor) -> Tensor:
        """Real pictures under wrong classes as negatives, from scores (N, classes)."""
        return mismatch_loss(real, labels)
