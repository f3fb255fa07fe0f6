"""A run that is stopped, or comes to its end, leaves a checkpoint of its last step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

__all__ = ["GentleStop"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class GentleStop(pl.Callback):
    """Lets the first SIGINT or SIGTERM end training after the running step; a second acts at once.

    When training ends, in this way or in another, the newest state becomes ``last.ckpt``; Lightning's
    own callback leaves the state of its last interval there. With several processes signals are left
    alone, since one process must not stop by itself.

    Attributes:
        number: the signal that ended training, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the two signals (after Lightning, which would leave in the middle)."""
        alone = trainer.world_size == 1
        if alone and threading.current_thread() is threading.main_thread():
            handler = self._handler(trainer)
            self._before = {number: signal.signal(number, handler) for number in SIGNALS}

    def _handler(self, trainer: pl.Trainer) -> Callable[[int, Any], None]:
        def stop(number: int, frame: Any) -> None:
            if self.number is not None:
                raise KeyboardInterrupt
            self.number = number
            trainer.should_stop = True

        return stop

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the state of the last step."""
        checkpoints: Any = trainer.checkpoint_callback
        if checkpoints is not None and checkpoints.save_last:
            path = checkpoints.last_model_path or Path(checkpoints.dirpath, "last.ckpt")
            trainer.save_checkpoint(path)
            checkpoints.last_model_path = str(path)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
