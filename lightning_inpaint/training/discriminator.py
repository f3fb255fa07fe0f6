"""StyleGAN2's own discriminator (arXiv:1912.04958), for runs with a GPU's worth of arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_inpaint.generators.stylegan2 import (
    LRELU_GAIN,
    EqualizedLinear,
    leaky_relu,
    second_moment_norm,
)
from lightning_inpaint.generators.upsampling import fir_kernel

__all__ = ["StyleGAN2Discriminator", "minibatch_deviation"]


class EqualizedConv(nn.Module):
    """Convolution with run-time weight scale, optional two-fold blurred down-sampling, leaky ReLU.

    Args:
        in_channels, out_channels: channels.
        size: side of the kernel, 1 or 3.
        down: halve the resolution after low-pass filtering.
        activate: bias and leaky ReLU with its variance-keeping gain.
    """

    kernel: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        down: bool = False,
        activate: bool = True,
        resample_filter: Sequence[float] = (1, 3, 3, 1),
    ) -> None:
        super().__init__()
        self.down, self.activate, self.size = down, activate, size
        self.weight_gain = 1 / math.sqrt(in_channels * size * size)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, size, size))
        if activate:
            self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("kernel", fir_kernel(resample_filter) / 4, persistent=False)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        weight = self.weight * self.weight_gain
        if self.down:
            # A kernel of k taps needs the filter's 4 - 1 and its own k - 1 of margin, less 1.
            low, high = (self.size + 2) // 2, (self.size + 1) // 2
            blur = self.kernel.to(x).flip(0, 1).expand(x.shape[1], 1, -1, -1)
            x = F.conv2d(F.pad(x, (low, high, low, high)), blur, groups=x.shape[1])
            y = F.conv2d(x, weight, stride=2)
        else:
            y = F.conv2d(x, weight, padding=self.size // 2)
        if not self.activate:
            return y * gain
        return leaky_relu(y + self.bias[:, None, None], LRELU_GAIN * gain, None)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the second down-sampling, beside a 1x1 skip (``resnet``)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = EqualizedConv(in_channels, in_channels, 3)
        self.conv1 = EqualizedConv(in_channels, out_channels, 3, down=True)
        self.skip = EqualizedConv(in_channels, out_channels, 1, down=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x, math.sqrt(0.5)) + self.conv1(self.conv0(x), math.sqrt(0.5))


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """Append the mean standard deviation over groups of ``group`` pictures as one more channel.

    Karras et al. 2018 (arXiv:1710.10196), section 3. The batch must be a multiple of the group;
    smaller batches are one group. ``group`` 1 appends nothing a network could use (zeros).
    """
    n, _, height, width = x.shape
    group = min(group, n)
    y = x.unflatten(0, (group, n // group)).float()
    deviation = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    channel = deviation.to(x.dtype).repeat(group).view(n, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, channel], dim=1)


class StyleGAN2Discriminator(nn.Module):
    """Pictures and classes to one logit each; residual blocks, projection on the class.

    Args:
        resolution: pixels per side, a power of two from 8 on.
        num_classes: 0 = unconditional.
        img_channels: picture channels.
        channel_base, channel_max: channels at resolution r are ``min(channel_base // r, max)``.
        group: pictures per minibatch-deviation group; 0 = no such channel.
        cmap_dim: dimensions of the class projection.
    """

    def __init__(
        self,
        resolution: int,
        num_classes: int = 0,
        img_channels: int = 3,
        channel_base: int = 16384,
        channel_max: int = 512,
        group: int = 4,
        cmap_dim: int = 512,
    ) -> None:
        super().__init__()
        self.num_classes, self.group = num_classes, group
        sides = [2**i for i in range(resolution.bit_length() - 1, 2, -1)]
        width = {r: min(channel_base // r, channel_max) for r in [*sides, 4]}
        self.from_rgb = EqualizedConv(img_channels, width[resolution], 1)
        self.blocks = nn.ModuleList(ResidualBlock(width[r], width[r // 2]) for r in sides)
        self.conv = EqualizedConv(width[4] + (1 if group else 0), width[4], 3)
        self.fc = EqualizedLinear(width[4] * 16, width[4], activate=True)
        self.out = EqualizedLinear(width[4], cmap_dim if num_classes else 1)
        if num_classes:
            self.embed = EqualizedLinear(num_classes, cmap_dim)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, H, W) in [-1, 1] and labels (N,) to logits (N,)."""
        x = self.from_rgb(x)
        for block in self.blocks:
            x = block(x)
        if self.group:
            x = minibatch_deviation(x, self.group)
        x = self.out(self.fc(self.conv(x).flatten(1)))
        if not self.num_classes:
            return x.squeeze(1)
        assert labels is not None
        one_hot = F.one_hot(labels, self.num_classes).to(x.dtype)
        cmap = second_moment_norm(self.embed(one_hot))
        return (x * cmap).sum(dim=1) / math.sqrt(cmap.shape[1])
