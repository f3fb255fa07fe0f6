"""What callbacks see of a walk under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from ..protocols import WatchesSampler
from .posterior import Posterior
from .walk import Report

__all__ = ["SamplerState", "report_to_callbacks"]


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


def report_to_callbacks(
    module: pl.LightningModule, posterior: Posterior, batch: dict[str, Any], batch_idx: int
) -> Report | None:
    """A function that hands the state of a walk to the callbacks that ask for it; None without a trainer.

    Args:
        module: whose trainer has the callbacks.
        posterior: that the chains walk in.
        batch: what they complete.
        batch_idx: its number.
    """
    trainer: Any = module._trainer
    if trainer is None:
        return None
    watching = [c for c in trainer.callbacks if isinstance(c, WatchesSampler)]

    @torch.no_grad()
    def decode(u: Tensor) -> Tensor:
        return posterior.outcome(u)[0]

    def report(step: int, steps: int, energy: Tensor, u: Tensor, work: tuple[int, int]) -> None:
        state = SamplerState(step, steps, energy, batch_idx, batch, u, decode, work)
        for callback in watching:
            callback.on_sampler_step(trainer, module, state)

    return report
