"""Gauss-Newton over secants: exact on linear residuals, each row by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lightning_inpaint.optim.gauss_newton import (
    curvature,
    descend,
    determined,
    linearized,
    secants,
)

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


def potential(residual, u: Tensor, row: Tensor, std: Tensor) -> Tensor:
    squares = residual(u[None], row[None]).square().sum()
    return squares / (2 * std.square()) + u.square().sum() / 2


@pytest.mark.parametrize("row", range(4))
def test_a_linear_residual_is_solved_at_once(row: int) -> None:
    u, number, std = start()[row], torch.tensor(row), torch.tensor(0.3).double()
    found = descend(linear, u, number, std, torch.tensor(1e-9).double(), steps=1)
    covariance = torch.linalg.inv(torch.eye(5) + MATRIX.T @ MATRIX / std.square())
    mean = covariance @ (MATRIX.T @ TARGETS[row]) / std.square()
    torch.testing.assert_close(found.u, mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.energy, linear(found.u[None], number[None]).square().sum())
    gain = potential(linear, u, number, std) - potential(linear, found.u, number, std)
    torch.testing.assert_close(found.gain, gain)
    square = linearized(linear, u[None], number[None]).square
    torch.testing.assert_close(
        torch.linalg.inv(curvature(square, std[None]))[0], covariance, rtol=1e-6, atol=1e-9
    )


def test_steps_without_a_jacobian_of_their_own_go_on_downhill() -> None:
    u, row, std = start()[1], torch.tensor(1), torch.tensor(0.2).double()
    damping = torch.tensor(1e-2).double()
    gains = [float(descend(bent, u, row, std, damping, steps=n).gain) for n in (1, 2, 3, 6)]
    assert 0 < gains[0] < gains[1] < gains[2] <= gains[3]


def test_no_step_is_taken_uphill_nor_into_nothing() -> None:
    def broken(u: Tensor, rows: Tensor) -> Tensor:
        moved = (u != start()[0]).any(dim=1, keepdim=True)
        return torch.where(moved, torch.nan, linear(u, rows))

    u, row, std = start()[0], torch.tensor(0), torch.tensor(0.2).double()
    found = descend(broken, u, row, std, torch.tensor(1e-2).double())
    assert torch.equal(found.u, u)
    assert found.gain == 0


def test_rows_are_alone() -> None:
    u = start()
    together = linearized(bent, u, torch.arange(4))
    alone = linearized(bent, u[2:3], torch.tensor([2]))
    for whole, part in zip(together, alone, strict=True):
        assert torch.equal(whole[2:3], part)


def test_a_draw_misses_by_as_many_variances_more_as_latents_are_determined() -> None:
    """Of a linear residual: E |r|^2 is that of the mode and tr(J A^-1 J^T), A = I + J^T J / sigma^2."""
    std = torch.tensor(0.3, dtype=torch.float64)
    end = descend(linear, start()[0], torch.tensor(0), std, torch.tensor(1e-2).double())
    whole = curvature((MATRIX.T @ MATRIX)[None], std[None])
    more = torch.trace(MATRIX @ torch.linalg.inv(whole[0]) @ MATRIX.T) / std**2
    torch.testing.assert_close(determined(whole)[0], more)
    torch.testing.assert_close(end.determined, more, rtol=1e-3, atol=0)
