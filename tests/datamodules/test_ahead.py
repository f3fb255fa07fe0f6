"""What is said before a job begins, and how large its batches may be."""

import os
import warnings

import numpy as np
import pytest
from PIL import Image

from lightning_inpaint.datamodules import FolderMasks
from lightning_inpaint.datamodules.ahead import enlarged_ahead, most_in_memory, sizes_ahead
from lightning_inpaint.datamodules.references import PictureError


def folder(path, *sizes):
    path.mkdir()
    for number, size in enumerate(sizes):
        Image.new("RGB", size, (9, 90, 200)).save(path / f"{number}.png")
    return path


@pytest.mark.parametrize(
    ("sizes", "fit", "said"),
    [
        ([(32, 32), (64, 60)], "resize", None),
        ([(32, 32), (65, 60)], "resize", "1 of 2 pictures looked at are more than 2 times"),
        ([(400, 64)], "crop", None),
        ([(400, 96)], "crop", "the picture is .* up to 3.0-fold"),
        ([(4000, 3000)], "around", None),
        ([(4000, 3000)], "resize", "up to 125.0-fold .* `fit=around`"),
        ([], "resize", None),
    ],
)
def test_enlargement(sizes, fit, said):
    sentence = enlarged_ahead(sizes, 32, fit)
    if said is None:
        assert sentence is None
    else:
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(sentence)


def test_it_is_said_once_and_before_the_first_picture(tmp_path):
    data = FolderMasks(str(folder(tmp_path / "in", (80, 80), (90, 70))), image_size=8)
    data.setup("predict")
    with pytest.warns(UserWarning, match=r"2 of 2 pictures looked at .* up to 11\.2-fold"):
        data.predict_dataloader()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch in data.predict_dataloader():
            data.on_before_batch_transfer(batch, 0)
    assert [kind for _, kind, _ in data.notes] == ["enlarged", "enlarged"]


def test_pictures_that_cannot_be_read_are_left_for_later(tmp_path):
    path = folder(tmp_path / "in", (8, 8))
    (path / "bad.png").write_bytes((path / "0.png").read_bytes()[:20])
    data = FolderMasks(str(path), image_size=8)
    data.setup("predict")
    assert sizes_ahead(data.order, data.original_size) == [(8, 8)]


def test_only_some_are_looked_at():
    looked = []

    def size(position):
        looked.append(position)
        if position == 0:
            raise PictureError("no")
        return 10, 10

    assert len(sizes_ahead(range(10_000), size)) == 31
    assert max(looked) > 9000


def test_memory_follows_the_originals(monkeypatch):
    pages = {"SC_PHYS_PAGES": 1 << 20, "SC_PAGE_SIZE": 1 << 12}  # 4 GiB
    monkeypatch.setattr(os, "sysconf", pages.get)
    assert most_in_memory([(4000, 3000), (8, 8)], kept=2**20) == 128
    assert most_in_memory([(64, 64)], kept=2**20) == 2**30 // (8 * 64 * 64)
    assert most_in_memory([], kept=2**20) > 2**20
    assert np.isfinite(most_in_memory([(1, 1)], kept=2**20))
