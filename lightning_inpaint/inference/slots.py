"""Chains that are finished free their place: waiting ones take it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..optim.base import ChainOptimizer
from .background import Background
from .observation import masked_squared_error
from .posterior import Posterior
from .walk import Report, Walk

__all__ = ["walk_in_slots"]

MakeSampler = Callable[[nn.Parameter, Posterior], ChainOptimizer]


def walk_in_slots(
    posterior: Posterior,
    start: Tensor,
    sampler: MakeSampler,
    slots: int,
    report: Report | None = None,
    every: int = 10,
) -> Walk:
    """Let chains walk ``slots`` at a time until each has stopped.

    A chain that has reached its sampler's stopping rule rests, and every few steps resting chains are
    replaced by waiting ones; when none waits any more, the batch shrinks by halves. What a chain does
    depends on its own steps alone, so the result is that of a walk of its own (but for rounding).
    The loop never waits for a GPU: which chains rest is fetched in the background and acted upon at the
    next look.

    Args:
        posterior: of all chains.
        start: (N, D), their starts; overwritten.
        sampler: makes a sampler whose chains stop (:attr:`.optim.base.ChainOptimizer.stops`).
        slots: chains that walk at once.
        report: see :func:`.walk.walk`; steps are a mean over all chains;
            the energies of waiting chains are NaN.
        every: steps from one look, and report, to the next.
    """
    return _Slots(posterior, start, sampler, slots, report, every).run()


class _Slots:
    """The chains that walk, and the books of all.

    Attributes:
        seats: number of the chain in each slot.
        joined: round in which it took its place.
    """

    def __init__(
        self,
        posterior: Posterior,
        start: Tensor,
        sampler: MakeSampler,
        slots: int,
        report: Report | None,
        every: int,
    ) -> None:
        self.posterior, self.latents, self.report, self.every = posterior, start, report, every
        chains = list(range(len(start)))
        self.slots, self.seats, self.waiting = slots, chains[:slots], chains[slots:]
        self.joined = [0] * len(self.seats)
        self.rounds = self.gone = self.reported = 0
        self._sit()
        self.u = nn.Parameter(start[self.rows])
        self.optimizer = sampler(self.u, self.seated)
        self.closure = self.seated.closure(self.u, self.optimizer)
        self.steps = self.optimizer.steps
        self.energy = torch.full_like(start[:, 0], torch.nan)
        # The last row takes what resting chains would write.
        self.trace = start.new_full((self.steps + 1, len(start)), torch.nan)
        self.figures: dict[str, Tensor] = {}
        self.flags = Background()

    def run(self) -> Walk:
        """All chains to their ends."""
        while self.seats:
            row = torch.where(self.optimizer.resting, self.steps, self.optimizer.ages)
            energy: Tensor = self.optimizer.step(self.closure)  # type: ignore[arg-type, assignment]
            self.trace.index_put_((row, self.rows), energy)
            self.rounds += 1
            if self.rounds % self.every == 0 or self.rounds - min(self.joined) == self.steps:
                self._look(energy)
        return self._walk()

    def _sit(self) -> None:
        self.rows = torch.tensor(self.seats, device=self.latents.device)
        self.seated = self.posterior.select(self.rows)

    def _look(self, energy: Tensor) -> None:
        """Let chains that rest leave, others in, and report."""
        known = self.flags.exchange(self.optimizer.resting)
        resting = [False] * len(self.seats) if known is None else known.tolist()
        through = [self.rounds - joined >= self.steps for joined in self.joined]
        leaving = [i for i, ends in enumerate(zip(resting, through, strict=True)) if any(ends)]
        staying = len(self.seats) - len(leaving)
        # Once none waits, a smaller batch is worth making only every so often.
        moves = leaving and (self.waiting or staying <= len(self.seats) // 2)
        if moves or self.report is not None:
            self.latents[self.rows] = self.u.detach()
            self.energy[self.rows] = energy
        if moves:
            self._change(set(leaving))
        self._tell()

    def _change(self, leaving: set[int]) -> None:
        for name, value in self.optimizer.diagnostics().items():
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
        self.optimizer.reseat(kept, newcomers, self.seated.group(self.u))
        self.closure = self.seated.closure(self.u, self.optimizer)

    def _tell(self) -> None:
        if self.report is None:
            return
        made = sum(min(self.rounds - joined, self.steps) for joined in self.joined)
        mean = (made + self.gone * self.steps) // len(self.latents)
        ended = not self.seats
        # The last step is reported once, at the end.
        if ended or self.reported + self.every <= mean < self.steps:
            self.reported = self.steps if ended else mean
            work = self.reported, self.steps
            self.report(self.reported, self.steps, self.energy, self.latents, work)

    @torch.no_grad()
    def _walk(self) -> Walk:
        parts = torch.arange(len(self.latents), device=self.latents.device).split(self.slots)
        chosen = [(self.posterior.select(rows), rows) for rows in parts]
        pictures = torch.cat([p.decode(self.latents[rows]) for p, rows in chosen])
        evidence = self.posterior.evidence
        energy = masked_squared_error(pictures, evidence.target, evidence.known)
        evaluations = list(range(self.steps + 1))  # samplers whose chains stop spend one a step
        return Walk(self.latents, pictures, energy, self._filled_trace(), self.figures, evaluations)

    def _filled_trace(self) -> Tensor:
        """(steps, N): a chain at rest keeps the energy that it rests at."""
        trace = self.trace[:-1]
        steps = torch.arange(len(trace), device=trace.device)[:, None]
        evaluations = self.figures["gradient_evaluations"].long()
        return trace.gather(0, torch.minimum(steps, evaluations - 1))
