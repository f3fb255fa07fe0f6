"""What every sampler promises: settings checked, batch mates ignored, the prior kept, no waiting."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from toys import Problem, prior_start

from lightning_inpaint.optim import (
    HMC,
    MALA,
    MAP,
    SAMPLERS,
    AnnealedHMC,
    Diffusion,
    EllipticalSlice,
    Langevin,
    Particles,
    Search,
    Seed,
)

ALL = [
    (HMC, {"steps": 6}),
    (MALA, {"steps": 12}),
    (AnnealedHMC, {"steps": 16, "warm_up": 10}),
    (Langevin, {"steps": 12, "measures": 2}),
    (MAP, {"steps": 12}),
    (MAP, {"steps": 12, "anchor": "start"}),
    (Particles, {"steps": 6, "particles": 2}),
    (
        Search,
        {"steps": 22, "screen": 4, "descent": 6, "newton": 3, "trajectories": 12, "rounds": 1},
    ),
    (EllipticalSlice, {"steps": 6}),
    (Diffusion, {"steps": 12}),
    (Diffusion, {"steps": 12, "estimator": "logmeanexp", "num_samples": 3, "beta_end": 0.02}),
    (Seed, {"steps": 12, "num_samples": 2, "xstart_temp": 1.0}),
]


def made_of(sampler, group, std: float = 0.2, **options):
    """The sampler for a known pixel's standard deviation ``std``, whatever it calls it."""
    noise = {"temp": 2 * std**2} if sampler is Seed else {"noise_std": std}
    return sampler([group], **noise, **options)


def test_no_sampler_is_left_out() -> None:
    assert {sampler for sampler, _ in ALL} == set(SAMPLERS.values())


def bent(u: Tensor) -> Tensor:
    """A curved generator R^5 -> R^7."""
    weight = torch.linspace(-1, 1, 35).view(5, 7).sin().to(u)
    return (u @ weight).tanh() + 0.1 * u[:, :1] ** 2


def problem(rows: Tensor, dtype: torch.dtype = torch.float64) -> Problem:
    """The chains ``rows`` of a batch of eight; neighbouring pairs share an observation."""
    start = prior_start(8, 5, dtype=dtype)
    target = prior_start(8, 7, seed=1, dtype=dtype)[rows // 2 * 2]
    made = Problem(bent, target, torch.tensor([1, 1, 1, 0.5, 0, 1, 1]).to(dtype), start[rows])
    made.streams = Problem(bent, target, made.known, start).streams.select(rows)
    return made


@pytest.mark.parametrize(("sampler", "options"), ALL)
def test_batch_mates_do_not_matter(sampler, options) -> None:
    everyone = problem(torch.arange(8))
    whole = everyone.run(made_of(sampler, everyone.group, **options))
    pair = problem(torch.tensor([4, 5]))
    alone = pair.run(made_of(sampler, pair.group, **options))
    torch.testing.assert_close(alone, whole[4:6], rtol=1e-10, atol=1e-10)
    assert (whole - prior_start(8, 5, dtype=torch.float64)).abs().max() > 0.1


@pytest.mark.parametrize(("sampler", "options"), [x for x in ALL if x[0] is not Search])
def test_evaluations_are_counted_and_diagnostics_are_per_chain(sampler, options) -> None:
    probes = 0
    batch = problem(torch.arange(8))

    def probe(u: Tensor, draw: int) -> Tensor:
        nonlocal probes
        probes += 1
        return batch.probe(u, draw)

    made = made_of(sampler, {**batch.group, "context": batch.context(probe=probe)}, **options)
    energies = [made.step(batch.closure) for _ in range(made.steps)]
    assert made.evaluations == batch.calls + probes
    # what a progress bar expects: all but the start of trajectories and the measurements
    assert batch.calls - sum(made.cost(step) for step in range(made.steps)) in (0, 1)
    assert all(e.shape == (8,) and e.isfinite().all() for e in energies)
    figures = made.diagnostics()
    assert all(v.shape == (8,) for v in figures.values())
    torch.testing.assert_close(figures["u2_over_d"], batch.u.detach().square().mean(1))
    if made.exact:
        assert {"acceptance", "step_size"} <= set(figures)
        # an exact sampler reports the energy of the chains as they are
        torch.testing.assert_close(energies[-1], batch.energy(batch.u.detach()))


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (HMC, {"steps": 6}),
        (MALA, {"steps": 6}),
        (AnnealedHMC, {"steps": 20, "warm_up": 10}),
        (Langevin, {"steps": 20}),
        (MAP, {"steps": 20, "anchor": "start"}),
        (Particles, {"steps": 6}),
        (Search, {"steps": 4, "trajectories": 4, "rounds": 1}),
        (EllipticalSlice, {"steps": 4, "shrinks": 2}),
    ],
)
def test_nothing_known_leaves_draws_of_the_prior(sampler, options) -> None:
    chains = 4000
    blank = Problem(bent, torch.zeros(7), torch.zeros(7), prior_start(chains, 5))
    made = sampler([blank.group], noise_std=0.2, **options)
    u = blank.run(made)
    assert (u.mean(0) * chains**0.5).abs().max() < 4
    assert ((u.var(0) - 1) * (chains / 2) ** 0.5).abs().max() < 4
    if made.exact:
        assert made.diagnostics()["acceptance"].min() > 1 - 1e-5


