"""The search: it arrives where a descent does not, stops paying then, and ends in exact draws."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from toys import Problem, linear_problem, prior_start

from lightning_inpaint.optim import ChainContext, Search

SIGMA = 0.3


def searched(problem: Problem, **options) -> tuple[Search, Tensor]:
    """A search over the chains of a problem, and where they end."""
    problem.u.data = problem.u.data.clone()
    sampler = Search([problem.group], noise_std=SIGMA, **options)
    return sampler, problem.run(sampler)


def folded(u: Tensor) -> Tensor:
    """Many wrong valleys: waves of several lengths of each of four latents, and bends."""
    waves = [torch.sin(k * u + k) / k for k in (1.0, 3.0, 5.0)]
    return torch.cat([*waves, (u[:, :2] * u[:, 2:]).tanh(), 0.2 * u], dim=1)


def folded_problem(chains: int) -> Problem:
    truth = prior_start(1, 4, seed=9)
    gen = torch.Generator().manual_seed(2)
    target = folded(truth)[0] + 0.03 * torch.randn(18, generator=gen)
    return Problem(folded, target, torch.ones(18), prior_start(chains, 4))


def test_chains_arrive_among_wrong_valleys_and_those_that_have_pay_no_more() -> None:
    problem = folded_problem(32)
    options = {"screen": 16, "descent": 30, "newton": 8, "trajectories": 0, "steps": 6 * 39}
    sampler = Search([problem.group], noise_std=0.03, **options)
    ends = problem.run(sampler)
    chi2 = problem.energy(ends) / (18 * 0.03**2)
    assert (chi2 < 1 + 3 * (2 / 18) ** 0.5).float().mean() > 0.95
    once = Search([folded_problem(32).group], noise_std=0.03, **{**options, "steps": 39})
    assert once.steps == 39
    spent, tries = sampler.diagnostics()["gradient_evaluations"], sampler.diagnostics()["attempts"]
    assert tries.min() == 1
    assert tries.max() > 1
    assert spent[tries == 1].max() < spent[tries > 1].min() + 39


def test_where_draws_follow_a_descent_ends_as_soon_as_it_fits() -> None:
    spent = []
    for trajectories in (0, 1):
        problem = folded_problem(32)
        options = {"screen": 16, "descent": 30, "newton": 8, "steps": 39 + trajectories}
        sampler = Search([problem.group], noise_std=0.03, trajectories=trajectories, **options)
        for _ in range(39):
            sampler.step(problem.closure)
        spent.append(sampler.diagnostics()["gradient_evaluations"])
    assert (spent[1] <= spent[0]).all()
    assert (spent[1] < spent[0]).float().mean() > 0.5


def test_a_budget_ends_the_attempts() -> None:
    target = torch.full((18,), 50.0)  # nothing comes near
    problem = Problem(folded, target, torch.ones(18), prior_start(4, 4))
    sampler, _ = searched(problem, budget=150, trajectories=0, steps=20 * 113)
    spent = sampler.diagnostics()["gradient_evaluations"]
    assert (sampler.diagnostics()["attempts"] == 1).all()
    assert spent.max() < 350


def test_without_trajectories_it_ends_at_the_mode() -> None:
    problem, mean, _ = linear_problem(3, SIGMA)
    _, ends = searched(problem, screen=8, trajectories=0, steps=113, budget=1)
    torch.testing.assert_close(ends, mean.expand(3, -1), atol=0.03, rtol=0)


def test_trajectories_draw_from_the_closed_form() -> None:
    problem, mean, covariance = linear_problem(4000, SIGMA)
    options = {"steps": 12, "trajectories": 12, "rounds": 1}
    sampler, ends = searched(problem, **options)
    z = (ends.mean(dim=0) - mean) / (covariance.diag() / len(ends)).sqrt()
    assert z.abs().max() < 4
    ratio = torch.linalg.eigvals(torch.linalg.solve(covariance, torch.cov(ends.T))).real
    assert 0.88 < ratio.min() < ratio.max() < 1.12
    assert sampler.diagnostics()["acceptance"].mean() > 0.9


@pytest.mark.parametrize("leapfrog", [8, 1])
def test_trajectories_are_exact_where_the_gaussian_is_wrong(leapfrog: int) -> None:
    """One latent seen through a bend, against quadrature; one rotation is no quarter turn, two are."""

    def decode(u: Tensor) -> Tensor:
        return u + 0.6 * u.square()

    start = prior_start(2400, 1)
    problem = Problem(decode, torch.tensor([0.4]), torch.ones(1), start)
    options = {"steps": 40, "trajectories": 40, "rounds": 1, "leapfrog": leapfrog}
    sampler = Search([problem.group], noise_std=1.0, **options)
    ends = problem.run(sampler).double()[:, 0]
    assert bool(sampler.further) == (leapfrog == 1)
    grid = torch.linspace(-8, 8, 20001, dtype=torch.float64)
    log = -(decode(grid) - 0.4).square() / 2 - grid.square() / 2
    weight = log.exp() / log.exp().sum()
    for power in (1, 2, 3):
        exact = (weight * grid**power).sum()
        error = ends.pow(power).std() / len(ends) ** 0.5
        assert abs(ends.pow(power).mean() - exact) < 4 * error


def test_what_a_budget_leaves_lengthens_trajectories() -> None:
    spent = []
    for budget in (1, 1000):
        problem, _, _ = linear_problem(4, SIGMA)
        options = {"steps": 30, "trajectories": 30, "rounds": 1, "leapfrog": 1, "budget": budget}
        sampler, _ = searched(problem, **options)
        spent.append(sampler.diagnostics()["gradient_evaluations"])
    torch.testing.assert_close(spent[1], spent[0] + 20)


def test_a_copy_goes_on_bit_for_bit() -> None:
    problem = folded_problem(6)
    options = {"screen": 8, "descent": 6, "newton": 3, "steps": 26, "trajectories": 6, "rounds": 1}
    sampler = Search([problem.group], noise_std=0.05, **options)
    for _ in range(22):
        sampler.step(problem.closure)
    state, where = copy.deepcopy(sampler.state_dict()), problem.u.detach().clone()
    for _ in range(4):
        sampler.step(problem.closure)
    ends = problem.u.detach().clone()
    problem.u.data = where
    other = Search([problem.group], noise_std=0.05, **options)
    other.load_state_dict(state)
    for _ in range(4):
        other.step(problem.closure)
    assert torch.equal(problem.u.detach(), ends)


def test_no_search_when_all_steps_are_trajectories() -> None:
    problem, _, _ = linear_problem(3, SIGMA)
    start = problem.u.detach().clone()
    sampler = Search([problem.group], noise_std=SIGMA, steps=1, trajectories=1)
    problem.run(sampler)
    assert torch.equal(sampler.best, start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0}, "budget must be positive, got 0"),
        ({"screen": 1}, "screen must be at least 2, got 1"),
        ({"newton": 0}, "newton must be at least 1, got 0"),
        (
            {"trajectories": 900, "steps": 1000},
            r"steps must be at least 2700, for 900 trajectories with up to 7 rounds",
        ),
        ({"betas": (0.9, 1.0)}, r"betas must lie in \[0, 1\)"),
        ({"target_accept": 1.0}, "target_accept must lie in"),
        ({"anchor": "end"}, "anchor must be one of origin, start, got 'end'"),
    ],
)
def test_bad_options_are_quoted(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Search([folded_problem(2).group], **options)


def test_it_says_what_a_context_lacks() -> None:
    problem = folded_problem(2)
    with pytest.raises(ValueError, match="residual and observed"):
        Search([{"params": [problem.u], "context": ChainContext()}])


def test_what_a_picture_may_cost_is_shared_by_its_chains() -> None:
    """Nothing arrives: each chain makes a first attempt, then the best goes on while the budget lasts."""
    target = torch.full((18,), 50.0)
    problem = Problem(folded, target, torch.ones(18), prior_start(4, 4))
    group = {**problem.group, "context": problem.context(chains=4)}
    options = {"screen": 16, "descent": 30, "newton": 2, "reheat": 4, "trajectories": 0}
    sampler = Search([group], noise_std=SIGMA, budget=500, steps=400, **options)
    problem.run(sampler)
    figures = sampler.diagnostics()
    assert figures["attempts"].min() >= 1
    assert figures["attempts"].max() > figures["attempts"].min()
    assert 400 < figures["gradient_evaluations"].sum() <= 500


def test_chains_that_did_not_arrive_go_on_from_those_of_their_picture_that_have() -> None:
    problem = folded_problem(4)
    target = torch.stack([problem.target] * 2 + [torch.full((18,), 50.0)] * 2)  # two pictures
    problem.target = target
    group = {**problem.group, "context": problem.context(chains=2)}
    options = {"screen": 8, "descent": 4, "newton": 1, "reheat": 0, "trajectories": 0}
    sampler = Search([group], noise_std=0.03, budget=1, steps=6, **options)
    lost, found = problem.u.detach()[0].clone(), prior_start(1, 4, seed=9)[0]
    for _ in range(5):
        sampler.step(problem.closure)
    problem.u.data[:2] = torch.stack([lost, found])
    sampler.seen[:2] = problem.energy(problem.u.detach())[:2]
    sampler.rows, sampler.settled = torch.arange(0), torch.ones(4, dtype=torch.bool)
    apart = problem.u.detach()[2:].clone()
    sampler.step(problem.closure)
    ends = problem.u.detach()
    assert torch.equal(ends[:2], found.expand(2, -1))
    assert sampler.arrived.tolist() == [True, True, False, False]
    assert torch.equal(ends[2:], apart)


@pytest.mark.parametrize("size", [12, 300])
def test_latents_that_count_by_direction_stay_on_their_shell(size: int) -> None:
    gen = torch.Generator().manual_seed(0)
    matrix = torch.randn(size, 8, generator=gen) / size**0.5

    def decode(u: Tensor) -> Tensor:
        return (u * (size**0.5 / u.norm(dim=1, keepdim=True))) @ matrix

    start = prior_start(3, size)
    problem = Problem(decode, decode(prior_start(1, size, seed=4))[0], torch.ones(8), start)
    context = problem.context(blocks=[(size,)], scale_free=[0])
    options = {"screen": 8, "descent": 30, "newton": 4, "trajectories": 0, "steps": 35}
    sampler = Search([{"params": [problem.u], "context": context}], noise_std=0.05, **options)
    ends = problem.run(sampler)
    torch.testing.assert_close(ends.square().mean(dim=1), torch.ones(3), rtol=1e-4, atol=0)
    assert sampler.arrived.all()


def projection(size: int) -> Tensor:
    gen = torch.Generator().manual_seed(0)
    return torch.randn(size, 8, generator=gen) / size**0.5


def projected(size: int) -> Problem:
    start = prior_start(3, size)
    return Problem(lambda u: u @ projection(size), torch.ones(8), torch.ones(8), start)


def test_a_thousand_latents_are_searched_without_jacobians() -> None:
    options = {"screen": 8, "descent": 60, "newton": 4, "trajectories": 0, "steps": 61}
    sampler, ends = searched(projected(1100), **options)
    matrix = projection(1100)
    mode = matrix @ torch.linalg.solve(matrix.T @ matrix + SIGMA**2 * torch.eye(8), torch.ones(8))
    torch.testing.assert_close(ends, mode.expand(3, -1), atol=0.02, rtol=0)
    assert (sampler.diagnostics()["gradient_evaluations"] == 4 + 60 * 4).all()


def test_a_thousand_latents_come_down_again_from_the_best_place() -> None:
    options = {"screen": 8, "descent": 1, "reheat": 30, "trajectories": 0, "noise_std": 0.05}
    once, again = projected(1100), projected(1100)
    short, long = (
        Search([once.group], steps=2, **options),
        Search([again.group], steps=32, **options),
    )
    once.run(short)
    again.run(long)
    assert not short.arrived.any()
    assert long.arrived.all()
    assert (long.diagnostics()["attempts"] == 2).all()


def test_draws_take_the_jacobians_that_arrival_was_judged_by() -> None:
    options = {"screen": 8, "descent": 60, "trajectories": 6, "rounds": 1, "jumps": 0}
    sampler, _ = searched(projected(1100), steps=67, **options)
    spent = 4 + 60 * 4 + 1101 / 2 + 1 + 6 * 8
    assert (sampler.diagnostics()["gradient_evaluations"] == spent).all()
    sampler, _ = searched(projected(300), steps=75, **options)
    spent = 4 + 60 + 301 / 2 + 2 * 16 + 1 + 6 * 8  # one Jacobian, and two times 16 moves
    assert (sampler.diagnostics()["gradient_evaluations"] == spent).all()


def test_a_mode_has_not_arrived_where_a_draw_around_it_would_not() -> None:
    """All 12 values fit the mode, 10 of them by latents; two cannot be fitted, and err by 2.7 sigma."""
    matrix = torch.zeros(10, 12)
    matrix[:, :10] = torch.eye(10)
    target = torch.cat([torch.full((10,), 0.5), torch.full((2,), 2.7 * SIGMA)])
    options = {"screen": 8, "descent": 60, "newton": 4, "trajectories": 1, "steps": 66}

    def arrived(target: Tensor) -> Tensor:
        problem = Problem(lambda u: u @ matrix, target, torch.ones(12), prior_start(2, 10))
        return searched(problem, **options)[0].arrived

    bound = 12 * (
        1 + 3 * (2 / 12) ** 0.5
    )  # 26.7: 14.6 of the mode are below it, and 24.6 of a draw
    assert 2 * 2.7**2 + 10 < bound < 2 * 3.2**2 + 10
    assert arrived(target).all()
    assert not arrived(target.index_fill(0, torch.tensor([10, 11]), 3.2 * SIGMA)).any()


def test_radii_of_latents_that_count_by_direction_are_draws_at_once() -> None:
    """Chains begin on the shell |u|^2 = D, and what is shown of them has the prior's radii."""
    matrix = projection(40)

    def decode(u: Tensor) -> Tensor:
        return torch.nn.functional.normalize(u, dim=1) @ matrix * 6

    problem = Problem(decode, torch.ones(8), torch.ones(8), prior_start(400, 40))
    context = problem.context(blocks=[(40,)], scale_free=[0])
    options = {"screen": 4, "descent": 10, "newton": 1, "trajectories": 3, "rounds": 1, "steps": 15}
    group = {"params": [problem.u], "context": context}
    square = problem.run(Search([group], noise_std=SIGMA, **options)).square().sum(dim=1)
    assert abs(float(square.mean()) - 40) < 4 * (2 * 40 / 400) ** 0.5
    assert abs(float(square.var()) / 80 - 1) < 0.3


@pytest.mark.parametrize("size", [6, 300, 1100])
def test_held_to_its_start_it_randomises_then_optimises(size: int) -> None:
    """What the known values do not determine stays at the prior draw that an attempt began with."""
    matrix = torch.zeros(size, 3)
    matrix[:3] = torch.eye(3)
    problem = Problem(lambda u: u @ matrix, torch.ones(3), torch.ones(3), prior_start(400, size))
    options = {"screen": 2, "descent": 60, "newton": 4, "trajectories": 0, "steps": 69}
    sampler, ends = searched(problem, anchor="start", **options)
    free = ends[:, 3:]
    assert abs(float(free.mean())) < 4 / free.numel() ** 0.5
    assert abs(float(free.var()) - 1) < 4 * (2 / free.numel()) ** 0.5
    mode = (ends[:, :3] - sampler.held[:, :3] * SIGMA**2 / (1 + SIGMA**2)) * (1 + SIGMA**2)
    assert (mode - 1).abs().quantile(0.99) < 0.05
