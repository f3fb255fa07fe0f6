"""One walk of a batch of chains, from their start to their end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..optim.base import ChainOptimizer
from .agreement import DrawRecorder
from .observation import masked_squared_error
from .posterior import Posterior

__all__ = ["Report", "Walk", "walk"]

Report = Callable[[int, int, Tensor, Tensor, tuple[int, int]], None]


class Walk(NamedTuple):
    """Where the chains ended and how they went; one row per chain.

    Attributes:
        latents: (N, D), final.
        pictures: (N, C, H, W), generated from them, in about [-1, 1].
        energy: (N,), of those pictures.
        trace: (steps, N), energies seen by each step.
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

    def replace_rows(self, rows: Tensor, other: Walk) -> Walk:
        """This walk with ``rows`` (indices) taken from ``other``."""
        diagnostics = {
            key: value.index_copy(0, rows, other.diagnostics[key])
            for key, value in self.diagnostics.items()
        }
        draws = self.draws
        if draws is not None and other.draws is not None:
            draws = draws.index_copy(1, rows, other.draws)
        return Walk(
            self.latents.index_copy(0, rows, other.latents),
            self.pictures.index_copy(0, rows, other.pictures),
            self.energy.index_copy(0, rows, other.energy),
            self.trace.index_copy(1, rows, other.trace),
            diagnostics,
            self.evaluations,
            self.draws_from,
            draws,
        )


def walk(
    posterior: Posterior,
    u: nn.Parameter,
    optimizer: ChainOptimizer,
    report: Report | None = None,
    every: int = 10,
    recorder: DrawRecorder | None = None,
) -> Walk:
    """Run ``optimizer`` on ``u`` to its end. Nothing in the loop waits for the device.

    Args:
        posterior: energies and pictures.
        u: (N, D), the chains, moved in place.
        optimizer: a sampler over ``u``.
        report: called with (steps made, steps, energies (N,), latents (N, D), work), where work is the
            evaluations that those steps take, and all steps.
        every: steps between reports; the last step is always reported.
        recorder: keeps draws for R-hat; None keeps none.
    """
    closure, steps = posterior.closure(u, optimizer), optimizer.steps
    trace = torch.empty(steps, len(u), device=u.device, dtype=u.dtype)
    evaluations = [optimizer.evaluations]
    costs = list(itertools.accumulate(optimizer.cost(step) for step in range(steps)))
    for step in range(1, steps + 1):
        energy: Tensor = optimizer.step(closure)  # type: ignore[arg-type, assignment]
        trace[step - 1] = energy
        evaluations.append(optimizer.evaluations)
        if recorder is not None:
            recorder.see(step - 1, energy, u)
        if report is not None and (step % every == 0 or step == steps):
            report(step, steps, energy, u.detach(), (costs[step - 1], costs[-1]))
    with torch.no_grad():
        pictures = posterior.decode(u)
        evidence = posterior.evidence
        energy = masked_squared_error(pictures, evidence.target, evidence.known)
    diagnostics = optimizer.diagnostics()
    diagnostics.setdefault(
        "gradient_evaluations", torch.full_like(energy, float(optimizer.evaluations))
    )
    draws = None if recorder is None else recorder.draws()
    first = optimizer.draws_from
    return Walk(u.detach(), pictures, energy, trace, diagnostics, evaluations, first, draws)
