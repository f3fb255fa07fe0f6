"""Guided diffusion on a linear generator, followed exactly: mean and covariance without Monte Carlo.

A step is affine in (u, noise): u' = A u + b + sqrt(beta) eps. A and b are read off the implemented
step at temperature zero from D + 1 chains, and the moments of the chain then follow in closed form.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from toys import Problem

from lightning_inpaint.optim import Diffusion

SIGMA, DIM = 0.4, 4


def observe(singular: list[float]) -> tuple[Tensor, Tensor]:
    """A generator R^4 -> R^6 with these singular values, and an observation."""
    gen = torch.Generator().manual_seed(3)
    left = torch.linalg.qr(torch.randn(6, DIM, generator=gen, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(DIM, DIM, generator=gen, dtype=torch.float64)).Q
    a = left @ torch.diag(torch.tensor(singular, dtype=torch.float64)) @ right.T
    return a, torch.randn(6, generator=gen, dtype=torch.float64)


def posterior(a: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    cov = torch.linalg.inv(torch.eye(DIM, dtype=a.dtype) + a.T @ a / SIGMA**2)
    return cov @ a.T @ y / SIGMA**2, cov


def moments(a: Tensor, y: Tensor, **options: object) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the chains after all steps of ``Diffusion``."""
    corners = torch.cat([torch.zeros(1, DIM), torch.eye(DIM)]).double()
    problem = Problem(lambda u: u @ a.T, y, torch.ones(6, dtype=torch.float64), corners)
    sampler = Diffusion([problem.group], noise_std=SIGMA, temperature=0.0, **options)
    mean = torch.zeros(DIM, dtype=torch.float64)
    cov = torch.eye(DIM, dtype=torch.float64)
    for beta in sampler.schedule.betas:
        problem.u.data.copy_(corners)
        sampler.step(problem.closure)
        shift = problem.u.detach()[0]
        matrix = (problem.u.detach()[1:] - shift).T
        mean = matrix @ mean + shift
        cov = matrix @ cov @ matrix.T + beta * torch.eye(DIM, dtype=torch.float64)
    return mean, cov


def test_inflated_guidance_is_exact_for_an_isotropic_generator() -> None:
    a, y = observe([0.9] * DIM)
    mean, cov = moments(
        a, y, estimator="inflated", spread=0.9, steps=800, beta_start=1e-6, beta_end=0.05
    )
    true_mean, true_cov = posterior(a, y)
    torch.testing.assert_close(mean, true_mean, rtol=0.03, atol=0.003)
    torch.testing.assert_close(cov.diagonal(), true_cov.diagonal(), rtol=0.03, atol=0)


@pytest.mark.parametrize("estimator", ["plugin", "mean"])
def test_plugin_and_mean_have_their_known_bias(estimator: str) -> None:
    """Along singular value s: v' = (sqrt(1 - beta) - beta abar s^2 / sigma^2)^2 v + beta."""
    singular = [1.2, 0.8, 0.4, 0.1]
    a, y = observe(singular)
    options = {"estimator": estimator, "steps": 400, "beta_start": 1e-4, "beta_end": 0.02}
    # the mean of the samples' gradients is the plugin's gradient plus noise: for a linear generator
    # temperature-free samples give the drift
    mean, cov = moments(a, y, schedule="linear", xstart_temp=0.0, **options)
    right = torch.linalg.eigh(a.T @ a).eigenvectors.flip(1)
    _, true_cov = posterior(a, y)
    betas = torch.linspace(1e-4, 0.02, 400, dtype=torch.float64).flip(0)
    bars = torch.cumprod(1 - betas.flip(0), 0).flip(0)
    for i, s in enumerate(singular):
        m, v = 0.0, 1.0
        pull = float(right[:, i] @ a.T @ y) / SIGMA**2
        for beta, bar in zip(betas.tolist(), bars.tolist(), strict=True):
            keep = (1 - beta) ** 0.5 - beta * bar * s**2 / SIGMA**2
            m, v = keep * m + beta * bar**0.5 * pull, keep**2 * v + beta
        direction = right[:, i]
        assert abs(float(direction @ mean) - m) < 1e-8
        assert abs(float(direction @ cov @ direction) / v - 1) < 1e-8
    strong = right[:, 0]
    variance, truth = (float(strong @ c @ strong) for c in (cov, true_cov))
    assert variance < 0.75 * truth  # guided twice as hard as it should be: too sure
