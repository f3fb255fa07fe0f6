"""Notices a run that has gone wrong and stops it with the last good checkpoint kept."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch

from ...errors import ArgumentError
from ...training import GeneratorTraining

__all__ = ["DivergenceGuard"]


class DivergenceGuard(pl.Callback):
    """Stops training when a loss or weight is not finite or when samples collapse to one picture.

    It raises before the checkpoint callback of the same step runs, and refuses to write weights that
    are not finite in between, so the last file written is from before the accident; the message says
    where to resume and what to change.

    Args:
        every_n_steps: Steps from one look to the next (each waits for the device once).
        min_spread: Smallest standard deviation over samples, mean over pixels, on the [-1, 1] scale.
        samples: Samples drawn for that.
    """

    def __init__(
        self, every_n_steps: int = 100, min_spread: float = 0.02, samples: int = 16
    ) -> None:
        self.every_n_steps, self.min_spread, self.samples = every_n_steps, min_spread, samples

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look at losses and samples.

        Raises:
            UserError: they are not finite, or all samples are alike.
        """
        assert isinstance(pl_module, GeneratorTraining)
        step = pl_module.steps
        if step % self.every_n_steps:
            return
        wrong = self._losses(trainer) or self._spread(pl_module)
        if wrong:
            raise _diverged(trainer, step, wrong)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the last good checkpoint.

        Raises:
            UserError: a weight is not finite.
        """
        assert isinstance(pl_module, GeneratorTraining)
        norms = torch.stack(torch._foreach_norm(list(pl_module.parameters())))
        if not torch.isfinite(norms).all():
            raise _diverged(trainer, pl_module.steps, "weights are not finite")

    def _losses(self, trainer: pl.Trainer) -> str:
        for name, value in trainer.callback_metrics.items():
            if name.startswith("loss/") and not math.isfinite(float(value)):
                return f"{name} is {float(value)}"
        return ""

    @torch.no_grad()
    def _spread(self, module: GeneratorTraining) -> str:
        stream = torch.Generator(module.device).manual_seed(0)
        z = torch.randn(
            self.samples, module.generator.z_dim, device=module.device, generator=stream
        )
        classes = module.generator.num_classes
        labels = torch.zeros(len(z), dtype=torch.int64, device=module.device) if classes else None
        # .forward is never compiled: this batch size would be compiled for itself alone.
        pictures = module.generator.forward(z, labels).float()
        if not torch.isfinite(pictures).all():
            return "generated pictures are not finite"
        spread = float(pictures.clamp(-1, 1).std(dim=0).mean())
        if spread < self.min_spread:
            return f"samples are all alike (spread {spread:.4f} below {self.min_spread})"
        return ""


def _diverged(trainer: pl.Trainer, step: int, wrong: str) -> ArgumentError:
    good = getattr(trainer.checkpoint_callback, "last_model_path", "")
    where = f"resume with `ckpt_path={good}`" if good else "start again"
    return ArgumentError(
        f"Training diverged at step {step}: {wrong}; {where} and a lower "
        "`model.learning_rate`, or a larger `model.r1_gamma`.",
        "",
    )
