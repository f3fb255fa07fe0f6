"""Elliptical slice sampling draws from posteriors of closed form, with few angles a step too."""

from __future__ import annotations

import pytest
import torch
from toys import Problem, prior_start

from lightning_inpaint.optim import EllipticalSlice


@pytest.mark.parametrize("shrinks", [2, 8])
def test_a_linear_generator_gives_the_closed_form_posterior(shrinks: int) -> None:
    gen = torch.Generator().manual_seed(0)
    a, y, std = torch.randn(5, 3, generator=gen) / 2, torch.randn(5, generator=gen), 0.8
    covariance = torch.linalg.inv(torch.eye(3) + a.T @ a / std**2)
    mean = covariance @ a.T @ y / std**2
    problem = Problem(lambda u: u @ a.T, y, torch.ones(5), prior_start(6000, 3))
    sampler = EllipticalSlice([problem.group], steps=400 // shrinks, noise_std=std, shrinks=shrinks)
    draws = problem.run(sampler)
    z = (draws.mean(dim=0) - mean) / (covariance.diag() / len(draws)).sqrt()
    assert z.abs().max() < 4
    ratio = torch.linalg.eigvals(torch.linalg.solve(covariance, torch.cov(draws.T))).real
    assert 0.92 < ratio.min() < ratio.max() < 1.08
    moved = sampler.diagnostics()["acceptance"].mean()
    assert (moved < 0.95) == (shrinks == 2)
