"""The projected discriminator: small heads on a frozen network's activations.

Sauer et al. 2021, "Projected GANs Converge Faster" (arXiv:2111.01007): activations are mixed across
scales and channels by fixed random convolutions, and one head per scale learns from them. Here each
head scores every class and sees the deviation within small groups of pictures, and one more head sees
the pixels, as frozen activations tell little of colour and fine texture.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from .discriminator import group_deviation
from .losses import hinge_discriminator_loss, hinge_generator_loss, hinge_mismatch_loss
from .pretrained import FeaturePyramid

__all__ = ["ProjectedDiscriminator"]


class Head(nn.Module):
    """Spectrally normalized convolutions with batch norm, then a score per class and place.

    Args:
        in_channels: channels of the projected activations.
        widths: channels after each stage.
        halve: whether each stage halves the side.
        num_classes: 0 = unconditional.
        group: consecutive rows whose deviation is one more feature for each channel; 0 = none.
        stem: channels of a convolution before the stages, which has no batch norm; 0 = none.
    """

    # Deviations are small beside normalized activations.
    GAIN = 4.0

    def __init__(
        self,
        in_channels: int,
        widths: tuple[int, ...],
        halve: bool,
        num_classes: int,
        group: int,
        stem: int = 0,
    ) -> None:
        super().__init__()
        self.num_classes, self.group = num_classes, group
        stages: list[nn.Module] = []
        if stem:
            first = nn.Conv2d(in_channels, stem, 3, padding=1)
            stages, in_channels = [spectral_norm(first), nn.LeakyReLU(0.2)], stem
        for width in widths:
            size, stride = (4, 2) if halve else (3, 1)
            conv = nn.Conv2d(in_channels, width, size, stride, 1, bias=False)
            stages += [spectral_norm(conv), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
            in_channels = width
        self.stages = nn.Sequential(*stages)
        mix = nn.Conv2d(in_channels * (2 if group else 1), in_channels, 1)
        self.mix = nn.Sequential(spectral_norm(mix), nn.LeakyReLU(0.2))
        self.out = spectral_norm(nn.Conv2d(in_channels, 1 + num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, classes, places), or (N, 1, places) when unconditional."""
        x = self.stages(x)
        if self.group:
            deviation = group_deviation(x, self.group, channelwise=True) * self.GAIN
            x = torch.cat([x, deviation.expand_as(x)], dim=1)
        scores = self.out(self.mix(x)).flatten(2)
        return scores[:, :1] + scores[:, 1:] if self.num_classes else scores


class ProjectedDiscriminator(nn.Module):
    """Pictures to scores for every class at every place of each head.

    Args:
        pyramid: the frozen network, of twice the pictures' size.
        num_classes: 0 = unconditional.
        group: consecutive rows whose deviation the heads see (:func:`.discriminator.group_deviation`).
        seed: of the fixed random projections, which are saved with the weights.

    Attributes:
        place_weights: (places,), one over the places of each head: every head counts the same.
        opposed_weights: the same in the generator's loss, where the head of the pixels counts more.
    """

    WIDTHS = (64, 96, 160)
    STAGES = ((64, 128), (128,), (192,))
    PIXEL_STEM, PIXEL_STAGES = 32, (64, 128, 256)
    # Gradients through the frozen network are about eighty times as steep.
    PIXEL_WEIGHT = 10.0
    place_weights: Tensor
    opposed_weights: Tensor

    def __init__(
        self, pyramid: FeaturePyramid, num_classes: int = 0, group: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        self.pyramid, self.num_classes, self.group = pyramid, num_classes, group
        stream = torch.Generator().manual_seed(seed)
        channels, last = pyramid.channels, len(pyramid.channels) - 1

        def fixed(name: str, outside: int, inside: int) -> None:
            weight = torch.randn(outside, inside, 1, 1, generator=stream) / inside**0.5
            self.register_buffer(name, weight)

        for k, inside in enumerate(channels):
            fixed(f"project{k}", self.WIDTHS[k], inside)
            if k < last:
                fixed(f"mix{k}", inside, channels[k + 1])
            self.register_buffer(f"scale{k}", torch.ones(1, inside, 1, 1))
        self.heads = nn.ModuleList(
            Head(self.WIDTHS[k], self.STAGES[k], k < last, num_classes, group)
            for k in range(last + 1)
        )
        self.pixels = Head(3, self.PIXEL_STAGES, True, num_classes, group, self.PIXEL_STEM)
        halvings = [len(stages) for stages in self.STAGES[:-1]] + [0]
        sides = [side >> n for side, n in zip(pyramid.sides, halvings, strict=True)]
        # The pyramid is shown pictures of twice their size.
        sides.append((pyramid.size // 2) >> len(self.PIXEL_STAGES))
        weights = [torch.full((side**2,), 1 / side**2) for side in sides]
        self.register_buffer("place_weights", torch.cat(weights), persistent=False)
        weights[-1] = weights[-1] * self.PIXEL_WEIGHT
        self.register_buffer("opposed_weights", torch.cat(weights), persistent=False)

    @torch.no_grad()
    def calibrate(self, variances: list[Tensor]) -> None:
        """Bring the channels to a common scale, before the first step.

        Args:
            variances: of each scale's channels (1, C, 1, 1) over real pictures.
        """
        for k, variance in enumerate(variances):
            getattr(self, f"scale{k}").copy_(1 / (variance.sqrt() + 1e-3))

    @torch.no_grad()
    def variances(self, pictures: Tensor) -> list[Tensor]:
        """What :meth:`calibrate` takes, of pictures (N, 3, H, W) in [-1, 1]."""
        return [x.var(dim=(0, 2, 3), keepdim=True) for x in self.pyramid(pictures)]

    def projected(self, pictures: Tensor) -> list[Tensor]:
        """Mixed and projected activations, the finest scale first."""
        found: list[Any] = [
            x * getattr(self, f"scale{k}") for k, x in enumerate(self.pyramid(pictures))
        ]
        for k in range(len(found) - 2, -1, -1):
            coarse = F.conv2d(found[k + 1], getattr(self, f"mix{k}"))
            found[k] = (found[k] + F.interpolate(coarse, scale_factor=2)) * 0.5**0.5
        return [F.conv2d(x, getattr(self, f"project{k}")) for k, x in enumerate(found)]

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] to scores (N, classes, places); one class when unconditional."""
        seen = zip(self.heads, self.projected(pictures), strict=True)
        scores = [head(x) for head, x in seen] + [self.pixels(pictures)]
        return torch.cat(scores, dim=2)

    def loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """The hinge loss that it descends, from scores (N, places)."""
        return hinge_discriminator_loss(real, fake, self.place_weights)

    def opposed_loss(self, fake: Tensor) -> Tensor:
        """The generator's, from scores (N, places)."""
        return hinge_generator_loss(fake, self.opposed_weights)

    def mismatch_loss(self, real: Tensor, labels: Tensor) -> Tensor:
        """Real pictures under wrong classes as negatives, from scores (N, classes, places)."""
        return hinge_mismatch_loss(real, labels, self.place_weights)
