"""Draws around modes: jumps give modes their weights, and nothing moves the target once draws begin."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from toys import Problem, prior_start

from lightning_inpaint.optim import Search
from lightning_inpaint.optim.frame import Frame, Journey, factored, journey
from lightning_inpaint.optim.mixture import Mixture

SIGMA = 0.25


def folded(u: Tensor) -> Tensor:
    """One latent seen through a parabola: two modes, some 30 nats of barrier between them."""
    return torch.stack([u[:, 0].square() + 0.08 * u[:, 0], 0.3 * u.sum(dim=1)], dim=1)


TARGET = torch.tensor([2.0, 0.05])


def quadrature() -> tuple[Tensor, Tensor]:
    """Ticks of the folded latent and the posterior's weight of each; the other latent is Gaussian."""
    grid = torch.linspace(-4, 4, 8001, dtype=torch.float64)
    first = (grid.square() + 0.08 * grid - TARGET[0]).square() / (2 * SIGMA**2)
    # 0.3 (a + b) seen with noise, b ~ N(0, 1): 0.3 a ~ N(target, sigma^2 + 0.09)
    second = (0.3 * grid - TARGET[1]).square() / (2 * (SIGMA**2 + 0.09))
    weight = (-first - second - grid.square() / 2).exp()
    return grid, weight / weight.sum()


