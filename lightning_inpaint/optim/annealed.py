"""The default sampler: an annealed start, then preconditioned Hamiltonian Monte Carlo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .base import Closure
from .hmc import HMC
from .mode import Anchor, AnnealedDescent, check_descent, descent_numbers
from .preconditioner import Preconditioner

__all__ = ["AnnealedHMC"]


class AnnealedHMC(HMC):
    """Annealed descent to the posterior's typical set, then HMC (exact after its burn-in).

    The first ``warm_up`` steps are those of :class:`.mode.MAP`. With ``anchor="origin"`` they end at the
    mode; the rotations of HMC then take latents that no known pixel sees back to the prior in a few
    trajectories. With ``start`` they end near a draw with the prior's variety, at a norm somewhat too
    large. Then come ``steps - warm_up`` trajectories of :class:`.hmc.HMC`, the mass measured once where
    the descent has ended.

    Evaluations: ``warm_up + probes + 1 + (steps - warm_up) * leapfrog``.

    Args:
        params: see :class:`.hmc.HMC`.
        steps: steps in all, more than ``warm_up``.
        warm_up: steps of the annealed descent, one gradient evaluation each.
        leapfrog: gradient evaluations per trajectory.
        noise_std: assumed standard deviation sigma of a known pixel, pictures in [-1, 1].
        step_size: first h of the trajectories, in units of each latent's scale.
        burn_in: part of the trajectories that adapt h.
        target_accept: acceptance that the burn-in aims at.
        jitter: h varies by up to this share from trajectory to trajectory.
        preconditioner: ``fisher`` or ``none``.
        probes: random probes of the Fisher estimate, a backward pass each.
        anchor: what the descent is held to: ``origin`` (the mode) or ``start`` (near a draw).
        start_std: first sigma_i of the annealing.
        lr: Adam's rate.
        betas: Adam's decay rates.
        anneal: part of the warm-up over which sigma_i falls to ``noise_std``.
        ramp_down: last part of the warm-up, over which the rate falls to 0.

    Raises:
        ValueError: an option out of range, or no step left after the warm-up.
    """

    live = (*HMC.live, *AnnealedDescent.LIVE)

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int = 178,
        warm_up: int = 160,
        leapfrog: int = 8,
        noise_std: float = 0.02,
        step_size: float = 0.2,
        burn_in: float = 0.5,
        target_accept: float = 0.7,
        jitter: float = 0.2,
        preconditioner: Preconditioner = "fisher",
        probes: int = 8,
        anchor: Anchor = "start",
        start_std: float = 1.0,
        lr: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.99),
        anneal: float = 0.5,
        ramp_down: float = 0.25,
    ) -> None:
        if warm_up < 1:
            raise ValueError(f"warm_up must be at least 1, got {warm_up}")
        if steps <= warm_up:
            raise ValueError(f"steps must be more than warm_up ({warm_up}), got {steps}")
        check_descent(noise_std, start_std, lr, betas, anneal, ramp_down, anchor)
        super().__init__(
            params,
            steps=steps,
            leapfrog=leapfrog,
            noise_std=noise_std,
            step_size=step_size,
            burn_in=burn_in,
            target_accept=target_accept,
            jitter=jitter,
            preconditioner=preconditioner,
            probes=probes,
        )
        self.std = noise_std
        self.descent = AnnealedDescent(self.spans)

    @property
    def adapted(self) -> int:
        """The step after the burn-in of the trajectories."""
        return self.warm_up + int(self.burn_in * (self.steps - self.warm_up))

    @property
    def annealed(self) -> int:
        """None: the descent is what is annealed."""
        return 0

    @property
    def measured(self) -> set[int]:
        """The first trajectory."""
        return {self.warm_up}

    def cost(self, step: int) -> int:
        """One while descending, then those of a trajectory."""
        return 1 if step < self.warm_up else self.leapfrog

    def scale_step(self, factor: float) -> None:
        """Another first h and another rate of the descent."""
        super().scale_step(factor)
        self.param_groups[0]["lr"] *= factor

    @property
    def tolerant(self) -> bool:
        """The first three quarters of the descent are; the trajectories are not."""
        return self.step_count < 0.75 * self.warm_up

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step of the descent (energies before it) or one trajectory (energies after it)."""
        if self.step_count >= self.warm_up:
            self.descent.release()
            return self._transition(closure)
        if self.step_count == 0 and self.anchor == "start":
            self.descent.anchor = self.latents.detach().clone()
        energy, grad = self.evaluate(closure)
        numbers = descent_numbers(self.step_count, self.warm_up, self.param_groups[0])
        self.descent.update(self.latents, grad, numbers, self.betas)
        self.step_count += 1
        return energy
