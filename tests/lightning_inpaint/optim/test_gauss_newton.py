"""Gauss-Newton over secants: exact on linear residuals, each row by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lightning_inpaint.optim.gauss_newton import curvature, damped_step, linearized, secants

GEN = torch.Generator().manual_seed(0)
MATRIX = torch.randn(12, 5, generator=GEN, dtype=torch.float64)
TARGETS = torch.randn(4, 12, generator=GEN, dtype=torch.float64)


def linear(u: Tensor, rows: Tensor) -> Tensor:
    return u @ MATRIX.T - TARGETS[rows]


def bent(u: Tensor, rows: Tensor) -> Tensor:
    return linear(u, rows).tanh()


def start(n: int = 4) -> Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_secants_are_the_jacobian_of_a_smooth_residual() -> None:
    u, row = start()[2], torch.tensor(2)
    value, jt = secants(bent, u, row, width=1e-6)
    exact = torch.autograd.functional.jacobian(lambda x: bent(x[None], row[None])[0], u)
    torch.testing.assert_close(value, bent(u[None], row[None])[0])
    torch.testing.assert_close(jt.T, exact, atol=1e-5, rtol=0)


def test_a_linear_residual_is_solved_in_one_step() -> None:
    u, rows, std = start(), torch.arange(4), torch.tensor([0.1, 0.2, 0.5, 1.0]).double()
    at = linearized(linear, u, rows)
    step, promised = damped_step(at, u, std, torch.zeros(4).double())
    covariance = torch.linalg.inv(torch.eye(5) + MATRIX.T @ MATRIX / std.square()[:, None, None])
    mean = (covariance @ (TARGETS @ MATRIX / std.square()[:, None])[..., None])[..., 0]
    torch.testing.assert_close(u + step, mean, atol=1e-9, rtol=0)

    def potential(x: Tensor) -> Tensor:
        squares = linear(x, rows).square().sum(dim=1)
        return squares / (2 * std.square()) + x.square().sum(dim=1) / 2

    torch.testing.assert_close(potential(u) - potential(u + step), promised, rtol=1e-7, atol=0)
    torch.testing.assert_close(
        torch.linalg.inv(curvature(at.square, std)), covariance, rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("damping", [1e-2, 1.0, 1e3])
def test_damping_shortens_the_step_and_keeps_it_downhill(damping: float) -> None:
    u, rows, std = start(), torch.arange(4), torch.full((4,), 0.2).double()
    at = linearized(bent, u, rows)
    full, _ = damped_step(at, u, std, torch.zeros(4).double())
    step, promised = damped_step(at, u, std, torch.full((4,), damping).double())
    slope = at.slope / std.square()[:, None] + u
    assert (step.norm(dim=1) < full.norm(dim=1)).all()
    assert ((slope * step).sum(dim=1) < 0).all()
    assert (promised > 0).all()


def test_rows_are_alone() -> None:
    u = start()
    together = linearized(bent, u, torch.arange(4))
    alone = linearized(bent, u[2:3], torch.tensor([2]))
    for whole, part in zip(together, alone, strict=True):
        assert torch.equal(whole[2:3], part)
