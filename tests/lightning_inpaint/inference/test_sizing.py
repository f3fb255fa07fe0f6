"""How large a batch may be, from what an energy gradient keeps."""

import gc
import os

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from lightning_inpaint import LatentInpainter
from lightning_inpaint.datamodules.base import MaskedPictures
from lightning_inpaint.datamodules.collate import Sample
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.sizing import bytes_per_chain, largest_batch
from lightning_inpaint.optim import MAP

CPU = torch.device("cpu")


class Grey(MaskedPictures):
    """Twenty grey pictures."""

    def setup(self, stage=None):
        self.begin([f"{i}" for i in range(20)])

    def sample(self, position):
        image = np.full((8, 8, 3), 128, dtype=np.uint8)
        return Sample(self.ids[position], position, image, np.zeros((8, 8), np.float32), 0)


def test_memory_counts_kept_features_and_latents(tiny_generator):
    plain = bytes_per_chain(LatentSpace(tiny_generator, "z"))
    features = 4 * 8 * (4 * 4 + 2 * 8 * 8)  # float32, eight channels at 4x4 and twice at 8x8
    assert features < plain < 20 * features
    with_noise = bytes_per_chain(LatentSpace(tiny_generator, "z+noise"))
    assert with_noise > plain


def test_chains_and_memory_limit_the_batch(tiny_generator, monkeypatch):
    space = LatentSpace(tiny_generator, "z")
    assert largest_batch(space, 1, CPU) == 64
    assert largest_batch(space, 3, CPU) == 16
    assert largest_batch(space, 1000, CPU) == 1
    pages = {"SC_PHYS_PAGES": 50 * bytes_per_chain(space) // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert largest_batch(space, 1, CPU) == 16


@pytest.mark.parametrize(("size", "batches"), [("auto", [16, 4]), (8, [8, 8, 4])])
def test_the_loader_asks_for_it(tiny_generator, size, batches):
    module = LatentInpainter(tiny_generator, sampler=lambda group: MAP(group, steps=1), chains=4)
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    done = trainer.predict(module, datamodule=Grey(batch_size=size))
    assert [len(c.id) for c in done] == batches


def test_the_measured_generator_is_let_go(tiny_generator):
    """A frozen layer that keeps its output once held on to it, and with it to its weights."""

    space = LatentSpace(tiny_generator, "z", None, 1.0)
    bytes_per_chain(space)
    gc.collect()
    before = _waiting()
    bytes_per_chain(space)
    gc.collect()
    assert _waiting() == before


def _waiting():
    """How many layers' backward passes wait for a gradient."""
    return sum("Backward" in type(each).__name__ for each in gc.get_objects())
