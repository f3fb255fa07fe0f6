"""The figure of completions, sent to every logger that takes images."""

from __future__ import annotations

from pytorch_lightning import LightningModule, Trainer

from ..errors import ArgumentError, UserError
from .figure import completions_figure, energies_figure
from .finish import Finisher
from .loggers import log_image
from .result import RunResult

__all__ = ["CompletionLogger"]


class CompletionLogger(Finisher):
    """Logs completions and energy curves as images, when all pictures are done.

    Loggers live on rank zero only, so the pictures of all processes are read back from the output
    folder and logged together, under ``completions`` (rows original, masked, completions, full generated
    images) and ``energies``, with one step per group of pictures. Loggers that take no images, such as the CSV
    logger, are passed over.

    Args:
        pictures: How many pictures to log, from the first one on.
        columns: Pictures per image.
        chains: How many completions to show of each, from the best one on.
        side: Size of each picture in the image, in pixels.
    """

    def __init__(
        self, pictures: int = 32, columns: int = 8, chains: int = 4, side: int = 96
    ) -> None:
        options = {"pictures": pictures, "columns": columns, "chains": chains, "side": side}
        for name, value in options.items():
            if value < 1:
                raise UserError(f"CompletionLogger's {name} is {value}: it must be at least 1.")
        self.pictures, self.columns, self.chains, self.side = pictures, columns, chains, side

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "predict" and not trainer.loggers:
            raise ArgumentError("CompletionLogger has no logger to log to: pass `trainer.logger`.")

    def finish(self, trainer: Trainer, run: RunResult) -> None:
        shown = run.records[: self.pictures]
        for step, start in enumerate(range(0, len(shown), self.columns)):
            records = shown[start : start + self.columns]
            images = {
                "completions": completions_figure(run.folder, records, self.chains, self.side),
                "energies": energies_figure(records),
            }
            for logger in trainer.loggers:
                for key, image in images.items():
                    log_image(logger, key, image, step)
