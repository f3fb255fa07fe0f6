"""Latents that count by their direction alone: their radius is drawn exactly, and never collapses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from toys import Problem, prior_start

from lightning_inpaint.optim import HMC, MAP, AnnealedHMC, Langevin, Particles

WIDTH = 12


def spherical(u: Tensor) -> Tensor:
    """Two rows of twelve latents that count by direction, then four that are pixels."""
    rows = u[:, : 2 * WIDTH].unflatten(1, (2, WIDTH))
    rows = rows / rows.square().mean(2, keepdim=True).sqrt()
    mixed = torch.sin(rows.flatten(1) @ torch.linspace(-2, 2, 8 * WIDTH).view(24, 4).cos().to(u))
    return torch.cat([mixed, u[:, 2 * WIDTH :] + mixed], dim=1)


def problem(chains: int, dtype: torch.dtype = torch.float32) -> tuple[Problem, dict]:
    target = spherical(prior_start(1, 2 * WIDTH + 4, seed=9, dtype=dtype))
    start = prior_start(chains, 2 * WIDTH + 4, dtype=dtype)
    made = Problem(spherical, target, torch.ones(8, dtype=dtype), start)
    return made, {
        **made.group,
        "context": made.context(blocks=[(2, WIDTH), (4,)], scale_free=[0]),
    }


def squared_radii(u: Tensor) -> Tensor:
    return u[:, : 2 * WIDTH].unflatten(1, (2, WIDTH)).square().sum(2)


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (HMC, {"steps": 10}),
        (AnnealedHMC, {"steps": 40, "warm_up": 35}),
        (Langevin, {"steps": 20}),
        (Particles, {"steps": 8}),
    ],
)
def test_radii_are_drawn_from_their_chi_distribution(sampler, options) -> None:
    toy, group = problem(1000)
    squares = squared_radii(toy.run(sampler([group], noise_std=0.05, **options)))
    z_mean = (squares.mean(0) - WIDTH) / (2 * WIDTH / 1000) ** 0.5
    assert z_mean.abs().max() < 4
    assert (squares.var(0) / (2 * WIDTH) - 1).abs().max() < 0.25


def test_the_mode_keeps_the_radii_it_starts_with() -> None:
    toy, group = problem(20)
    before = squared_radii(toy.u.detach())
    after = squared_radii(toy.run(MAP([group], 100, 0.05)))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=0)


def test_a_new_radius_rescales_the_remembered_slope() -> None:
    toy, group = problem(5, torch.float64)
    sampler = HMC([group], 6, leapfrog=2, noise_std=0.3, step_size=0.1, burn_in=0.0)
    for _ in range(3):
        sampler.step(toy.closure)
        with torch.no_grad():
            sampler._redraw_radii(100 + sampler.step_count)
        potential, slope = sampler.here
        energy = toy.closure()
        torch.testing.assert_close(potential, energy / (2 * 0.3**2))
        torch.testing.assert_close(slope, toy.u.grad / (2 * 0.3**2), rtol=1e-6, atol=1e-9)


def test_a_block_that_is_not_there_is_refused() -> None:
    _, group = problem(2)
    with pytest.raises(ValueError, match="scale_free names block 5, but there are 2 blocks"):
        MAP([{**group, "context": replace(group["context"], scale_free=[5])}])
