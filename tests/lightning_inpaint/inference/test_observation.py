"""Energy of the known pixels."""

import math

import pytest
import torch

from lightning_inpaint.inference.observation import known_psnr, known_weight, masked_squared_error


def test_only_known_pixels_count_and_pictures_stay_apart():
    target = torch.zeros(2, 3, 4, 4)
    pictures = torch.ones(2, 3, 4, 4)
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, :, :, 2:] = 1  # fill the right half of the first picture
    energy = masked_squared_error(pictures, target, known_weight(mask))
    assert energy.tolist() == [24.0, 48.0]


def test_grey_mask_weighs_in_part():
    mask = torch.full((1, 1, 2, 2), 0.25)
    energy = masked_squared_error(
        torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), known_weight(mask)
    )
    assert energy.item() == pytest.approx(3.0)


def test_psnr_is_that_of_the_mean_squared_error_on_a_range_of_two():
    known = torch.ones(1, 1, 2, 2)
    psnr = known_psnr(torch.tensor([12 * 0.01]), known, channels=3)
    assert psnr.item() == pytest.approx(10 * math.log10(4 / 0.01))
    assert known_psnr(torch.tensor([1.0]), known * 0, channels=3).isnan().all()
