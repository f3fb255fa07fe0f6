"""Samples to measure, and how far the noise inputs alone change them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..generators.sampling import drawing, noise_maps
from ..images.levels import to_uint8

__all__ = ["noise_redraw_psnr", "sample"]


@torch.no_grad()
def sample(
    generator: nn.Module, count: int, seed: int, truncation: float = 1.0, batch: int = 250
) -> tuple[Tensor, Tensor | None]:
    """Draw uint8 pictures (count, 3, H, W) on the CPU, classes in turn, and their labels.

    Latents and noise maps are a function of ``seed``.

    Args:
        generator: as :func:`lightning_inpaint.generators.load_generator` returns it.
        count: pictures.
        seed: of latents and noise maps.
        truncation: share of its deviation from its class's mean style that a style keeps, in (0, 1], as
            completions are drawn; native generators only, 1 for others.
        batch: pictures generated at a time.
    """
    network: Any = generator
    draw = drawing(network, truncation)
    device = next(generator.parameters()).device
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % network.num_classes if network.num_classes else None
    pictures = []
    for start in range(0, count, batch):
        n = min(batch, count - start)
        z = torch.randn(n, network.z_dim, generator=stream).to(device)
        noise = noise_maps(network, n, stream)
        picked = None if labels is None else labels[start : start + n].to(device)
        drawn = draw(z, picked, noise)
        pictures.append(to_uint8(drawn).cpu())
    return torch.cat(pictures), labels


@torch.no_grad()
def noise_redraw_psnr(
    generator: nn.Module, count: int = 200, seed: int = 0, truncation: float = 1.0
) -> float:
    """How alike two pictures of the same z and class are when only the noise maps are drawn anew.

    Returns:
        Peak signal-to-noise ratio in dB, from the mean squared difference over all samples (peak 2
        on [-1, 1]); infinite without noise inputs.
    """
    network: Any = generator
    if not getattr(network, "noise_shapes", []):
        return math.inf
    device = next(generator.parameters()).device
    stream = torch.Generator().manual_seed(seed)
    z = torch.randn(count, network.z_dim, generator=stream).to(device)
    labels = (torch.arange(count) % network.num_classes).to(device) if network.num_classes else None
    draw = drawing(network, truncation)
    pair = [draw(z, labels, noise_maps(network, count, stream)) for _ in range(2)]
    error = (pair[0].clamp(-1, 1) - pair[1].clamp(-1, 1)).square().mean().item()
    return 10 * math.log10(4 / error) if error > 0 else math.inf
