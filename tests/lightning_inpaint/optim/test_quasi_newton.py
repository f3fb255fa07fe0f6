"""A descent on a quadratic model that learns from its moves."""

from __future__ import annotations

import copy

import pytest
import torch
from toys import Problem, prior_start, random

from lightning_inpaint.noise import ChainStreams, Purpose
from lightning_inpaint.optim import Search, search
from lightning_inpaint.optim.quasi_newton import MOVES, QuasiNewton
from lightning_inpaint.optim.radius import Span, row_norms

D, VALUES, SIGMA = 20, 12, 0.1


MATRIX = random(D, VALUES, seed=1) / 2


def bent(u: torch.Tensor, bend: float, matrix: torch.Tensor = MATRIX) -> torch.Tensor:
    flat = u @ matrix
    return flat + bend * torch.sin(3 * flat)


def problem_of(chains: int, bend: float) -> Problem:
    target = bent(prior_start(1, D, seed=7), bend)[0] + SIGMA * random(VALUES, seed=4)
    start = prior_start(chains, D)
    return Problem(lambda u: bent(u, bend), target, torch.ones(VALUES), start)


def descent(problem: Problem, spans: tuple[Span, ...] = ()) -> QuasiNewton:
    u = problem.u.detach()
    return QuasiNewton(problem.residual, D, u, torch.ones_like(u[:1]), list(spans))


def values(chains: int) -> torch.Tensor:
    return torch.full((chains,), float(VALUES))


def test_the_mode_of_a_straight_generator_is_solved_for() -> None:
    """Held to a: (J J^T / sigma^2 + I) (u - a) = J (y - J^T a) / sigma^2."""
    problem = problem_of(3, bend=0.0)
    chains, rows = descent(problem), torch.arange(3)
    chains.held = random(3, D, seed=5)
    u = chains.step(problem.u.detach(), rows, 0, SIGMA, values(3))
    curvature = (MATRIX @ MATRIX.T).double() / SIGMA**2 + torch.eye(D).double()
    missing = (problem.target - chains.held @ MATRIX) @ MATRIX.T / SIGMA**2
    away = torch.linalg.solve(curvature, missing.double().T).T
    torch.testing.assert_close(u.double(), chains.held + away, rtol=0, atol=2e-3)
    torch.testing.assert_close(chains.energy, problem.energy(u), rtol=1e-3, atol=1e-4)


def test_a_move_teaches_the_curvature_along_it() -> None:
    """The secant equation B s = y, at least a fifth of what was thought, and B stays positive definite."""
    problem = problem_of(3, bend=0.1)
    chains, rows = descent(problem), torch.arange(3)
    chains.measure(problem.u.detach(), rows)
    chains.square += 0.1 * torch.eye(D)  # of full rank
    first = chains.square.clone()
    steps, changes = random(3, D, seed=8), random(3, D, seed=9) / 10
    changes[0] += first[0] @ steps[0] * 2  # more than was thought
    changes[1] = -first[1] @ steps[1]  # bent the other way
    steps[2] = changes[2] = 0.0  # no move
    chains.learn(rows, steps, changes)
    torch.testing.assert_close(chains.square[0] @ steps[0], changes[0], rtol=1e-3, atol=1e-3)
    along = [(steps[1] @ square[1] @ steps[1]).item() for square in (first, chains.square)]
    assert along[1] == pytest.approx(along[0] / 5, rel=1e-3)
    assert torch.equal(chains.square[2], first[2])
    assert (torch.linalg.eigvalsh(chains.square[:2].double()) > 0).all()


def test_moves_never_climb_and_lessons_bring_them_further(monkeypatch) -> None:
    def potential(u: torch.Tensor) -> torch.Tensor:
        return problem.energy(u) / (2 * SIGMA**2) + u.square().sum(dim=1) / 2

    ends = {}
    for learns in (True, False):
        if not learns:
            monkeypatch.setattr(QuasiNewton, "learn", lambda *_: None)
        problem = problem_of(8, bend=0.25)
        chains, rows = descent(problem), torch.arange(8)
        u = chains.land(problem.u.detach(), rows, SIGMA, values(8))
        before = potential(u)
        for _ in range(2 * MOVES):
            u = chains.move(u, rows, SIGMA)
            assert (potential(u) <= before * (1 + 1e-5)).all()
            before = potential(u)
        ends[learns] = before.median()
    assert ends[True] < 0.7 * ends[False]


def test_latents_that_count_by_direction_stay_on_their_shell() -> None:
    problem, span = problem_of(2, bend=0.1), Span(0, D, D)
    chains, rows = descent(problem, spans=(span,)), torch.arange(2)
    u = chains.step(problem.u.detach(), rows, 0, SIGMA, values(2))
    torch.testing.assert_close(row_norms(u, span), torch.full((2, 1), D**0.5))


WIDE = random(300, 40, seed=2) / 300**0.5


def wide(names: list[str]) -> Problem:
    """Two chains each, of pictures by the lengths of their names."""
    truths = [prior_start(1, 300, seed=len(name)) for name in names]
    target = torch.cat([bent(u, 0.25, WIDE) for u in truths]).repeat_interleave(2, 0)
    streams = ChainStreams.grid(0, names, 2)
    start = streams.normal(0, 300, Purpose.START)

    def decode(u: torch.Tensor) -> torch.Tensor:  # each row by itself
        return torch.cat([bent(row, 0.25, WIDE) for row in u.split(1)])

    problem = Problem(decode, target, torch.ones(40), start)
    problem.streams = streams
    return problem


def walked(names: list[str], interrupt: int | None = None) -> torch.Tensor:
    problem = wide(names)
    options = {"noise_std": 0.05, "trajectories": 3, "rounds": 1, "descent": 5}
    group = {"params": [problem.u], "context": problem.context(chains=2)}
    sampler = Search([group], steps=2 * (1 + 5 + 8) + 3, **options)
    for step in range(sampler.steps):
        sampler.step(problem.closure)
        if step == interrupt:
            state = copy.deepcopy(sampler.state_dict())
            sampler = Search([group | {"context": problem.context(chains=2)}], **sampler.options)
            sampler.load_state_dict(state)
    return problem.u.detach().clone()


def test_a_chain_has_the_same_bytes_in_any_batch_and_after_a_stop() -> None:
    whole = walked(["a", "bb", "ccc"])
    assert torch.equal(walked(["bb"]), whole[2:4])
    for interrupt in (2, 8, 15):
        assert torch.equal(walked(["bb"], interrupt), whole[2:4])


def test_hundreds_of_latents_arrive_for_less_than_by_adam_alone(monkeypatch) -> None:
    ends = {}
    for most in (search.MOST, 0):
        monkeypatch.setattr(search, "MOST", most)
        problem = wide(["a", "bb", "ccc", "dddd"])
        group = {"params": [problem.u], "context": problem.context(chains=2)}
        sampler = Search([group], noise_std=0.02, trajectories=0)
        problem.run(sampler)
        spent = sampler.diagnostics()["gradient_evaluations"].mean()
        ends[most] = sampler.arrived.float().mean(), spent
    (arrived, spent), (_, before) = ends.values()
    assert arrived == 1
    assert spent < 0.75 * before
