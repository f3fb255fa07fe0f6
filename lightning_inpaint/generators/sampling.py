"""A generator's own samples: latents, class, noise maps and truncation in, pictures out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from .mapping import truncated
from .stylegan2 import StyleGAN2Generator

__all__ = ["Draw", "drawing", "noise_maps"]

Draw = Callable[[Tensor, Tensor | None, Sequence[Tensor] | None], Tensor]
"""(z (N, z_dim), labels (N,) or None, noise maps or None = the stored ones) to pictures (N, C, H, W) in about
[-1, 1]."""


def drawing(generator: nn.Module, truncation: float = 1.0) -> Draw:
    """What draws pictures of a generator's latents.

    Args:
        generator: any generator of the registry.
        truncation: share of its deviation from its class's mean style that a style keeps: 1 = all, 0 draws
            the average of each class; native generators only.

    Raises:
        UserError: ``truncation`` is not 1 and the generator is not a native one.
    """
    network: Any = generator
    if not isinstance(network, StyleGAN2Generator):
        if truncation != 1:
            raise UserError("only StyleGAN2 generators have truncation; leave it at 1.")
        return lambda z, labels, noise: network(z, labels)
    means = None if truncation == 1 else network.mapping.class_means()

    def draw(z: Tensor, labels: Tensor | None, noise: Sequence[Tensor] | None) -> Tensor:
        ws = network.mapping.distinct(z, labels)
        if means is not None:
            ws = truncated(ws, means, labels, truncation)
        return network.synthesis(ws, "const" if noise is None else noise)

    return draw


def noise_maps(generator: nn.Module, pictures: int, stream: torch.Generator) -> list[Tensor] | None:
    """Noise maps (N, 1, H, W) of a CPU stream, on the generator's device; None if it has no noise inputs."""
    network: Any = generator
    shapes = getattr(network, "noise_shapes", None)
    if not shapes:
        return None
    device = next(generator.parameters()).device
    return [torch.randn(pictures, 1, *shape, generator=stream).to(device) for shape in shapes]
