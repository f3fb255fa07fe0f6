"""Metrics on vectors whose answers are known."""

import pytest
import torch

from lightning_inpaint.evaluation import (
    frechet_distance,
    kernel_distance,
    nearest_neighbours,
    precision_recall,
)


def normal(count, width, seed, shift=0.0, scale=1.0):
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=stream) * scale + shift


def test_frechet_distance_of_gaussians():
    # |shift|^2 + d (scale - 1)^2 for isotropic Gaussians.
    distance = frechet_distance(normal(20_000, 4, 0), normal(20_000, 4, 1, 0.5, 2.0))
    assert distance == pytest.approx(4 * 0.25 + 4 * 1.0, rel=0.03)


def test_distances_of_equal_sets_vanish():
    x = normal(400, 4, 0)
    assert abs(frechet_distance(x, x)) < 1e-6
    assert abs(kernel_distance(x, normal(400, 4, 1), subset=200)) < 0.1
    assert kernel_distance(x, x + 1, subset=200) > 0.5


def test_precision_and_recall_tell_sharp_from_diverse():
    real = normal(500, 2, 0)
    precision, recall = precision_recall(real, normal(500, 2, 1, scale=0.1))
    assert precision > 0.95
    assert recall < 0.3
    precision, recall = precision_recall(real, normal(500, 2, 1, scale=10.0))
    assert precision < 0.2
    assert recall > 0.8


def test_nearest_neighbours():
    pictures = torch.arange(12_000.0)[:, None]
    where, distance = nearest_neighbours(torch.tensor([[3.2], [11_998.9]]), pictures)
    assert where.tolist() == [3, 11_999]
    torch.testing.assert_close(distance, torch.tensor([0.2, 0.1]), rtol=0, atol=2e-2)