def test_a_mode_without_known_pixels_is_the_origin() -> None:
    blank = Problem(bent, torch.zeros(7), torch.zeros(7), prior_start(10, 5))
    u = blank.run(MAP([blank.group], steps=200))
    assert u.abs().max() < 1e-3


def test_map_is_adam_on_energy_plus_prior() -> None:
    batch = problem(torch.arange(8))
    twin = torch.nn.Parameter(batch.u.detach().clone())
    adam = torch.optim.Adam([twin], lr=0.05, betas=(0.8, 0.95))
    batch.run(MAP([batch.group], 20, 0.3, lr=0.05, betas=(0.8, 0.95), anneal=0, ramp_down=0))
    for _ in range(20):
        adam.zero_grad()
        loss = batch.energy(twin) / (2 * 0.3**2) + twin.square().sum(1) / 2
        loss.sum().backward()
        adam.step()
    torch.testing.assert_close(batch.u.detach(), twin.detach(), rtol=1e-10, atol=1e-10)


def test_langevin_at_temperature_zero_is_gradient_descent() -> None:
    batch = problem(torch.arange(8))
    twin = torch.nn.Parameter(batch.u.detach().clone())
    h, sigma = 0.1, 0.3
    decay = (1 - (1 - h**2) ** 0.5) / (h**2 / 2)
    descent = torch.optim.SGD([twin], lr=h**2 / 2, weight_decay=decay)
    batch.run(
        Langevin([batch.group], 20, sigma, h, anneal=0.0, preconditioner="none", temperature=0.0)
    )
    for _ in range(20):
        descent.zero_grad()
        (batch.energy(twin) / (2 * sigma**2)).sum().backward()
        descent.step()
    torch.testing.assert_close(batch.u.detach(), twin.detach(), rtol=1e-10, atol=1e-10)


def test_langevin_finds_a_gaussian_posterior_with_small_bias() -> None:
    a = torch.tensor([[1.0, 0.0], [0.0, 0.3]])
    y, sigma, chains = torch.tensor([1.0, -0.5]), 0.3, 3000
    linear = Problem(lambda u: u @ a.T, y, torch.ones(2), prior_start(chains, 2))
    u = linear.run(Langevin([linear.group], 120, sigma, 0.5, anneal=0.3))
    cov = 1 / (1 + a.diagonal() ** 2 / sigma**2)
    mean = cov * a.diagonal() * y / sigma**2
    assert ((u.mean(0) - mean) / cov.sqrt()).abs().max() < 0.1
    assert (u.var(0) / cov - 1).abs().max() < 0.15


def test_randomised_descent_keeps_the_norm_that_the_mode_loses() -> None:
    start = prior_start(200, 40)
    target = torch.full((3,), 1.5)
    draw = Problem(lambda u: u[:, :3], target, torch.ones(3), start)
    mode = Problem(lambda u: u[:, :3], target, torch.ones(3), start)
    drawn = MAP([draw.group], 150, 0.1, anchor="start")
    draw.run(drawn)
    mode.run(MAP([mode.group], 150, 0.1))
    assert abs(drawn.diagnostics()["u2_over_d"].mean() - 1) < 0.1
    assert mode.u.detach().square().mean() < 0.2
    torch.testing.assert_close(draw.u.detach()[:, 3:], start[:, 3:], rtol=0, atol=0.05)


