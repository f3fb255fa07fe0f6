"""Between 0..255 and [-1, 1]."""

import pytest
import torch

from lightning_inpaint.images.levels import from_uint8, to_uint8


def test_to_uint8_rounds_and_clamps():
    pictures = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0])
    assert to_uint8(pictures).tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_level_survives_the_way_there_and_back(dtype):
    every = torch.arange(256, dtype=torch.uint8)
    pictures = from_uint8(every, dtype)
    assert pictures.dtype == dtype
    assert pictures[[0, 255]].tolist() == [-1, 1]
    assert torch.equal(to_uint8(pictures), every)
