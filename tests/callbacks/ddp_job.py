"""A job on two processes: ``python -m tests.callbacks.ddp_job FOLDER SECONDS_PER_BATCH``."""

import sys
import time
from pathlib import Path

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import CSVLogger

from lightning_inpaint.callbacks import (
    CompletionFigure,
    CompletionLogger,
    CompletionWriter,
    EnergyLogger,
    EnergyTable,
    Gallery,
    Summary,
    UncertaintyMaps,
)
from tests.callbacks.made_up import MadeUp, MadeUpData


class Slow(MadeUp):
    """Takes its time over each batch, so that there is a moment to be killed in."""

    seconds = 0.0

    def predict_step(self, batch, batch_idx):
        time.sleep(self.seconds)
        return super().predict_step(batch, batch_idx)


def main(folder: Path, seconds: float) -> None:
    torch.set_num_threads(1)
    Slow.seconds = seconds
    callbacks = [
        CompletionWriter(str(folder)),
        UncertaintyMaps(),
        EnergyLogger(),
        CompletionLogger(),
        EnergyTable(),
        CompletionFigure(),
        Gallery(),
        Summary(),
    ]
    logger = CSVLogger(folder.with_name(f"{folder.name}-logs"), name="", version="")
    options = {"accelerator": "cpu", "devices": 2, "strategy": "ddp", "logger": logger}
    options |= {"enable_progress_bar": False, "enable_checkpointing": False}
    trainer = Trainer(callbacks=callbacks, **options)
    data = MadeUpData([f"cat/{i:02d}" for i in range(19)], batch_size=2)
    trainer.predict(Slow(chains=2), data, return_predictions=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
