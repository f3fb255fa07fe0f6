"""R3GAN's generator: convolutions in groups between 1x1 ones, no normalization, no style, no noise maps.

Huang et al. 2024, "The GAN is dead; long live the GAN! A modern GAN baseline" (arXiv:2501.05441): z and an
embedded class scale a learned 4x4 basis; each stage up-samples with a low-pass filter and adds residual
blocks 1x1, grouped 3x3, 1x1 with biased leaky ReLUs between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .upsampling import fir_kernel, upsample2x, upsample_matrix

__all__ = ["R3GANGenerator"]


class ResidualBlock(nn.Module):
    """``x + conv3(act(conv2(act(conv1(x)))))``, the middle one in ``groups``."""

    def __init__(self, channels: int, expanded: int, groups: int, kernel_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, expanded, 1, bias=False)
        self.conv2 = nn.Conv2d(
            expanded, expanded, kernel_size, padding=kernel_size // 2, groups=groups, bias=False
        )
        self.conv3 = nn.Conv2d(expanded, channels, 1, bias=False)
        self.bias1 = nn.Parameter(torch.zeros(expanded, 1, 1))
        self.bias2 = nn.Parameter(torch.zeros(expanded, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.conv1(x) + self.bias1, 0.2)
        y = F.leaky_relu(self.conv2(y) + self.bias2, 0.2)
        return x + self.conv3(y)


class Stage(nn.Module):
    """Up-sampling to twice the side, where it is not the first, and residual blocks."""

    kernel: Tensor
    matrix: Tensor | None

    def __init__(
        self,
        inputs: int,
        channels: int,
        expanded: int,
        groups: int,
        blocks: int,
        side: int,
        kernel_size: int,
        taps: Sequence[float],
    ) -> None:
        super().__init__()
        self.first = side == 4
        if self.first:
            self.basis = nn.Parameter(torch.zeros(channels, 4, 4))
            self.linear = nn.Linear(inputs, channels, bias=False)
        else:
            self.project = (
                nn.Conv2d(inputs, channels, 1, bias=False) if inputs != channels else nn.Identity()
            )
            self.register_buffer("kernel", fir_kernel(taps, "cpu"), persistent=False)
            self.register_buffer("matrix", upsample_matrix(taps, side // 2), persistent=False)
        self.blocks = nn.Sequential(
            *(ResidualBlock(channels, expanded, groups, kernel_size) for _ in range(blocks))
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.first:
            x = self.basis * self.linear(x)[:, :, None, None]
        else:
            x = upsample2x(self.project(x), self.kernel, self.matrix)
        y: Tensor = self.blocks(x)
        return y


class R3GANGenerator(nn.Module):
    """z and class to a picture.

    Args:
        z_dim: dimensions of z ~ N(0, I).
        num_classes: classes; 0 = unconditional.
        embed_dim: dimensions of an embedded class.
        widths: channels of each stage, from 4 pixels up; each doubles the side.
        expanded: channels inside the residual blocks of each stage.
        groups: groups of their middle convolution.
        blocks: residual blocks of each stage.
        img_channels: picture channels.
        kernel_size: of the middle convolutions.
        taps: four taps of the up-sampling filter.
        class_names: names of the classes.
    """

    def __init__(
        self,
        z_dim: int,
        num_classes: int = 0,
        embed_dim: int = 0,
        *,
        widths: Sequence[int],
        expanded: Sequence[int],
        groups: Sequence[int],
        blocks: Sequence[int],
        img_channels: int = 3,
        kernel_size: int = 3,
        taps: Sequence[float] = (1, 3, 3, 1),
        class_names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "z_dim": z_dim,
            "num_classes": num_classes,
            "embed_dim": embed_dim,
            "widths": list(widths),
            "expanded": list(expanded),
            "groups": list(groups),
            "blocks": list(blocks),
            "img_channels": img_channels,
            "kernel_size": kernel_size,
            "taps": list(taps),
        }
        self.z_dim, self.num_classes, self.img_channels = z_dim, num_classes, img_channels
        self.resolution = 4 << (len(widths) - 1)
        self.class_names = tuple(class_names) if class_names is not None else None
        if num_classes:
            self.embed = nn.Linear(num_classes, embed_dim, bias=False)
        inputs = [z_dim + (embed_dim if num_classes else 0), *widths]
        self.stages = nn.Sequential(
            *(
                Stage(inputs[i], c, expanded[i], groups[i], blocks[i], 4 << i, kernel_size, taps)
                for i, c in enumerate(widths)
            )
        )
        self.to_rgb = nn.Conv2d(widths[-1], img_channels, 1, bias=False)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, z_dim) and labels (N,) to pictures (N, C, R, R) in about [-1, 1]."""
        if self.num_classes:
            if labels is None:
                raise ValueError("this generator is class-conditional: labels are needed")
            z = torch.cat([z, F.embedding(labels, self.embed.weight.T)], dim=1)
        picture: Tensor = self.to_rgb(self.stages(z))
        return picture
