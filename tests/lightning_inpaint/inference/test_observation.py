"""Energy of the known pixels."""

import math

import pytest
import torch

from lightning_inpaint.inference.observation import (
    arrival,
    known_psnr,
    known_weight,
    masked_squared_error,
)


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


def test_a_draws_residual_has_chi2_one_and_arrives():
    generator = torch.Generator().manual_seed(0)
    known = torch.ones(500, 1, 16, 16)
    known[..., 8:] = 0
    noise = 0.05 * torch.randn(500, 3, 16, 16, generator=generator)
    energy = masked_squared_error(noise, torch.zeros_like(noise), known)
    chi2, arrived = arrival(energy, known, 3, 0.05)
    assert abs(chi2.mean() - 1) < 3 * (2 / (500 * 384)) ** 0.5
    assert arrived.mean() > 0.99
    further, not_arrived = arrival(1.25 * energy.mean()[None], known[:1], 3, 0.05)
    assert abs(further - 1.25) < 0.01
    assert not_arrived == 0


def test_where_nothing_is_known_nothing_has_arrived():
    found = arrival(torch.zeros(1), torch.zeros(1, 1, 4, 4), 3, 0.1)
    assert all(value.isnan().all() for value in found)
