"""Elliptical slice sampling: an exact kernel without a step size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..noise import Purpose
from ..steady import elementwise
from .base import ChainOptimizer, Closure, require_positive

__all__ = ["EllipticalSlice"]


class EllipticalSlice(ChainOptimizer):
    """Elliptical slice sampling (exact; Murray, Adams and MacKay 2010, AISTATS, arXiv:1001.0131).

    A step draws nu ~ N(0, I) and a level under the likelihood, and looks for a point above it on the ellipse
    u cos(a) + nu sin(a): a first angle anywhere, then angles from a bracket that shrinks to the chain.
    There is nothing to tune and no gradient is used, so what it shares with :class:`.hmc.HMC` is the
    posterior alone: a referee. Every step looks at ``shrinks`` angles, all chains at once. A chain that has
    found no point by then stays; that keeps detailed balance, since the angles that were refused are as likely
    seen from the other end. In many dimensions and at small sigma its moves are short.

    Args:
        params: latents (N, D) or one group, see :class:`ChainOptimizer`.
        steps: steps, ``shrinks`` evaluations each.
        noise_std: assumed standard deviation sigma of a known value, pictures in [-1, 1].
        shrinks: angles that a step looks at.
        burn_in: part of the steps that are no draws.

    Raises:
        ValueError: an option out of range.
    """

    exact = True
    live = (*ChainOptimizer.live, "here", "moved", "angle", "tested")

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int = 200,
        noise_std: float = 0.05,
        shrinks: int = 10,
        burn_in: float = 0.5,
    ) -> None:
        require_positive(noise_std=noise_std)
        if shrinks < 1:
            raise ValueError(f"shrinks must be at least 1, got {shrinks}")
        if not 0 <= burn_in < 1:
            raise ValueError(f"burn_in must lie in [0, 1), got {burn_in}")
        super().__init__(params, steps)
        blank = torch.zeros_like(self.latents.detach()[:, 0])
        self.here: Tensor | None = None  # energies
        self.moved, self.angle, self.tested = blank, blank.clone(), 0

    @property
    def draws_from(self) -> int | None:
        """The first step after the burn-in."""
        return int(self.burn_in * self.steps)

    def cost(self, step: int) -> int:
        """All angles."""
        return self.shrinks

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One look along an ellipse for every chain; returns the energies (N,) after it."""
        u = self.latents.detach().clone()
        if self.here is None:
            self.here, _ = self.evaluate(closure)
        chance = self.streams.uniform(self.step_count, 1 + self.shrinks, Purpose.ACCEPT)
        scale = 2 * self.noise_std**2
        room = -elementwise(torch.log, chance[:, 0])  # that the potential may grow by
        limit = self.here.double() / scale + room
        other = self.normal(Purpose.MOMENTUM)
        angle = 2 * math.pi * chance[:, 1]
        low, high = angle - 2 * math.pi, angle.clone()
        found = torch.zeros_like(angle, dtype=torch.bool)
        for number in range(self.shrinks):
            turned = angle.to(u)[:, None]
            point = u * elementwise(torch.cos, turned) + other * elementwise(torch.sin, turned)
            energy, _ = self.evaluate(closure, point)
            take = ~found & (energy.double() / scale < limit)
            self.latents.copy_(torch.where(take[:, None], point, self.latents))
            self.here = torch.where(take, energy, self.here)
            self.angle = torch.where(take, angle.to(u).abs(), self.angle)
            found |= take
            low, high = torch.where(angle < 0, angle, low), torch.where(angle < 0, high, angle)
            if number + 1 < self.shrinks:
                angle = low + (high - low) * chance[:, 2 + number]
        if self.step_count >= (self.draws_from or 0):
            self.moved, self.tested = self.moved + found, self.tested + 1
        self.step_count += 1
        return self.here.clone()

    def diagnostics(self) -> dict[str, Tensor]:
        """Adds ``acceptance``, the share of steps after the burn-in that moved, and ``step_size``, the last
        angle, each (N,)."""
        share = self.moved / self.tested if self.tested else torch.full_like(self.moved, torch.nan)
        return {**super().diagnostics(), "acceptance": share, "step_size": self.angle}
