"""Train on two processes and on one: ``python -m tests.lightning_inpaint.training.ddp_job FOLDER [GUIDE]``.

Prints the largest difference of any parameter. The processes are forked, which must happen before
this process's first backward pass.
"""

import sys

import pytorch_lightning as pl
import torch

from lightning_inpaint.callbacks.training import AverageGenerator
from lightning_inpaint.datamodules.training_pictures import TrainingPictures
from lightning_inpaint.training import GeneratorTraining
from tests.lightning_inpaint.training.conftest import TINY

OPTIONS = TINY | {
    "r1_interval": 2,
    "learning_rate": 0.01,
    "noise_limit": 0.05,
    "group": 0,  # groups are formed within a device
}


def build(guide: str | None) -> GeneratorTraining:
    """The module with the same weights every time; with a classifier's file, guided by it."""
    guided = (
        {"resolution": 32, "channel_base": 64, "guide": guide, "matching": 5.0} if guide else {}
    )
    torch.manual_seed(0)
    return GeneratorTraining(num_classes=2, class_names=["ant", "bee"], **OPTIONS | guided).double()


def train(folder: str, guide: str | None, devices: int, **options: str) -> GeneratorTraining:
    """Three steps of the same run on so many devices."""
    module = build(guide)
    side = module.hparams.resolution
    data = TrainingPictures(folder, resolution=side, resize=True, batch_size=4)
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


def main(folder: str, guide: str | None = None) -> None:
    torch.set_num_threads(1)
    before = build(guide).state_dict()
    joint = train(folder, guide, 2, strategy="ddp_fork").state_dict()
    alone = train(folder, guide, 1).state_dict()
    moved = sum(not torch.equal(alone[k], before[k]) for k in alone)
    # The order in which features are remembered is no one's business.
    compared = [k for k in alone if k not in ("energy.real", "energy.fake")]
    difference = max((alone[k] - joint[k]).abs().max().item() for k in compared)
    print(f"moved {moved} difference {difference}")


if __name__ == "__main__":
    main(*sys.argv[1:])
