"""Train on two processes and on one: ``python -m tests.lightning_inpaint.training.ddp_job FOLDER``.

Prints the largest difference of any parameter. The processes are forked, which must happen before
this process's first backward pass.
"""

import sys

import pytorch_lightning as pl
import torch

from datamodules.training_pictures import TrainingPictures
from lightning_inpaint.training import AverageGenerator, GeneratorTraining
from tests.lightning_inpaint.training.conftest import TINY

OPTIONS = TINY | {
    "r1_interval": 2,
    "style_mixing": 0.5,
    "learning_rate": 0.01,
    "noise_limit": 0.05,
    "group": 0,  # groups are formed within a device
}


def train(folder: str, devices: int, **options: str) -> GeneratorTraining:
    """Three steps of the same run on so many devices."""
    data = TrainingPictures(folder, resolution=8, batch_size=4)
    torch.manual_seed(0)
    module = GeneratorTraining(num_classes=data.num_classes, **OPTIONS).double()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=devices,
        max_steps=3,
        max_epochs=-1,
        callbacks=[AverageGenerator()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **options,
    )
    trainer.fit(module, data)
    return module


def main(folder: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    before = GeneratorTraining(num_classes=2, **OPTIONS).double().state_dict()
    joint = train(folder, 2, strategy="ddp_fork").state_dict()
    alone = train(folder, 1).state_dict()
    moved = sum(not torch.equal(alone[k], before[k]) for k in alone)
    difference = max((alone[k] - joint[k]).abs().max().item() for k in alone)
    print(f"moved {moved} difference {difference}")


if __name__ == "__main__":
    main(sys.argv[1])
