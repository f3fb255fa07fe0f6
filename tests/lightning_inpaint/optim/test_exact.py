"""The exact samplers draw from the posterior: closed forms, quadrature, Geweke, detailed balance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from toys import Problem, prior_start

from lightning_inpaint.noise import ChainStreams, Purpose
from lightning_inpaint.optim import (
    HMC,
    MALA,
    AnnealedHMC,
    Diffusion,
    Particles,
    Search,
)
from lightning_inpaint.optim.hmc import Point, log_accept, trajectory

SIGMA = 0.3


def linear_problem(chains: int) -> tuple[Problem, Tensor, Tensor, float]:
    """8 latents, 16 pixels of which 10 are known; also mean, covariance and log evidence."""
    gen = torch.Generator().manual_seed(0)
    a = torch.randn(16, 8, generator=gen) / 2
    y = torch.randn(16, generator=gen)
    known = (torch.arange(16) < 10).float()
    ak, yk = a[known > 0], y[known > 0]
    cov = torch.linalg.inv(torch.eye(8) + ak.T @ ak / SIGMA**2)
    marginal = torch.eye(10) + ak @ ak.T / SIGMA**2
    fit = yk @ torch.linalg.solve(marginal, yk) / SIGMA**2
    evidence = float(-(fit + torch.logdet(marginal)) / 2)
    problem = Problem(lambda u: u @ a.T, y, known, prior_start(chains, 8))
    return problem, cov @ ak.T @ yk / SIGMA**2, cov, evidence


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (HMC, {"steps": 40}),
        (MALA, {"steps": 150}),
        (AnnealedHMC, {"steps": 80, "warm_up": 20}),
        (Search, {"steps": 20, "trajectories": 20, "rounds": 1}),
        (Particles, {"steps": 30, "leapfrog": 6}),
    ],
)
def test_linear_generator_gives_the_closed_form_posterior(sampler, options) -> None:
    # With 4000 the largest eigenvalue of exact draws is at 1.09 already.
    problem, mean, cov, _ = linear_problem(8000)
    draws = problem.run(sampler([problem.group], noise_std=SIGMA, **options))
    z = (draws.mean(0) - mean) / (cov.diag() / len(draws)).sqrt()
    assert z.abs().max() < 4
    ratio = torch.linalg.eigvals(torch.linalg.solve(cov, torch.cov(draws.T))).real
    assert ratio.min() > 0.9
    assert ratio.max() < 1.1


def test_particles_estimate_the_evidence() -> None:
    problem, _, _, evidence = linear_problem(4000)
    sampler = Particles([problem.group], steps=25, particles=200, noise_std=SIGMA)
    problem.run(sampler)
    estimates = sampler.diagnostics()["log_evidence"][::200]
    # 20 estimates; exp of them is unbiased
    ratio = (estimates - evidence).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / 20**0.5
    assert ratio.std() < 0.5


def curved(u: Tensor) -> Tensor:
    """R^2 to R^3 with two unequal modes for the observation below."""
    a, b = u.unbind(1)
    return torch.stack([a * a + 0.3 * b, b + 0.4 * a, torch.sin(a + b)], dim=1)


CURVED_TARGET = torch.tensor([1.2, -0.9, 0.0])
CURVED_KNOWN = torch.tensor([1.0, 1.0, 0.0])
CURVED_SIGMA = 0.5


def grid_posterior(cells: int, reach: float, sub: int = 5) -> Tensor:
    """Probability of each of cells x cells squares of [-reach, reach]^2, by quadrature in float64."""
    n = cells * sub
    ticks = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 * reach - reach
    u = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij"), dim=-1).reshape(-1, 2)
    energy = ((curved(u) - CURVED_TARGET) ** 2 * CURVED_KNOWN).sum(1)
    log_p = -energy / (2 * CURVED_SIGMA**2) - u.square().sum(1) / 2
    p = torch.softmax(log_p, 0).view(cells, sub, cells, sub)
    return p.sum(dim=(1, 3))


def histogram(draws: Tensor, cells: int, reach: float) -> Tensor:
    place = ((draws.double() + reach) / (2 * reach) * cells).floor().long().clamp(0, cells - 1)
    counts = torch.bincount(place[:, 0] * cells + place[:, 1], minlength=cells**2)
    return counts.view(cells, cells) / len(draws)


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (Diffusion, {"estimator": "logmeanexp", "num_samples": 8, "steps": 100}),
        (HMC, {"steps": 120}),
        (MALA, {"steps": 400}),
        (Particles, {"steps": 25, "particles": 500}),
    ],
)
def test_two_modes_keep_their_shapes_and_weights(sampler, options) -> None:
    chains, cells, reach = 4000, 20, 3.0
    truth = grid_posterior(cells, reach)
    gen = torch.Generator().manual_seed(1)
    exact = [
        torch.multinomial(truth.flatten(), chains, replacement=True, generator=gen)
        for _ in range(8)
    ]
    floor = sum(
        (torch.bincount(e, minlength=cells**2) / chains - truth.flatten()).abs().sum() / 2
        for e in exact
    ) / len(exact)
    problem = Problem(curved, CURVED_TARGET, CURVED_KNOWN, prior_start(chains, 2))
    draws = problem.run(sampler([problem.group], noise_std=CURVED_SIGMA, **options))
    distance = (histogram(draws, cells, reach) - truth).abs().sum() / 2
    assert distance < 2 * floor
    weight = truth[cells // 2 :].sum()
    assert 0.1 < weight < 0.4  # the modes do differ
    assert abs((draws[:, 0] > 0).double().mean() - weight) < 0.03


@pytest.mark.parametrize("leapfrog", [1, 5])
def test_geweke_alternation_leaves_the_prior(leapfrog: int) -> None:
    chains = 4000
    problem = Problem(curved, torch.zeros(chains, 3), torch.ones(3), prior_start(chains, 2))
    sampler = HMC(
        [
            {
                **problem.group,
                "context": problem.context(
                    probe=lambda u, draw: torch.tensor([0.3, 0.1]).expand_as(u)
                ),
            }
        ],
        steps=25,
        leapfrog=leapfrog,
        noise_std=0.4,
        step_size=0.3,
        burn_in=0.0,
    )
    start = problem.u.detach().clone()
    observe = ChainStreams(7, ["toy"] * chains, list(range(chains)))
    for i in range(sampler.steps):
        noise = observe.normal(i, 3, Purpose.OBSERVATION)
        problem.target = curved(problem.u.detach()) + 0.4 * noise
        sampler.forget()
        sampler.step(problem.closure)
    u = problem.u.detach().double()
    assert (u - start).abs().mean() > 0.3  # the chains have moved
    moments = torch.stack(
        [
            u[:, 0],
            u[:, 1],
            u[:, 0] * u[:, 1],
            (u[:, 0] ** 2 - 1) / 2**0.5,
            (u[:, 1] ** 2 - 1) / 2**0.5,
        ]
    )
    assert (moments.mean(1) * chains**0.5).abs().max() < 4


@pytest.mark.parametrize("leapfrog", [1, 7])
def test_trajectories_are_reversible_and_keep_volume(leapfrog: int) -> None:
    torch.manual_seed(0)
    angle = torch.tensor([[0.12, 0.05]], dtype=torch.float64)

    def potential(u: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = u.detach().requires_grad_(True)
            value = ((curved(leaf) - CURVED_TARGET.double()) ** 2).sum(1) / (2 * 0.3**2)
            (grad,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), grad

    def flow(x: Tensor) -> Point:
        start = Point(x[:, :2], x[:, 2:], *potential(x[:, :2]))
        return trajectory(potential, start, angle, leapfrog)

    x = 0.7 * torch.randn(6, 4, dtype=torch.float64)
    end = flow(x)
    back = flow(torch.cat([end.u, -end.v], 1))
    torch.testing.assert_close(torch.cat([back.u, -back.v], 1), x, rtol=0, atol=1e-10)
    h = 1e-5
    for row in x:
        steps = h * torch.eye(4, dtype=torch.float64)
        plus, minus = flow(row + steps), flow(row - steps)
        jacobian = torch.cat([plus.u - minus.u, plus.v - minus.v], 1) / (2 * h)
        assert abs(torch.linalg.det(jacobian).abs() - 1) < 1e-6
    start = Point(x[:, :2], x[:, 2:], *potential(x[:, :2]))
    hamiltonian = [p.potential + (p.u.square() + p.v.square()).sum(1) / 2 for p in (start, end)]
    torch.testing.assert_close(
        log_accept(start, end), hamiltonian[0] - hamiltonian[1], rtol=0, atol=1e-10
    )


@pytest.mark.parametrize(("sampler", "options"), [(HMC, {"leapfrog": 4}), (MALA, {})])
def test_one_step_from_the_posterior_is_exchangeable(sampler, options) -> None:
    """Detailed balance in float64: E[f(u) g(u')] = E[g(u) f(u')] for u from the posterior."""
    chains, cells, reach = 20000, 400, 4.0
    gen = torch.Generator().manual_seed(2)
    truth = grid_posterior(cells, reach, 1)
    cell = torch.multinomial(truth.flatten(), chains, replacement=True, generator=gen)
    place = torch.stack([cell // cells, cell % cells], 1).double()
    place += torch.rand(chains, 2, generator=gen, dtype=torch.float64)
    start = place / cells * 2 * reach - reach
    problem = Problem(curved, CURVED_TARGET.double(), CURVED_KNOWN.double(), start)
    step = sampler(
        [problem.group],
        steps=1,
        noise_std=CURVED_SIGMA,
        step_size=0.3,
        burn_in=0.0,
        preconditioner="none",
        **options,
    )
    end = problem.run(step)
    assert 0.3 < step.diagnostics()["acceptance"].mean() < 0.95
    tests = [
        lambda u: u[:, 0],
        lambda u: u[:, 1],
        lambda u: u[:, 0] ** 2,
        lambda u: u.tanh().prod(1),
    ]
    for i, f in enumerate(tests):
        for g in tests[:i]:
            gap = f(start) * g(end) - g(start) * f(end)
            assert abs(gap.mean() / gap.std()) * chains**0.5 < 4


def test_step_and_mass_are_frozen_after_the_burn_in() -> None:
    problem = Problem(curved, CURVED_TARGET, CURVED_KNOWN, prior_start(50, 2))
    sampler = HMC([problem.group], steps=30, noise_std=CURVED_SIGMA, burn_in=0.5)
    sizes, scales = [], []
    for _ in range(30):
        sampler.step(problem.closure)
        sizes.append(sampler.step_size.clone())
        scales.append(sampler.fisher.clone())
    assert (sizes[3] != sizes[10]).all()
    assert all(torch.equal(s, sizes[-1]) for s in sizes[14:])
    assert all(torch.equal(s, scales[-1]) for s in scales[14:])


@pytest.mark.parametrize(("step_size", "divergences"), [(0.05, 0), (60.0, 12)])
def test_divergences_are_trajectories_of_large_energy_error(step_size, divergences) -> None:
    sharp = Problem(lambda u: u.exp(), torch.zeros(2), torch.ones(2), prior_start(20, 2))
    sampler = HMC(
        [sharp.group],
        steps=12,
        noise_std=0.01,
        step_size=step_size * 1e-2,
        burn_in=0.0,
        jitter=0.0,
        preconditioner="none",
    )
    sharp.run(sampler)
    assert (sampler.diagnostics()["divergences"] == divergences).all()
