"""A tiny training run: made-up pictures in two classes and an 8x8 network."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from lightning_inpaint.datamodules.training_pictures import TrainingPictures
from lightning_inpaint.training import GeneratorTraining

TINY = {
    "z_dim": 4,
    "w_dim": 4,
    "channel_base": 32,
    "channel_max": 4,
    "resolution": 8,
    "discriminator_base": 32,
}


def write_pictures(folder, names=("ant", "bee"), each=4, side=8):
    """Random pictures in class folders."""
    random = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            picture = random.integers(0, 255, (side, side, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_pictures(tmp_path / "pictures")


@pytest.fixture
def make(folder):
    """Builds module and data with the same initial weights every time."""

    def build(batch_size=4, conditional=True, **options):
        side = options.get("resolution", 8)
        data = TrainingPictures(
            str(folder),
            resolution=side,
            resize=True,
            batch_size=batch_size,
            conditional=conditional,
        )
        torch.manual_seed(0)
        module = GeneratorTraining(
            num_classes=data.num_classes, class_names=data.class_names, **{**TINY, **options}
        )
        return module, data

    return build


@pytest.fixture
def trainer(tmp_path):
    """A quiet CPU trainer."""

    def build(steps, **options):
        quiet = {
            "accelerator": "cpu",
            "devices": 1,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "default_root_dir": tmp_path,
            "max_epochs": -1,
        }
        return pl.Trainer(**{**quiet, "max_steps": steps, **options})

    return build


@pytest.fixture
def resumes_exactly(make, trainer, tmp_path):
    """Checks that two steps and one more after resuming equal three."""

    def check(**options):
        whole, data = make(**options)
        trainer(3).fit(whole, data)
        first, data = make(**options)
        run = trainer(2)
        run.fit(first, data)
        run.save_checkpoint(tmp_path / "two.ckpt")
        second, data = make(**options)
        trainer(3).fit(second, data, ckpt_path=tmp_path / "two.ckpt", weights_only=True)
        for name, value in whole.state_dict().items():
            assert torch.equal(value, second.state_dict()[name]), name

    return check
