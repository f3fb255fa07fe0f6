"""Exponential moving average of the generator as a callback."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from ...training import GeneratorTraining

__all__ = ["AverageGenerator"]


class AverageGenerator(pl.Callback):
    """Updates :attr:`GeneratorTraining.average` (torch's ``AveragedModel``) after each step.

    Lightning's own ``WeightAveraging`` averages and copies the whole module; here the discriminator
    would be copied for nothing, so only the generator is averaged.

    Args:
        every_n_steps: Steps from one update to the next.
    """

    def __init__(self, every_n_steps: int = 1) -> None:
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move the averages towards the weights of this step."""
        assert isinstance(pl_module, GeneratorTraining)
        if pl_module.steps % self.every_n_steps == 0:
            pictures = len(batch["image"]) * trainer.world_size * self.every_n_steps
            pl_module.update_average(pictures)
