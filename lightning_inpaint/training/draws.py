"""Random numbers of a training step as a function of seed, step and place in the joint batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["RowStream", "StepDraws"]


class RowStream:
    """Draws for rows of a joint batch: made for all rows, kept for one of equal parts.

    Args:
        generator: source of the numbers; it fixes the device. None = torch's global one, on the CPU.
        rank, world: the part to keep: the rank-th of ``world``.
        dtype: of real numbers.
    """

    def __init__(
        self,
        generator: torch.Generator | None = None,
        rank: int = 0,
        world: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.generator, self.rank, self.world, self.dtype = generator, rank, world, dtype
        self.device = torch.device("cpu") if generator is None else generator.device

    def _part(self, joint: Tensor, count: int) -> Tensor:
        return joint[self.rank * count : (self.rank + 1) * count]

    def _options(self) -> dict[str, Any]:
        return {"device": self.device, "generator": self.generator}

    def normal(self, count: int, *shape: int) -> Tensor:
        """N(0, 1) of shape (count, *shape)."""
        size = (count * self.world, *shape)
        return self._part(torch.randn(size, dtype=self.dtype, **self._options()), count)

    def uniform(self, count: int) -> Tensor:
        """Uniform in [0, 1), (count,)."""
        size = (count * self.world,)
        return self._part(torch.rand(size, dtype=self.dtype, **self._options()), count)

    def integers(self, count: int, low: int, high: int) -> Tensor:
        """Integers from ``low`` to ``high`` - 1, (count,)."""
        size = (count * self.world,)
        return self._part(torch.randint(low, high, size, **self._options()), count)

    def noise(self, count: int, sides: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Noise maps (count, 1, h, w) for each of ``sides``."""
        return [self.normal(count, 1, *side) for side in sides]


class StepDraws:
    """Streams of one step: a resumed run repeats them, several devices share one joint draw.

    Args:
        seed: of the run.
        step: number of the step.
        device: where tensors are made.
        rank, world: which of ``world`` equal parts of each draw is returned.
        dtype: of real numbers.
    """

    def __init__(
        self,
        seed: int,
        step: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.number = (seed << 40) + (step << 4)
        self.device, self.rank, self.world, self.dtype = device, rank, world, dtype

    def stream(self, purpose: int) -> RowStream:
        """A stream of its own for each purpose (0 to 15)."""
        source = torch.Generator(self.device).manual_seed((self.number + purpose) % 2**63)
        return RowStream(source, self.rank, self.world, self.dtype)
