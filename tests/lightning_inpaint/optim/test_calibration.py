"""Simulation-based calibration: truths rank among draws as draws do, and wrong samplers are caught.

Talts et al. 2018, arXiv:1804.06788. Truths come from the prior, observations from the model, chains start
at other prior draws; of a truth among L draws every rank is equally likely.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from toys import Problem, prior_start

from lightning_inpaint.optim import HMC, ChainOptimizer, EllipticalSlice, Search

SIMULATIONS, DRAWS = 240, 7


class Case(NamedTuple):
    """A generator R^size -> R^seen, of whose values the last two are hidden, and its noise."""

    decode: Callable[[Tensor], Tensor]
    size: int
    seen: int
    noise_std: float


def bent(u: Tensor) -> Tensor:
    """R^3 -> R^62, curved: a step without its test goes astray."""
    weight = torch.linspace(-2, 2, 186).view(3, 62).sin()
    return torch.tanh(0.7 * u @ weight) + 0.1 * (u @ weight.cos()).square()


def linear(u: Tensor) -> Tensor:
    """R^24 -> R^42, linear: every latent feels how large the noise is."""
    return 0.3 * u @ prior_start(24, 42, seed=8)


CURVED, STRAIGHT = Case(bent, 3, 62, 0.8), Case(linear, 24, 42, 0.4)


class UntestedSearch(Search):
    """Takes every trajectory."""

    def _accepted(self, log_ratio: Tensor, chance: Tensor) -> Tensor:
        return log_ratio.isfinite()


def p_values(
    kind: type[ChainOptimizer], case: Case, assumed: float = 1.0, **options
) -> dict[str, float]:
    """p of each quantity, by a chi^2 test of the ranks; ``assumed``: noise_std over the true one."""
    decode, size, seen, noise_std = case
    n = SIMULATIONS * DRAWS
    truth = prior_start(SIMULATIONS, size, seed=105)
    target = decode(truth) + noise_std * prior_start(SIMULATIONS, seen, seed=106)
    known = (torch.arange(seen) < seen - 2).float()
    rows = torch.arange(SIMULATIONS).repeat_interleave(DRAWS)
    problem = Problem(decode, target[rows], known, prior_start(n, size))
    ends = problem.run(kind([problem.group], noise_std=assumed * noise_std, **options))
    reference = decode(prior_start(SIMULATIONS, size, seed=107))[:, -2:]

    def quantities(u: Tensor, y: Tensor) -> Tensor:
        energy = ((decode(u) - y).square() * known).sum(dim=1)
        hidden = decode(u)[:, -2:]
        away = hidden - reference.repeat_interleave(len(u) // SIMULATIONS, 0)
        tarp = away.square().sum(dim=1)
        return torch.stack([u[:, 0], u.square().sum(dim=1), energy, hidden[:, 0], tarp], dim=1)

    drawn = quantities(ends, target[rows]).unflatten(0, (SIMULATIONS, DRAWS))
    ranks = (drawn < quantities(truth, target)[:, None]).sum(dim=1)
    found = {}
    for q, name in enumerate(("u_1", "|u|^2", "energy", "hidden", "TARP")):
        counts = torch.bincount(ranks[:, q], minlength=DRAWS + 1).double()
        expected = SIMULATIONS / (DRAWS + 1)
        statistic = ((counts - expected).square() / expected).sum()
        half = torch.tensor(DRAWS / 2, dtype=torch.float64)
        found[name] = float(torch.special.gammaincc(half, statistic / 2))
    assert all(math.isfinite(p) for p in found.values())
    return found


SEARCH = {
    "steps": 24,
    "trajectories": 24,
    "rounds": 1,
    "jumps": 0,
    "target_accept": 0.5,
    "leapfrog": 4,
}
LONG = {"steps": 60, "leapfrog": 8}
RIGHT = {
    "search": (Search, CURVED, SEARCH),
    "hmc": (HMC, CURVED, {"steps": 40, "target_accept": 0.5, "leapfrog": 6}),
    "hmc, many latents": (HMC, STRAIGHT, LONG),
    "slice": (EllipticalSlice, CURVED, {"steps": 60}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_exact_samplers_are_calibrated(name) -> None:
    kind, case, options = RIGHT[name]
    found = p_values(kind, case, **options)
    assert min(found.values()) > 0.01, found


@pytest.mark.parametrize(
    ("kind", "case", "assumed", "options"),
    [(UntestedSearch, CURVED, 1.0, SEARCH), (HMC, STRAIGHT, 0.9, LONG)],
    ids=["without its test", "noise 10 % too small"],
)
def test_wrong_samplers_are_caught(kind, case, assumed, options) -> None:
    found = p_values(kind, case, assumed, **options)
    assert min(found.values()) < 1e-4, found