def in_both_modes(pictures: int, chains: int) -> Problem:
    """Chains that begin, half of them each, near the one mode and the other."""
    start = prior_start(pictures * chains, 2)
    start[:, 0] = torch.tensor([1.4, -1.4]).repeat(len(start) // 2)
    return Problem(folded, TARGET, torch.ones(2), start)


def drawn(problem: Problem, chains: int, **options) -> tuple[Search, Tensor]:
    group = {**problem.group, "context": problem.context(chains=chains)}
    sampler = Search(
        [group], noise_std=SIGMA, **{"steps": 40, "trajectories": 40, "rounds": 1, **options}
    )
    return sampler, problem.run(sampler).double()


def test_jumps_give_two_modes_their_weights() -> None:
    sampler, ends = drawn(in_both_modes(120, 4), 4, steps=24, trajectories=24, rounds=1)
    grid, weight = quadrature()
    exact = float(weight[grid > 0].sum())
    assert 0.55 < exact < 0.75
    share = float((ends[:, 0] > 0).double().mean())
    assert abs(share - exact) < 4 * (exact * (1 - exact) / len(ends)) ** 0.5
    assert len(sampler.jumpers) == len(ends)
    for side in (grid > 0, grid < 0):
        inside = ends[(ends[:, 0] > 0) == bool(grid[side][-1] > 0), 0]
        mean = float((weight[side] * grid[side]).sum() / weight[side].sum())
        assert abs(float(inside.mean()) - mean) < 4 * float(inside.std()) / len(inside) ** 0.5


def test_without_jumps_chains_stay_in_the_mode_that_they_began_in() -> None:
    problem = in_both_modes(50, 4)
    start = problem.u.detach().clone()
    _, ends = drawn(problem, 4, jumps=0)
    assert ((ends[:, 0] > 0) == (start[:, 0] > 0)).all()


def tilted(u: Tensor) -> Tensor:
    """Two modes, the one at the left some 15 nats above the other, and 20 of barrier."""
    return torch.stack([u[:, 0].square(), 0.5 * u[:, 0]], dim=1)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_mode_of_no_weight_is_left_for_a_better_one(rounds: int) -> None:
    problem = in_both_modes(8, 4)
    problem.decode, problem.target = tilted, torch.tensor([2.0, 0.7])
    problem.u.data[16:, 0] = 1.4  # pictures that have nothing to mend
    start = problem.u.detach().clone()
    steps = 36 + 12 * (rounds - 1)
    sampler, ends = drawn(problem, 4, jumps=0, steps=steps, trajectories=36, rounds=rounds)
    right = ends[:, 0] > 0
    assert right.all() if rounds > 1 else torch.equal(right, start[:, 0] > 0)
    spent = sampler.diagnostics()["gradient_evaluations"]
    assert (spent[:16].min() > spent[16:].max() + 12 * 8 - 8) == (rounds > 1)


def test_who_jumps_and_what_it_costs_is_each_picture_s_own() -> None:
    """Chains at one mode make no jumps, and those of other pictures cost them nothing."""
    problem = in_both_modes(2, 2)
    problem.u.data[:2, 0] = 1.4
    alone = in_both_modes(1, 2)
    alone.u.data, alone.streams = (
        problem.u.data[:2].clone(),
        problem.streams.select(torch.arange(2)),
    )
    (sampler, _), (single, _) = drawn(problem, 2), drawn(alone, 2)
    assert sampler.jumpers.tolist() == [2, 3]
    assert torch.equal(sampler.spent[:2], single.spent)
    assert (sampler.spent[2:] > 1.5 * sampler.spent[:2]).all()


def test_chains_in_every_mode_at_once_stay_distributed() -> None:
    """One draw from the posterior, moved by jumps and trajectories, is a draw."""
    grid, weight = quadrature()
    problem = in_both_modes(250, 2)
    n = len(problem.u)
    gen = torch.Generator().manual_seed(3)
    first = grid[torch.multinomial(weight, n, replacement=True, generator=gen)].float()
    precision = 1 + 0.09 / SIGMA**2
    mean = 0.3 * (TARGET[1] - 0.3 * first) / SIGMA**2 / precision
    second = mean + torch.randn(n, generator=gen) / precision**0.5
    sampler, _ = drawn(problem, 2, steps=12, trajectories=12, rounds=1)
    problem.u.data = torch.stack([first, second], dim=1)
    sampler.here = None  # places written from outside
    sampler.param_groups[0].update(steps=16, trajectories=16)  # four more draws
    assert not sampler.adapting
    for _ in range(4):
        sampler.step(problem.closure)
    moved = problem.u.detach().double()
    for power in (1, 2, 3):
        exact = float((weight * grid**power).sum())
        error = float(moved[:, 0].pow(power).std()) / n**0.5
        assert abs(float(moved[:, 0].pow(power).mean()) - exact) < 4 * error


def test_many_latents_make_no_jumps() -> None:
    """Where a Gaussian is nothing like the posterior, its proposals are not worth their pictures."""
    gen = torch.Generator().manual_seed(1)
    inner, outer = torch.randn(40, 40, generator=gen), torch.randn(40, 10, generator=gen)

    def decode(u: Tensor) -> Tensor:
        return torch.sin(torch.sin(u @ inner) @ outer)

    start = prior_start(1, 40).expand(8, -1)
    problem = Problem(decode, decode(start)[0], torch.ones(10), start)
    group = {**problem.group, "context": problem.context(chains=4)}
    sampler = Search([group], noise_std=0.05, steps=16, trajectories=16, rounds=1)
    problem.run(sampler)
    assert len(sampler.jumpers) == 0


def test_what_chains_of_a_picture_share_is_theirs_alone() -> None:
    whole, part = in_both_modes(4, 2), in_both_modes(4, 2)
    _, together = drawn(whole, 2)
    part.u.data, part.streams = part.u.data[2:4].clone(), part.streams.select(torch.arange(2, 4))
    _, alone = drawn(part, 2)
    torch.testing.assert_close(alone, together[2:4], rtol=1e-4, atol=1e-4)


def test_nothing_is_adapted_once_draws_begin() -> None:
    problem = in_both_modes(6, 2)
    group = {**problem.group, "context": problem.context(chains=2)}
    sampler = Search([group], noise_std=SIGMA, steps=30, trajectories=30, rounds=1)
    frozen = None
    for step in range(30):
        sampler.step(problem.closure)
        if step == 14:
            names = ("factor", "centre", "jumpers")
            frozen = [getattr(sampler, name).clone() for name in names]
            size = sampler.adaptation.frozen.clone()
    assert frozen is not None
    assert all(torch.equal(getattr(sampler, n), x) for n, x in zip(names, frozen, strict=True))
    assert torch.equal(sampler.adaptation.frozen, size)


def test_a_copy_jumps_on_bit_for_bit() -> None:
    problem = in_both_modes(4, 2)
    group = {**problem.group, "context": problem.context(chains=2)}
    options = {"noise_std": SIGMA, "steps": 30, "trajectories": 30, "rounds": 1}
    sampler = Search([group], **options)
    for _ in range(20):
        sampler.step(problem.closure)
    state, where = copy.deepcopy(sampler.state_dict()), problem.u.detach().clone()
    for _ in range(10):
        sampler.step(problem.closure)
    ends, problem.u.data = problem.u.detach().clone(), where
    group = {**problem.group, "context": problem.context(chains=2)}
    other = Search([group], **options)
    other.load_state_dict(state)
    for _ in range(10):
        other.step(problem.closure)
    assert torch.equal(problem.u.detach(), ends)


@pytest.mark.parametrize("chains", [1, 3])
def test_a_mixture_knows_the_density_of_its_draws(chains: int) -> None:
    """E_q[p / q] = 1 for any density p."""
    gen = torch.Generator().manual_seed(0)
    root = torch.randn(1, 2, 3, 3, generator=gen) / 2
    curvature = torch.eye(3) + root @ root.mT
    u, slope = torch.randn(1, 2, 3, generator=gen), torch.randn(1, 2, 3, generator=gen)
    mixture = Mixture.around(u, curvature, slope, torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(mixture.log_weight.exp().sum(), torch.tensor(1.0))
    n = 40000
    which = torch.rand(1, chains, n, generator=gen)
    draws = mixture.draw(which, torch.randn(1, chains, n, 3, generator=gen)).flatten(1, 2)
    log_q = torch.logsumexp(mixture.log_terms(draws), dim=2)[0]
    # p: a Gaussian narrower than both, at their weighted mean
    away = draws[0].double() - mixture.centre[0].mean(dim=0)
    log_p = -away.square().sum(dim=1) / (2 * 0.3**2) - 3 * torch.tensor(0.3).double().log()
    ratio = (log_p - log_q).exp()
    assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / len(ratio) ** 0.5


def test_modes_are_apart_where_draws_of_one_are_not_near_the_other() -> None:
    """In units of the narrower one's deviation 5 is far in two dimensions, and in twenty it is not."""
    for size, far in ((2, True), (20, False)):
        place = torch.zeros(3, 2, size)
        place[:, 1, 0] = torch.tensor([5.0, 0.5, -5.0])
        narrow, none = torch.eye(size).expand(3, 2, -1, -1), torch.zeros(3, 2)
        wide = narrow * torch.tensor([1.0, 1.0, 0.01])[:, None, None, None]
        mixture = Mixture.around(place, wide, torch.zeros_like(place), none)
        assert mixture.apart().tolist() == [far, False, False]


def winding(u: Tensor) -> Tensor:
    """A valley around the first axis, along which chains are pulled."""
    first = u[:, :1]
    away = u[:, 1:] - torch.cat([first.sin(), first.cos()], dim=1)
    return torch.cat([3 * away, first / 2], dim=1)


# mean of the first latent, but for what the valley adds
WOUND = (0.5 / 0.1**2) / (1 + 0.25 / 0.1**2)


def down_the_valley(rounds: int) -> tuple[Search, Problem]:
    """Four chains that begin far up the valley, and four at home, each of a picture of its own."""
    first = torch.tensor([-9.0, WOUND]).repeat_interleave(4)
    start = torch.stack([first, first.sin(), first.cos()], dim=1)
    problem = Problem(winding, torch.tensor([0.0, 0.0, 1.0]), torch.ones(3), start)
    group = {**problem.group, "context": problem.context(chains=1)}
    options = {"steps": 36 + 12 * (rounds - 1), "trajectories": 36, "rounds": rounds}
    # Nothing is left for longer trajectories, which would bring chains home by themselves.
    return Search([group], noise_std=0.1, budget=1, **options), problem


def test_a_burn_in_goes_on_while_the_potential_falls() -> None:
    ends, spent = [], []
    for rounds in (1, 8):
        sampler, problem = down_the_valley(rounds)
        ends.append(problem.run(sampler)[:, 0])
        spent.append(sampler.diagnostics()["gradient_evaluations"])
    once, often = ends
    assert once[:4].mean() < -3
    assert (often - WOUND).abs().max() < 1
    assert spent[1][:4].min() > spent[0][:4].max() + 400
    assert (spent[1][4:] <= spent[0][4:] + 1).all()  # those at home wait


def test_some_go_further_as_if_all_alone() -> None:
    """Of three pictures of two chains the first goes as far again, the last twice."""
    gen = torch.Generator().manual_seed(2)
    at, momentum = torch.randn(6, 3, generator=gen), torch.randn(6, 3, generator=gen)
    spread = torch.randn(3, 3, 3, generator=gen)
    factor = factored(torch.eye(3) + spread @ spread.mT)
    angle, chance = torch.full((6,), 0.3), torch.rand(6, generator=gen)

    def gradient(u: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        return u.pow(4).sum(dim=1), 4 * u.pow(3)

    def gone(leapfrog: int, rows: slice, further: tuple[Tensor, ...] = ()) -> Journey:
        frame = Frame(torch.zeros(6, 3)[rows], factor[rows.start // 2 : rows.stop // 2])
        start = (at[rows], *gradient(at[rows]))
        given = (momentum[rows], angle[rows], chance[rows], leapfrog, further)
        return journey(gradient, frame, 1.5, start, *given)

    together = gone(4, slice(0, 6), (torch.tensor([0, 2]), torch.tensor([2])))
    for picture, leapfrog in enumerate((8, 4, 12)):
        rows = slice(2 * picture, 2 * picture + 2)
        for one, other in zip(gone(leapfrog, rows), together, strict=True):
            torch.testing.assert_close(one, other[rows], rtol=1e-4, atol=1e-4)


def test_draws_without_a_burn_in_move() -> None:
    problem = in_both_modes(4, 2)
    start = problem.u.detach().clone()
    sampler, ends = drawn(problem, 2, steps=2, trajectories=2)
    assert not sampler.burn_in
    assert ends.isfinite().all()
    assert sampler.diagnostics()["acceptance"].min() > 0
    assert not torch.equal(ends.float(), start)


def test_those_that_waited_go_on_from_where_they_are() -> None:
    sampler, problem = down_the_valley(8)
    for _ in range(sampler.draws_from + 1):
        sampler.step(problem.closure)
    assert sampler.here is not None
    problem.closure()
    torch.testing.assert_close(sampler.here[1], problem.u.grad)


def test_rounds_that_lead_nowhere_are_not_made() -> None:
    """A potential that falls, but from far above what it would have to fall to."""
    problem = Problem(winding, torch.tensor([0.0, 0.0, 400.0]), torch.ones(3), prior_start(8, 3))
    spent = []
    for rounds in (1, 8):
        group = {**problem.group, "context": problem.context(chains=4)}
        options = {"steps": 36 + 12 * (rounds - 1), "trajectories": 36, "rounds": rounds}
        sampler = Search([group], noise_std=0.1, **options)
        problem.run(sampler)
        spent.append(sampler.diagnostics()["gradient_evaluations"])
    assert spent[1].max() < 2 * spent[0].min()
