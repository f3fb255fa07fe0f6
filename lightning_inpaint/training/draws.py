"""Random numbers of a training step as a function of seed, step and place in the joint batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["StepDraws", "mixed_styles"]


class StepDraws:
    """Streams of one step: a resumed run repeats them, several devices share one joint draw.

    Args:
        seed: of the run.
        step: number of the step.
        device: where tensors are made.
        rank, world: which of ``world`` equal parts of each draw is returned.
    """

    def __init__(
        self, seed: int, step: int, device: torch.device, rank: int = 0, world: int = 1
    ) -> None:
        self.number = (seed << 40) + (step << 4)
        self.device, self.rank, self.world = device, rank, world

    def stream(self, purpose: int) -> torch.Generator:
        """A generator of its own for each purpose (0 to 15)."""
        return torch.Generator(self.device).manual_seed((self.number + purpose) % 2**63)

    def _part(self, joint: Tensor, count: int) -> Tensor:
        return joint[self.rank * count : (self.rank + 1) * count]

    def normal(self, stream: torch.Generator, count: int, *shape: int) -> Tensor:
        """N(0, 1) of shape (count, *shape)."""
        total = count * self.world
        return self._part(torch.randn(total, *shape, device=self.device, generator=stream), count)

    def integers(self, stream: torch.Generator, count: int, below: int) -> Tensor:
        """Integers from 0 to ``below`` - 1, (count,)."""
        total = count * self.world
        joint = torch.randint(below, (total,), device=self.device, generator=stream)
        return self._part(joint, count)

    def uniform(self, stream: torch.Generator, count: int) -> Tensor:
        """Uniform in [0, 1), (count,)."""
        total = count * self.world
        return self._part(torch.rand(total, device=self.device, generator=stream), count)

    def noise(
        self, stream: torch.Generator, count: int, sides: Sequence[tuple[int, int]]
    ) -> list[Tensor]:
        """Noise maps (count, 1, h, w) for each of ``sides``."""
        return [self.normal(stream, count, 1, *side) for side in sides]


def mixed_styles(
    z: Tensor, layers: int, probability: float, draws: StepDraws, stream: torch.Generator
) -> Tensor:
    """One z per layer: from a random layer on, some rows take a second z (arXiv:1812.04948).

    Args:
        z: (N, z_dim).
        layers: style vectors of the synthesis network.
        probability: share of mixed rows.
        draws, stream: source of the second z, the layer and the choice.

    Returns:
        (N, layers, z_dim).
    """
    count = len(z)
    second = draws.normal(stream, count, z.shape[1])
    cut = 1 + draws.integers(stream, count, layers - 1)
    mixed = draws.uniform(stream, count) < probability
    later = mixed[:, None] & (torch.arange(layers, device=z.device) >= cut[:, None])
    return torch.where(later[:, :, None], second[:, None], z[:, None])
