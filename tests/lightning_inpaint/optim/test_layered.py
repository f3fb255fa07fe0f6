"""A descent through an inner layer: what costs little is bent, what costs much is nearly straight."""

from __future__ import annotations

import copy

import pytest
import torch
from toys import Problem, prior_start, random

from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.observation import Observation
from lightning_inpaint.inference.posterior import Posterior
from lightning_inpaint.noise import ChainStreams
from lightning_inpaint.optim import Search, layered
from lightning_inpaint.optim.base import InnerLayer
from lightning_inpaint.optim.gauss_newton import linearized
from lightning_inpaint.optim.layered import LayeredDescent
from lightning_inpaint.optim.radius import Span, row_norms

D, BETWEEN, VALUES, SIGMA = 300, 12, 40, 0.05


FIRST, SECOND = random(D, 64, seed=1) / D**0.5, random(64, BETWEEN, seed=2) / 8
OUT = random(BETWEEN, VALUES, seed=3) / BETWEEN**0.5


def inner(u: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
    """Bent several times over the prior."""
    return 2 * torch.sin(8 * u @ FIRST) @ SECOND


def outer(w: torch.Tensor, bend: float) -> torch.Tensor:
    return (w + bend * torch.tanh(w)) @ OUT


def bent_problem(chains: int, bend: float = 0.3) -> Problem:
    truth = prior_start(1, D, seed=7)
    target = outer(inner(truth), bend)[0] + SIGMA * random(VALUES, seed=4)
    start = prior_start(chains, D)
    return Problem(lambda u: outer(inner(u), bend), target, torch.ones(VALUES), start)


def layer_of(problem: Problem, bend: float = 0.3) -> InnerLayer:
    return InnerLayer(
        size=BETWEEN,
        spread=1.0,
        cost=0.01,
        inner=inner,
        around=lambda v, rows: v,
        residual=lambda w, rows: outer(w, bend) - problem.target,
    )


def descent(problem: Problem, bend: float = 0.3, spans: tuple[Span, ...] = ()) -> LayeredDescent:
    u = problem.u.detach()
    return LayeredDescent(layer_of(problem, bend), u, torch.ones_like(u[:1]), list(spans))


def potential(problem: Problem, u: torch.Tensor) -> torch.Tensor:
    return problem.energy(u) / (2 * SIGMA**2) + u.square().sum(dim=1) / 2


def test_a_straight_outer_part_needs_no_move() -> None:
    """Its model is exact wherever it is made: the energy where the landing ends is the model's."""
    problem = bent_problem(4, bend=0.0)
    chains, rows = descent(problem, bend=0.0), torch.arange(4)
    u = chains.land(problem.u.detach(), rows, SIGMA, torch.full((4,), float(VALUES)))
    torch.testing.assert_close(chains.energy, problem.energy(u), rtol=1e-5, atol=1e-6)
    assert (chains.energy / (VALUES * SIGMA**2) < 1.3).all()


def test_moves_never_climb_and_come_down() -> None:
    problem = bent_problem(6)
    chains, rows = descent(problem), torch.arange(6)
    u = chains.land(problem.u.detach(), rows, SIGMA, torch.full((6,), float(VALUES)))
    first = before = potential(problem, u)
    for _ in range(24):
        u = chains.move(u, rows, SIGMA)
        now = potential(problem, u)
        assert (now <= before * (1 + 1e-5)).all()
        torch.testing.assert_close(chains.energy, problem.energy(u), rtol=1e-4, atol=1e-5)
        before = now
    assert (before < first - 20).all()


def test_what_moves_teach_makes_up_for_more_jacobians(monkeypatch) -> None:
    ends = {}
    for learns in (True, False):
        if not learns:
            monkeypatch.setattr(LayeredDescent, "learn", lambda *_: None)
        problem = bent_problem(6, bend=2.0)
        chains, rows = descent(problem, bend=2.0), torch.arange(6)
        u = chains.land(problem.u.detach(), rows, SIGMA, torch.full((6,), float(VALUES)))
        for _ in range(8):
            u = chains.move(u, rows, SIGMA)
        ends[learns] = potential(problem, u).mean()
    assert ends[True] < ends[False] / 4


def test_its_linearisation_is_that_of_the_whole() -> None:
    problem = bent_problem(2)
    chains, rows = descent(problem), torch.arange(2)
    u = problem.u.detach()
    chains.measure(inner(u), rows)
    there, whole = chains.linearized(u, rows), linearized(problem.residual, u, rows)
    torch.testing.assert_close(there.energy, whole.energy, rtol=1e-5, atol=0)
    for name in ("slope", "square"):
        one, other = getattr(there, name), getattr(whole, name)
        assert (one - other).norm() < 0.02 * other.norm()


def test_latents_that_count_by_direction_stay_on_their_shell() -> None:
    problem, span = bent_problem(3), Span(0, D, D)
    chains, rows = descent(problem, spans=(span,)), torch.arange(3)
    u = chains.land(problem.u.detach(), rows, SIGMA, torch.full((3,), float(VALUES)))
    u = chains.move(u, rows, SIGMA)
    torch.testing.assert_close(row_norms(u, span), torch.full((3, 1), D**0.5))


def test_a_search_arrives_through_the_layer_and_costs_less() -> None:
    options = {"noise_std": SIGMA, "trajectories": 0}
    ends = {}
    for through in (True, False):
        problem = bent_problem(16)
        context = problem.context(layer=(lambda p=problem: layer_of(p)) if through else None)
        sampler = Search([{"params": [problem.u], "context": context}], **options)
        problem.run(sampler)
        spent = sampler.diagnostics()["gradient_evaluations"]
        ends[through] = sampler.arrived.float().mean(), spent.mean()
    assert ends[True][0] == 1
    assert ends[True][1] < 0.75 * ends[False][1]


def test_what_it_costs_is_counted() -> None:
    problem = bent_problem(2)
    context = problem.context(layer=lambda: layer_of(problem))
    options = {"screen": 10, "descent": 20, "trajectories": 0}
    group = {"params": [problem.u], "context": context}
    sampler = Search([group], steps=29, noise_std=SIGMA, **options)
    problem.run(sampler)
    moves, before = 16 * (1 + 100 * 0.01), 10 / 2 + 20 + (BETWEEN + 1) / 2 + 1 + 2000 * 0.01
    spent = sampler.diagnostics()["gradient_evaluations"].double()
    times = (spent - before) / moves  # those that gain no more go without the last ones
    torch.testing.assert_close(times, times.round(), rtol=0, atol=1e-4)
    assert ((times >= 2) & (times < 8)).all()
    most = sum(sampler.cost(step) for step in range(29))
    assert most == pytest.approx(before + 8 * moves, abs=4)


@pytest.fixture(scope="module")
def space() -> LatentSpace:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(
        z_dim=260, num_classes=3, w_dim=16, resolution=8, channel_base=64, channel_max=8
    )
    return LatentSpace(generator.eval().requires_grad_(False), "z", truncation=0.8)


def posterior_of(space: LatentSpace, names: list[str]) -> Posterior:
    n = len(names)
    labels = torch.tensor([len(name) % 3 for name in names])
    pictures = torch.stack([random(3, 8, 8, seed=len(name)) / 3 for name in names])
    mask = torch.zeros(n, 1, 8, 8)
    mask[..., 4:] = 1
    chains = labels.repeat_interleave(2)
    observation = Observation.of(pictures, mask, chains, 2)
    return Posterior(space, observation, ChainStreams.grid(0, names, 2), noise_std=SIGMA)


def test_the_parts_of_a_stylegan_are_the_whole(space) -> None:
    posterior = posterior_of(space, ["a", "bb"])
    layer, rows = posterior.layer(), torch.arange(4)
    u = random(4, space.dim, seed=5)
    torch.testing.assert_close(
        layer.residual(layer.inner(u, rows), rows), posterior.residual(u, rows)
    )
    w = layer.around(random(4, layer.size, seed=6), rows)
    assert w.shape == (4, 16)
    assert 0 < layer.cost < 1


def walked(space: LatentSpace, names: list[str], interrupt: int | None = None) -> torch.Tensor:
    posterior = posterior_of(space, names)
    u = torch.nn.Parameter(posterior.streams.normal(0, space.dim, 0))
    sampler = Search(
        [posterior.group(u, 2)], noise_std=SIGMA, trajectories=3, rounds=1, descent=2,
        steps=3 + 8 + 3,
    )  # fmt: skip
    closure = posterior.closure(u)
    for step in range(sampler.steps):
        sampler.step(closure)
        if step == interrupt:
            state = copy.deepcopy(sampler.state_dict())
            again = torch.nn.Parameter(u.detach().clone())
            options = {**sampler.options}
            sampler = Search([posterior.group(again, 2)], **options)
            sampler.load_state_dict(state)
            u, closure = again, posterior.closure(again)
    return u.detach()


def test_a_chain_has_the_same_bytes_in_any_batch_and_after_a_stop(space, monkeypatch) -> None:
    monkeypatch.setattr(layered, "MOVE", 5)
    monkeypatch.setattr(layered, "LANDING", 20)
    whole = walked(space, ["a", "bb", "ccc"])
    assert torch.equal(walked(space, ["bb"]), whole[2:4])
    for interrupt in (1, 4):
        assert torch.equal(walked(space, ["bb"], interrupt), whole[2:4])
