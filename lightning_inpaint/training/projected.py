"""Projected discriminator: small heads on the layers of a frozen, trained network.

Sauer et al. 2021, "Projected GANs Converge Faster" (arXiv:2111.01007): the features of a frozen
network are mixed across channels and scales by fixed random projections, and one spectrally
normalized head per level is trained on them with the hinge loss. Heads here see the class through
one extra output per class and place, a projection discriminator (Miyato and Koyama 2018,
arXiv:1802.05637).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["Head", "ProjectedHeads"]


class Head(nn.Module):
    """Strided convolutions with spectral and batch norm, then one logit per class and place.

    Args:
        in_channels: channels of the projected features.
        widths: output channels of each stage.
        kernels: (kernel, stride, padding) of each stage.
        num_classes: 0 = unconditional.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        kernels: Sequence[tuple[int, int, int]],
        num_classes: int,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, (size, stride, padding) in zip(widths, kernels, strict=True):
            conv = nn.Conv2d(in_channels, width, size, stride, padding, bias=False)
            layers += [spectral_norm(conv), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
            in_channels = width
        self.layers = nn.Sequential(*layers)
        self.logits = spectral_norm(nn.Conv2d(in_channels, 1 + num_classes, 1))

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """(N, C, h, w) and labels (N,) to logits (N, places)."""
        out = self.logits(self.layers(x)).flatten(2)
        if out.shape[1] == 1 or labels is None:
            return out[:, 0]
        chosen = labels.view(-1, 1, 1).expand(-1, 1, out.shape[2]) + 1
        return out[:, 0] + out.gather(1, chosen)[:, 0]


class ProjectedHeads(nn.Module):
    """Heads on the levels of :class:`..evaluation.classifier.FrozenFeatures`.

    Each level is mixed with the next coarser one (fixed random 1x1 convolution, up-sampled) and
    projected by another fixed random 1x1 convolution. The finest level is nearly the pixels; its
    head is deepest, so that colour and texture are judged by a network trained for that.

    Args:
        channels: channels of the levels, finest first (four levels at 31, 15, 7 and 3 pixels).
        num_classes: 0 = unconditional.
        seed: of the random projections, which are stored as buffers.
    """

    WIDTHS = (64, 64, 128, 256)
    STAGES = ((48, 96, 128), (96, 128), (192,), (256,))
    DOWN, LAST = (4, 2, 1), (3, 1, 0)

    def __init__(self, channels: Sequence[int], num_classes: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        levels = len(channels)
        for k, (width, inside) in enumerate(zip(self.WIDTHS, channels, strict=True)):
            shape = (width, inside, 1, 1)
            project = torch.randn(shape, generator=generator) / inside**0.5
            self.register_buffer(f"project{k}", project)
            if k + 1 < levels:
                shape = (inside, channels[k + 1], 1, 1)
                mix = torch.randn(shape, generator=generator) / channels[k + 1] ** 0.5
                self.register_buffer(f"mix{k}", mix)
            stages = self.STAGES[k]
            kernels = [self.LAST if k == levels - 1 else self.DOWN] * len(stages)
            self.add_module(f"head{k}", Head(width, stages, kernels, num_classes))
        self.num_levels = levels

    def mixed(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Cross-scale and cross-channel mixing, coarsest first in the computation."""
        out: list[Tensor] = [features[-1]] * self.num_levels
        for k in range(self.num_levels - 2, -1, -1):
            down = F.conv2d(out[k + 1], getattr(self, f"mix{k}"))
            out[k] = features[k] + F.interpolate(down, size=features[k].shape[-2:])
        return [F.conv2d(x, getattr(self, f"project{k}")) for k, x in enumerate(out)]

    def forward(self, features: Sequence[Tensor], labels: Tensor | None) -> list[Tensor]:
        """Logits of each head, (N, places) each."""
        mixed = self.mixed(features)
        return [getattr(self, f"head{k}")(x, labels) for k, x in enumerate(mixed)]
