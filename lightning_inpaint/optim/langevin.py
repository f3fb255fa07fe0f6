"""Preconditioned, annealed, unadjusted Langevin dynamics (approximate)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..noise import Purpose
from .base import ChainOptimizer, Closure, require_positive
from .mode import annealed_std
from .preconditioner import (
    Preconditioner,
    check_preconditioner,
    latent_scale,
    measure_fisher,
)
from .radius import ratio_to, row_norms, spans_of

__all__ = ["Langevin", "langevin_step"]


def langevin_step(u: Tensor, slope: Tensor, variance: Tensor, noise: Tensor) -> Tensor:
    """``sqrt(1 - q) u - (q / 2) g + sqrt(q) eps``: the prior part of the dynamics solved exactly.

    Args:
        u: (N, D) chains.
        slope: (N, D), g, the gradient of the negative log-likelihood.
        variance: (N, D), q in [0, 1], variance of the step.
        noise: (N, D) standard normal, or scaled by the square root of a temperature.
    """
    return (1 - variance).sqrt() * u - variance / 2 * slope + variance.sqrt() * noise


class Langevin(ChainOptimizer):
    """Annealed Langevin dynamics without a Metropolis test (approximate).

    With s = (1 + F)^(-1/2) from the Fisher diagonal at the present sigma_i, and q = (h s)^2,

        u <- sqrt(1 - q) u - (q / 2) grad E / (2 sigma_i^2) + sqrt(q) eps,

    sigma_i falling geometrically from ``start_std`` to ``noise_std`` (Song and Ermon 2019,
    arXiv:1907.05600; preconditioning as in Girolami and Calderhead 2011 with a diagonal metric taken
    as locally constant). The bias is of order h^2; without known pixels there is none.

    Args:
        params: see :class:`.hmc.HMC`.
        steps: number of steps, one gradient evaluation each.
        noise_std: assumed standard deviation sigma of a known pixel, pictures in [-1, 1].
        step_size: h in (0, 1], in units of each latent's scale s.
        start_std: first sigma_i.
        anneal: part of the steps over which sigma_i falls to ``noise_std``.
        preconditioner: ``fisher`` or ``none``.
        probes: random probes per Fisher estimate, a backward pass each.
        measures: Fisher estimates, spread evenly over the run.
        temperature: of the injected noise; 0 gives preconditioned gradient descent.

    Raises:
        ValueError: an option out of range, or no ``probe`` for ``preconditioner="fisher"``.
    """

    live = (*ChainOptimizer.live, "fisher")

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int = 280,
        noise_std: float = 0.05,
        step_size: float = 0.2,
        start_std: float = 1.0,
        anneal: float = 0.5,
        preconditioner: Preconditioner = "fisher",
        probes: int = 5,
        measures: int = 8,
        temperature: float = 1.0,
    ) -> None:
        require_positive(noise_std=noise_std, start_std=start_std, step_size=step_size)
        if step_size > 1:
            raise ValueError(f"step_size must be at most 1, got {step_size}")
        if not 0 <= anneal <= 1:
            raise ValueError(f"anneal must lie in [0, 1], got {anneal}")
        if temperature < 0:
            raise ValueError(f"temperature must not be negative, got {temperature}")
        if measures < 1:
            raise ValueError(f"measures must be at least 1, got {measures}")
        super().__init__(params, steps)
        check_preconditioner(preconditioner, probes, self.context)
        self.spans = spans_of(self.context.blocks, self.context.scale_free)
        self.measure_every = max(1, steps // measures)
        self.fisher: Tensor | None = None  # at sigma = 1

    @property
    def draws_from(self) -> int | None:
        """The first step after the annealing; none where noise is not that of a draw."""
        return math.ceil(self.anneal * self.steps) if self.temperature == 1 else None

    def scale_step(self, factor: float) -> None:
        """Another h."""
        self.param_groups[0]["step_size"] *= factor

    def _measure(self) -> Tensor:
        return measure_fisher(self, self.probes if self.preconditioner == "fisher" else 0)

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step of every chain; returns the energies (N,) before it."""
        u = self.latents
        if self.fisher is None or self.step_count % self.measure_every == 0:
            self.fisher = self._measure()
        std = annealed_std(self.step_count, self.steps, self.start_std, self.noise_std, self.anneal)
        energy, grad = self.evaluate(closure)
        variance = (self.step_size * latent_scale(self.fisher / std**2)) ** 2
        noise = self.normal(Purpose.STEP) * self.temperature**0.5
        u.copy_(langevin_step(u, grad.div_(2 * std**2), variance, noise))
        if self.spans and self.temperature > 0:
            fresh = self.normal(Purpose.SAMPLE)
            for span in self.spans:
                u[:, span.start : span.stop] *= ratio_to(u, span, row_norms(fresh, span))
        self.step_count += 1
        return energy
