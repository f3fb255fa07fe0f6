"""One line before a job begins: what makes it faster, and why."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer

__all__ = ["SpeedLine"]


class SpeedLine(Callback):
    """Prints what ``precision`` and ``compile`` of a :class:`.LatentInpainter` have come to, and why."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line, on one process."""
        speed = getattr(pl_module, "speed", None)
        if speed is not None and trainer.is_global_zero:
            print(f"speed: {speed.line}", flush=True)
