"""Step sizes find their acceptance, also in few updates, and an annealed burn-in ends at sigma."""

import pytest
import torch
from test_exact import (
    CURVED_KNOWN,
    CURVED_SIGMA,
    CURVED_TARGET,
    curved,
    grid_posterior,
    histogram,
)
from toys import Problem, prior_start

from lightning_inpaint.optim import HMC
from lightning_inpaint.optim.adaptation import StepAdaptation


@pytest.mark.parametrize(("updates", "within"), [(10, 0.1), (100, 0.02)])
def test_the_frozen_step_has_the_acceptance_asked_for(updates: int, within: float) -> None:
    """Accepted or not by chance, with probability exp(-h / h_0): 0.7 at h = h_0 log(1 / 0.7)."""
    chains = 4000
    gen = torch.Generator().manual_seed(0)
    scale = 0.05 * 4 ** torch.rand(chains, generator=gen)
    adaptation = StepAdaptation(torch.full((chains,), 0.05), 0.7)
    for _ in range(updates):
        chance = (-adaptation.step_size / scale).exp()
        adaptation.update(chance.bernoulli(generator=gen))
    reached = (-adaptation.frozen / scale).exp()
    assert abs(reached.mean() - 0.7) < within


def test_steps_that_are_always_accepted_stay_bounded() -> None:
    adaptation = StepAdaptation(torch.full((3,), 0.1), 0.7)
    for _ in range(200):
        adaptation.update(torch.ones(3))
    assert 1.99 < float(adaptation.frozen.max()) <= StepAdaptation.LIMIT


def test_an_annealed_burn_in_ends_at_sigma_and_freezes() -> None:
    problem = Problem(curved, CURVED_TARGET, CURVED_KNOWN, prior_start(50, 2))
    options = {"start_std": 4.0, "anneal": 0.5, "burn_in": 0.5}
    sampler = HMC([problem.group], steps=40, noise_std=CURVED_SIGMA, **options)
    stds, sizes, masses = [], [], []
    for _ in range(40):
        energy = sampler.step(problem.closure)
        stds.append(sampler.std)
        sizes.append(sampler.step_size.clone())
        masses.append(sampler.fisher.clone())
        potential, slope = sampler.here
        torch.testing.assert_close(problem.closure(), energy)
        torch.testing.assert_close(potential, energy / (2 * sampler.std**2))
        torch.testing.assert_close(slope, problem.u.grad / (2 * sampler.std**2))
    assert stds[0] == 4.0
    assert stds[5] == pytest.approx((4.0 * CURVED_SIGMA) ** 0.5)  # the geometric mean, half way
    assert stds[10:] == [CURVED_SIGMA] * 30
    assert all(torch.equal(s, sizes[-1]) for s in sizes[20:])
    assert all(torch.equal(m, masses[-1]) for m in masses[10:])
    assert not torch.equal(masses[0], masses[-1])


def test_an_annealed_burn_in_leaves_the_modes_their_weights() -> None:
    """All chains begin in one mode; those that forget it while sigma is large are shared out."""
    chains, cells, reach = 4000, 20, 3.0
    truth = grid_posterior(cells, reach)
    right = float(truth[cells // 2 :].sum())
    start = torch.tensor([1.0, -1.0]).expand(chains, 2).clone()
    shares = []
    for options in ({}, {"start_std": 5.0}):
        problem = Problem(curved, CURVED_TARGET, CURVED_KNOWN, start.clone())
        sampler = HMC(
            [problem.group], steps=31, leapfrog=3, noise_std=CURVED_SIGMA, burn_in=0.98, **options
        )
        draws = problem.run(sampler)
        shares.append(float(histogram(draws, cells, reach)[cells // 2 :].sum()))
    assert abs(shares[1] - right) < 0.05
    assert abs(shares[0] - right) > 2 * abs(shares[1] - right)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start_std": 0.01}, r"start_std must be at least noise_std \(0.05\), got 0.01"),
        ({"start_std": -1.0}, "start_std must be positive, got -1"),
        ({"anneal": 1.5}, r"anneal must lie in \[0, 1\], got 1.5"),
    ],
)
def test_bad_annealing_is_quoted(options, words) -> None:
    problem = Problem(curved, CURVED_TARGET, CURVED_KNOWN, prior_start(2, 2))
    with pytest.raises(ValueError, match=words):
        HMC([problem.group], **options)
