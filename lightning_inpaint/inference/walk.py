"""The one loop: chains walk from their start to their end, and those that are finished free their place."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..optim.base import ChainOptimizer
from .agreement import DrawRecorder
from .background import Background
from .posterior import Posterior
from .starts import prior_draws

__all__ = ["MakeSampler", "Report", "Walk", "walk"]

Report = Callable[[int, int, Tensor, Tensor, tuple[int, int]], None]
MakeSampler = Callable[[nn.Parameter, Posterior], ChainOptimizer]


class Walk(NamedTuple):
    """Where the chains ended and how they went; one row per chain.

    Attributes:
        latents: (N, D), final.
        pictures: (N, C, H, W), generated from them, in about [-1, 1].
        energy: (N,), of those pictures.
        trace: (steps, N), energies seen by each step; a chain at rest keeps the one that it rests at.
        diagnostics: figures by name, each (N,).
        evaluations: gradients that a chain had spent before each step, and in the end (steps + 1).
        draws_from: step from which on states are draws of a chain in equilibrium; None = no step's is.
        draws: (T, N, quantities), kept for R-hat; None where nothing was kept.
    """

    latents: Tensor
    pictures: Tensor
    energy: Tensor
    trace: Tensor
    diagnostics: dict[str, Tensor]
    evaluations: list[int]
    draws_from: int | None = None
    draws: Tensor | None = None

    @property
    def finite(self) -> Tensor:
        """(N,) whether a chain ended in finite latents and a finite energy."""
        return self.energy.isfinite() & self.latents.isfinite().all(dim=1)

    def first(self, n: int) -> Walk:
        """This walk without the chains from number ``n`` on."""
        return self._replace(
            latents=self.latents[:n],
            pictures=self.pictures[:n],
            energy=self.energy[:n],
            trace=self.trace[:, :n],
            diagnostics={key: value[:n] for key, value in self.diagnostics.items()},
            draws=None if self.draws is None else self.draws[:, :n],
        )

    def replace_rows(self, rows: Tensor, other: Walk) -> Walk:
        """This walk with ``rows`` (indices) taken from ``other``."""
        diagnostics = {
            key: value.index_copy(0, rows, other.diagnostics[key])
            for key, value in self.diagnostics.items()
        }
        draws = self.draws
        if draws is not None and other.draws is not None:
            draws = draws.index_copy(1, rows, other.draws)
        return self._replace(
            latents=self.latents.index_copy(0, rows, other.latents),
            pictures=self.pictures.index_copy(0, rows, other.pictures),
            energy=self.energy.index_copy(0, rows, other.energy),
            trace=self.trace.index_copy(1, rows, other.trace),
            diagnostics=diagnostics,
            draws=draws,
        )


def walk(
    posterior: Posterior,
    sampler: MakeSampler,
    start: Callable[[Posterior], Tensor] = prior_draws,
    *,
    together: int = 1,
    fill: bool = True,
    slots: int | None = None,
    keep_draws: bool = False,
    report: Report | None = None,
    every: int = 10,
) -> Walk:
    """Let chains walk until each has made its steps or has stopped.

    The rows that walk are always a multiple of :attr:`.posterior.Posterior.unit`: copies of chains fill them
    up and are dropped in the end. So a chain's bytes do not depend on its batch.

    A sampler whose chains stop (:attr:`.optim.base.ChainOptimizer.stops`) may walk in ``slots``: chains at
    rest are replaced by waiting ones every few steps, and when none waits any more, the batch shrinks by
    halves. What a chain does depends on its own steps alone. The loop never waits for a device: which
    chains rest is fetched in the background and acted upon at the next look.

    Args:
        posterior: of all chains.
        sampler: makes a sampler over latents in a posterior.
        start: makes the starts (N, D) of a posterior's chains (see :mod:`.starts`).
        together: neighbouring rows that depend on each other.
        fill: False walks with the chains alone, where memory does not suffice for copies.
        slots: chains that walk at once; None = all.
        keep_draws: whether draws are kept for R-hat.
        report: called with (steps made, steps, energies (N,), latents (N, D), work), where work is the
            evaluations that those steps take, and all steps. In slots, steps are a mean over all chains, and
            the energies of waiting chains are NaN.
        every: steps from one report, and look at who rests, to the next; the last step is reported.
    """
    whole = posterior.filled(together) if fill else posterior
    n = len(posterior.streams)
    loop = _Loop(whole, start(whole), sampler, slots, keep_draws, _cut(report, n), every)
    return loop.run().first(n)


def _cut(report: Report | None, n: int) -> Report | None:
    if report is None:
        return None
    told = report

    def cut(step: int, steps: int, energy: Tensor, u: Tensor, work: tuple[int, int]) -> None:
        told(step, steps, energy[:n], u[:n], work)

    return cut


class _Loop:
    """The chains that walk, and the books of all.

    Attributes:
        seats: number of the chain in each row that walks.
        joined: round in which it took its place.
    """

    def __init__(
        self,
        posterior: Posterior,
        start: Tensor,
        sampler: MakeSampler,
        slots: int | None,
        keep_draws: bool,
        report: Report | None,
        every: int,
    ) -> None:
        self.posterior, self.latents, self.report, self.every = posterior, start, report, every
        chains, unit = list(range(len(start))), posterior.unit
        self.unit = unit if len(start) % unit == 0 else 1
        self.slots = len(start) if slots is None else min(-(-slots // unit) * unit, len(start))
        self.seats, self.waiting = chains[: self.slots], chains[self.slots :]
        self.joined = [0] * len(self.seats)
        self.rounds = self.gone = self.reported = 0
        self._sit()
        self.u = nn.Parameter(start[self.rows])
        self.optimizer = sampler(self.u, self.seated)
        self.closure = self.seated.closure(self.u, self.optimizer)
        self.steps = self.optimizer.steps
        costs = (self.optimizer.cost(step) for step in range(self.steps))
        self.work = [0, *itertools.accumulate(costs)]
        self.recorder = DrawRecorder(posterior, self.optimizer) if keep_draws else None
        self.energy = torch.full_like(start[:, 0], torch.nan)
        # The last row takes what resting chains would write.
        self.trace = start.new_full((self.steps + 1, len(start)), torch.nan)
        self.evaluations = [self.optimizer.evaluations]
        self.figures: dict[str, Tensor] = {}
        self.flags = Background()

    def run(self) -> Walk:
        """All chains to their ends."""
        stops = self.optimizer.stops
        while self.seats:
            if stops:
                optimizer = self.optimizer
                row = torch.where(optimizer.resting, self.steps, optimizer.ages)
                energy = self._step()
                self.trace.index_put_((row, self.rows), energy)
            else:
                energy = self._step()
                self.trace[self.rounds] = energy
                if self.recorder is not None:
                    self.recorder.see(self.rounds, energy, self.u)
            self.evaluations.append(self.optimizer.evaluations)
            self.rounds += 1
            if self.rounds % self.every == 0 or self.rounds - min(self.joined) == self.steps:
                self._look(energy)
        return self._walk()

    def _step(self) -> Tensor:
        energy: Tensor = self.optimizer.step(self.closure)  # type: ignore[arg-type, assignment]
        return self.seated.plain(energy)

    def _sit(self) -> None:
        self.rows = torch.tensor(self.seats, device=self.latents.device)
        everyone = self.seats == list(range(len(self.latents)))
        self.seated = self.posterior if everyone else self.posterior.select(self.rows)

    def _look(self, energy: Tensor) -> None:
        """Let chains that rest leave, others in, and report."""
        known = self.flags.exchange(self.optimizer.resting) if self.optimizer.stops else None
        resting = [False] * len(self.seats) if known is None else known.tolist()
        through = [self.rounds - joined >= self.steps for joined in self.joined]
        leaving = [i for i, ends in enumerate(zip(resting, through, strict=True)) if any(ends)]
        leaving = leaving[: self._may_leave(len(leaving))]
        if leaving or self.report is not None:
            self.latents[self.rows] = self.u.detach()
            self.energy[self.rows] = energy
        if leaving:
            self._change(set(leaving))
        self._tell()

    def _may_leave(self, wish: int) -> int:
        """How many of those that are finished leave, so that whole units walk on."""
        staying, waiting = len(self.seats) - wish, len(self.waiting)
        # Once none waits, a smaller batch is worth making only every so often.
        if not waiting and staying > len(self.seats) // 2:
            return 0
        return max(wish - (-(staying + min(wish, waiting))) % self.unit, 0)

    def _change(self, leaving: set[int]) -> None:
        for name, value in self._diagnostics().items():
            whole = self.figures.setdefault(name, torch.full_like(self.energy, torch.nan))
            whole[self.rows] = value.to(whole)
        keep = [i for i in range(len(self.seats)) if i not in leaving]
        fresh, self.waiting = self.waiting[: len(leaving)], self.waiting[len(leaving) :]
        self.gone += len(leaving)
        self.seats = [self.seats[i] for i in keep] + fresh
        self.joined = [self.joined[i] for i in keep] + [self.rounds] * len(fresh)
        self.flags = Background()
        if not self.seats:
            return
        self._sit()
        kept = torch.tensor(keep, dtype=torch.int64, device=self.rows.device)
        newcomers = self.latents[self.rows[len(keep) :]]
        self.optimizer.reseat(kept, newcomers, self.seated.context())
        self.closure = self.seated.closure(self.u, self.optimizer)

    def _diagnostics(self) -> dict[str, Tensor]:
        found = self.optimizer.diagnostics()
        spent = torch.full_like(self.u[:, 0].detach(), float(self.optimizer.evaluations))
        return {"gradient_evaluations": spent, **found}

    def _tell(self) -> None:
        if self.report is None:
            return
        made = sum(min(self.rounds - joined, self.steps) for joined in self.joined)
        mean = (made + self.gone * self.steps) // len(self.latents)
        ended = not self.seats
        # The last step is reported once, at the end.
        if ended or self.reported + self.every <= mean < self.steps:
            self.reported = self.steps if ended else mean
            work = self.work[self.reported], self.work[-1]
            self.report(self.reported, self.steps, self.energy, self.latents, work)

    @torch.no_grad()
    def _walk(self) -> Walk:
        parts = torch.arange(len(self.latents), device=self.latents.device).split(self.slots)
        chosen = [(self.posterior.select(rows), rows) for rows in parts]
        if len(parts) == 1:  # a stream of noise inputs goes on
            chosen = [(self.posterior, parts[0])]
        ended = [p.outcome(self.latents[rows]) for p, rows in chosen]
        pictures, energy = (torch.cat(part) for part in zip(*ended, strict=True))
        evaluations, trace = self.evaluations, self.trace[:-1]
        if self.optimizer.stops:  # one a step
            evaluations, trace = list(range(self.steps + 1)), self._filled_trace()
        first = self.optimizer.draws_from
        draws = None if self.recorder is None else self.recorder.draws()
        return Walk(self.latents, pictures, energy, trace, self.figures, evaluations, first, draws)

    def _filled_trace(self) -> Tensor:
        """(steps, N): a chain at rest keeps the energy that it rests at."""
        trace = self.trace[:-1]
        steps = torch.arange(len(trace), device=trace.device)[:, None]
        evaluations = self.figures["gradient_evaluations"].long()
        return trace.gather(0, torch.minimum(steps, evaluations - 1))
