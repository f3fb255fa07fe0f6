"""What callbacks see of a walk under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

__all__ = ["SamplerState"]


class SamplerState(NamedTuple):
    """Handed to every callback that has ``on_sampler_step(trainer, pl_module, state)``.

    Attributes:
        step: steps made so far, from 1 to ``steps``.
        steps: steps of the walk.
        energy: (N * K,) energies, on the device; reading them waits for it.
        batch_idx: number of the batch in the predict loop.
        batch: the batch itself.
        latents: (N * K, D), the chains (a view: copy to keep).
        work: evaluations that the steps made take, and all steps; None = as many as steps.
        decode: latents (N * K, D) to pictures (N * K, C, H, W) in [-1, 1], without gradients.
    """

    step: int
    steps: int
    energy: Tensor
    batch_idx: int
    batch: dict[str, Any]
    latents: Tensor
    decode: Callable[[Tensor], Tensor]
    work: tuple[int, int] | None = None
