"""Reheating: its trajectories are those of the posterior at their sigma."""

from __future__ import annotations

import torch
from torch import Tensor
from toys import Problem, linear_problem

from lightning_inpaint.noise import Purpose
from lightning_inpaint.optim.reheating import Reheating


def heated(problem: Problem, u: Tensor, hot: float, cold: float, length: int) -> Tensor:
    """Where chains at ``u`` are after ``length`` trajectories from ``hot`` to ``cold``."""
    n, size = u.shape
    rows, heat = torch.arange(n), Reheating(u)
    heat.begin(rows, torch.full((n,), hot), torch.full((n,), cold))

    def gradient(at: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = at.detach().requires_grad_(True)
            energy = problem.residual(leaf, rows).square().sum(dim=1)
            (grad,) = torch.autograd.grad(energy.sum(), leaf)
        return energy.detach(), grad

    energy = gradient(u, rows)[0]
    for number in range(length):
        u, energy = heat.step(
            problem.residual,
            gradient,
            rows,
            (u, energy),
            number / max(length - 1, 1),
            problem.streams.uniform(number, 2, Purpose.ACCEPT),
            problem.streams.normal(number, size, Purpose.MOMENTUM),
            8,
            number % 4 == 0,
        )
    torch.testing.assert_close(energy, gradient(u, rows)[0])
    return u


def test_at_one_sigma_it_draws_from_the_closed_form() -> None:
    problem, mean, covariance = linear_problem(4000, 0.5)
    ends = heated(problem, problem.u.detach(), 0.5, 0.5, 12)
    z = (ends.mean(dim=0) - mean) / (covariance.diag() / len(ends)).sqrt()
    assert z.abs().max() < 4
    ratio = torch.linalg.eigvals(torch.linalg.solve(covariance, torch.cov(ends.T))).real
    assert 0.88 < ratio.min() < ratio.max() < 1.12


def test_it_leaves_the_valley_that_it_began_in() -> None:
    """Two valleys of one latent with a high wall between them; all chains begin in the worse one."""

    def decode(u: Tensor) -> Tensor:
        return torch.cat([u.square() - 1, 0.3 * (u - 1)], dim=1)

    problem = Problem(decode, torch.zeros(2), torch.ones(2), torch.full((400, 1), -1.0))
    start = problem.u.detach()
    warm, cool = (heated(problem, start, hot, 0.05, 32) for hot in (3.0, 0.05))
    assert (warm > 0).float().mean() > 0.5
    assert (cool > 0).float().mean() < 0.02
