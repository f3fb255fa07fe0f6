"""Descents at a falling sigma."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_inpaint.optim.tempered import TemperedDescent, flat_std


def test_flat_std_lets_half_of_the_draws_count() -> None:
    energy = torch.rand(3, 400, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [[1.0], [100.0], [1e6]]
    )
    std = flat_std(energy)
    weight = (-energy / (2 * std.square()[:, None])).double().exp()
    size = weight.sum(dim=1).square() / weight.square().sum(dim=1)
    torch.testing.assert_close(size / 400, torch.full((3,), 0.5).double(), atol=1e-3, rtol=0)


def test_a_search_without_spread_is_finite() -> None:
    assert flat_std(torch.ones(2, 8)).isfinite().all()


def gradient(u: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Of the energy sum (u - row)^4."""
    away = u - rows[:, None]
    return away.pow(4).sum(dim=1), 4 * away.pow(3)


def test_at_one_sigma_it_is_adam_on_the_potential() -> None:
    torch.manual_seed(0)
    u, anchor, precision = torch.randn(3, 5), torch.randn(3, 5), torch.rand(1, 5)
    std, steps = torch.tensor([0.5, 1.0, 2.0]), 40
    descent, rows = TemperedDescent(u, precision), torch.arange(3)
    descent.begin(rows, std, std)
    expected = u.clone().requires_grad_(True)
    adam = torch.optim.Adam([expected], lr=0.1, betas=(0.9, 0.99))
    for number in range(30):  # before the rate falls
        u, _ = descent.step(gradient, rows, u, anchor, number, steps, 0.1, (0.9, 0.99))
        adam.zero_grad()
        energy, _ = gradient(expected, rows)
        pull = (precision * (expected - anchor).square()).sum(dim=1) / 2
        (energy / (2 * std.square()) + pull).sum().backward()
        adam.step()
    torch.testing.assert_close(u, expected.detach(), rtol=1e-5, atol=1e-5)


def test_sigma_falls_geometrically_and_rows_go_by_themselves() -> None:
    """With flat energies but for one slope, a step's slope tells the sigma."""
    u = torch.zeros(4, 1)
    descent = TemperedDescent(u, torch.zeros(1, 1))
    rows = torch.tensor([1, 3])
    descent.begin(rows, torch.tensor([8.0, 2.0]), torch.tensor([0.5, 1.0]))
    seen = []
    for number in range(10):
        descent.step(
            lambda u, rows: (torch.zeros(len(u)), torch.ones_like(u)),
            *(rows, u[rows], u[rows], number, 10, 0.1, (0.0, 0.0)),
        )
        seen.append((1 / (2 * descent.mean[rows, 0])).sqrt())
    found = torch.stack(seen)
    torch.testing.assert_close(found[0], torch.tensor([8.0, 2.0]))
    torch.testing.assert_close(found[9], torch.tensor([0.5, 1.0]))
    ratio = found[1:] / found[:-1]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
    assert not descent.mean[[0, 2]].any()
