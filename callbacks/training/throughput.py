"""Pictures seen, throughput and time left beside the progress bar."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl

from ...training import GeneratorTraining

__all__ = ["Throughput"]


class Throughput(pl.Callback):
    """Logs ``pictures`` (seen so far), ``pictures_per_second`` and ``minutes_left``.

    Args:
        every_n_steps: Steps over which the rate is taken.
    """

    def __init__(self, every_n_steps: int = 20) -> None:
        self.every_n_steps = every_n_steps
        self._since: tuple[float, int] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        assert isinstance(pl_module, GeneratorTraining)
        self._since = (time.monotonic(), pl_module.seen)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log at intervals."""
        assert isinstance(pl_module, GeneratorTraining)
        step = pl_module.steps
        if step % self.every_n_steps or self._since is None:
            return
        now, seen = time.monotonic(), pl_module.seen
        rate = (seen - self._since[1]) / max(now - self._since[0], 1e-9)
        self._since = (now, seen)
        pl_module.log("pictures", float(seen), prog_bar=True)
        pl_module.log("pictures_per_second", rate, prog_bar=True)
        total = pl_module.hparams.total_pictures
        if total and rate > 0:
            pl_module.log("minutes_left", max(total - seen, 0) / rate / 60, prog_bar=True)