@pytest.mark.parametrize(
    "sampler", sorted({s for s in SAMPLERS.values() if s.exact}, key=lambda s: s.__name__)
)
def test_a_proposal_whose_energy_is_not_finite_is_never_accepted(sampler) -> None:
    def broken(u: Tensor) -> Tensor:
        return torch.where(u[:, :1] > 0.5, torch.full_like(u, float("nan")), u)

    wall = Problem(broken, torch.full((2,), -1.0), torch.ones(2), -prior_start(60, 2).abs())
    options = {AnnealedHMC: {"warm_up": 5}, Search: {"trajectories": 20, "rounds": 1}}.get(
        sampler, {}
    )
    if sampler not in (Search, EllipticalSlice):
        options["preconditioner"] = "none"
    made = sampler([wall.group], steps=20, noise_std=1.0, **options)
    u = wall.run(made)
    assert u.isfinite().all()
    assert u[:, 0].max() <= 0.5
    assert u.std() > 0.3


def test_a_chain_whose_energy_is_not_finite_stays_where_it_is() -> None:
    def broken(u: Tensor) -> Tensor:
        return torch.where(u[:, :1] > 0.5, torch.full_like(u, float("nan")), u)

    start = prior_start(50, 2)
    start[:, 0] = -start[:, 0].abs()
    wall = Problem(broken, torch.ones(2), torch.ones(2), start)
    u = wall.run(HMC([wall.group], 10, noise_std=0.5, preconditioner="none"))
    assert u.isfinite().all()
    assert u[:, 0].max() <= 0.5


@pytest.mark.parametrize(
    ("sampler", "options", "words"),
    [
        (HMC, {"noise_std": 0.0}, "noise_std must be positive, got 0.0"),
        (HMC, {"noise_std": -1.0}, "noise_std must be positive, got -1.0"),
        (HMC, {"leapfrog": 0}, "leapfrog must be at least 1, got 0"),
        (HMC, {"steps": 0}, "steps must be at least 1, got 0"),
        (HMC, {"burn_in": 1.0}, r"burn_in must lie in \[0, 1\), got 1.0"),
        (HMC, {"target_accept": 1.5}, r"target_accept must lie in \(0, 1\), got 1.5"),
        (HMC, {"preconditioner": "x"}, "preconditioner must be 'fisher' or 'none', got 'x'"),
        (HMC, {"probes": 0}, "probes must be at least 1, got 0"),
        (MALA, {"step_size": 0.0}, "step_size must be positive, got 0.0"),
        (AnnealedHMC, {"steps": 50, "warm_up": 50}, r"more than warm_up \(50\), got 50"),
        (AnnealedHMC, {"warm_up": 0}, "warm_up must be at least 1, got 0"),
        (AnnealedHMC, {"anchor": "x"}, "anchor must be 'origin' or 'start', got 'x'"),
        (MAP, {"lr": -1.0}, "lr must be positive, got -1.0"),
        (MAP, {"betas": (0.9, 1.0)}, r"betas must lie in \[0, 1\), got \(0.9, 1.0\)"),
        (MAP, {"anneal": 2.0}, r"anneal must lie in \[0, 1\], got 2.0"),
        (Langevin, {"step_size": 2.0}, "step_size must be at most 1, got 2.0"),
        (Langevin, {"temperature": -1.0}, "temperature must not be negative, got -1.0"),
        (Langevin, {"measures": 0}, "measures must be at least 1, got 0"),
        (Particles, {"particles": 3}, "particles must divide the 8 chains, got 3"),
        (
            Particles,
            {"start_std": 0.01},
            r"start_std must be at least noise_std \(0.05\), got 0.01",
        ),
        (EllipticalSlice, {"shrinks": 0}, "shrinks must be at least 1, got 0"),
        (EllipticalSlice, {"burn_in": 1.0}, r"burn_in must lie in \[0, 1\), got 1.0"),
        (Particles, {"steps": 1}, "steps must be at least 2, got 1"),
    ],
)
def test_bad_settings_are_quoted(sampler, options, words) -> None:
    with pytest.raises(ValueError, match=words):
        sampler([problem(torch.arange(8)).group], **options)


def test_a_preconditioner_without_a_probe_is_refused() -> None:
    batch = problem(torch.arange(8))
    with pytest.raises(ValueError, match="needs the context's 'probe'"):
        HMC([{**batch.group, "context": batch.context(probe=None)}])
