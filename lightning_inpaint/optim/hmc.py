"""Metropolis-tested samplers: Hamiltonian Monte Carlo and MALA (exact)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..noise import Purpose
from ..steady import elementwise
from .adaptation import StepAdaptation
from .base import ChainOptimizer, Closure, require_positive
from .mode import annealed_std
from .preconditioner import (
    Preconditioner,
    check_preconditioner,
    latent_scale,
    measure_fisher,
)
from .radius import ratio_to, row_norms, spans_of

__all__ = ["HMC", "MALA", "Point", "log_accept", "rotate_", "trajectory"]

#: Error of the Hamiltonian above which a trajectory has diverged, as in Stan.
DIVERGENT = 1000.0

Potential = Callable[[Tensor], tuple[Tensor, Tensor]]


class Point(NamedTuple):
    """A place in phase space.

    Attributes:
        u: (N, D) latents.
        v: (N, D) momenta over the square roots of their masses, N(0, I) in equilibrium.
        potential: (N,), E / (2 sigma^2).
        slope: (N, D), its gradient.
    """

    u: Tensor
    v: Tensor
    potential: Tensor
    slope: Tensor


def rotate_(u: Tensor, v: Tensor, cos: Tensor, sin: Tensor, spare: Tensor) -> None:
    """The exact flow of ``|u|^2/2 + |v|^2/2``, in place: each (u_i, v_i) turned by its own angle.

    ``spare`` is overwritten. Batches of latents are so large that fresh memory costs more than the
    arithmetic.
    """
    torch.mul(u, sin, out=spare)
    u.mul_(cos).addcmul_(v, sin)
    v.mul_(cos).sub_(spare)


def log_accept(old: Point, new: Point) -> Tensor:
    """log of the Metropolis ratio exp(H(old) - H(new)), (N,) float64; -inf where it is not finite.

    The quadratic terms are summed as products of differences and sums, which keeps their small
    change exact to rounding when D is large.
    """
    prior = ((old.u - new.u) * (old.u + new.u)).sum(dim=1, dtype=torch.float64) / 2
    kinetic = ((old.v - new.v) * (old.v + new.v)).sum(dim=1, dtype=torch.float64) / 2
    ratio = (old.potential.double() - new.potential.double()) + prior + kinetic
    return torch.where(ratio.isfinite(), ratio, torch.full_like(ratio, -torch.inf))


def trajectory(potential: Potential, start: Point, angle: Tensor, leapfrog: int) -> Point:
    """Follow the Hamiltonian ``potential(u) + |u|^2/2 + |v|^2/2``: kicks and rotations.

    The map is symmetric in time and keeps volume, whatever the angles.

    Args:
        potential: u (N, D) to its value (N,) and gradient (N, D).
        start: where to start.
        angle: (N, D), h s: step size times scale of each latent.
        leapfrog: number of rotations, each followed by an evaluation.
    """
    cos, sin = elementwise(torch.cos, angle), elementwise(torch.sin, angle)
    u, v, value, slope = start.u.clone(), start.v.clone(), start.potential, start.slope
    spare = torch.empty_like(u)
    v.addcmul_(angle, slope, value=-0.5)
    for i in range(leapfrog):
        rotate_(u, v, cos, sin, spare)
        value, slope = potential(u)
        v.addcmul_(angle, slope, value=-1.0 if i + 1 < leapfrog else -0.5)
    return Point(u, v, value, slope)


class HMC(ChainOptimizer):
    """Hamiltonian Monte Carlo (exact).

    One step draws momenta, follows H = E(u)/(2 sigma^2) + |u|^2/2 + |v|^2/2 for ``leapfrog`` kicks and
    rotations, and accepts the end with probability min(1, exp(H_old - H_new)). The Gaussian part is
    solved exactly (Shahbaba et al. 2014, Stat. Comput. 24; Beskos et al. 2011, SPA 121), with the
    diagonal mass 1 + F of the Fisher information, s = (1 + F)^(-1/2):

        v <- v - (h s / 2) grad E/(2 sigma^2);   (u, v) <- rotation of (u, v) by angles h s;   the kick again

    so that latents which no known pixel depends on move without any error, however many they are,
    and "nothing known" is sampled with acceptance 1. Radii that do not change the picture are drawn afresh
    before each trajectory (``radius.py``). The step size h is adapted to its acceptance
    during the burn-in, in the middle of which s is measured again; then both are frozen, and the chain
    leaves the posterior invariant.

    With ``start_std`` the burn-in is annealed: sigma falls geometrically from there over its first part,
    so that a chain which begins at a prior draw finds the posterior's bulk and not the mode next to it.

    Args:
        params: latents (N, D) or one group, see :class:`ChainOptimizer`; the context's ``probe`` is
            needed for ``preconditioner="fisher"``, its ``blocks`` smooth the estimate's noise.
        steps: trajectories, burn-in included.
        leapfrog: gradient evaluations per trajectory.
        noise_std: assumed standard deviation sigma of a known pixel, pictures in [-1, 1].
        step_size: first h, in units of each latent's scale s.
        burn_in: part of the steps that adapt h (and are no draws).
        target_accept: acceptance that the burn-in aims at.
        jitter: h varies by up to this share from trajectory to trajectory, against periodic orbits.
        preconditioner: ``fisher`` or ``none``.
        probes: random probes per Fisher estimate, a backward pass each.
        start_std: sigma of the first trajectory, at least ``noise_std``; None = no annealing.
        anneal: part of the burn-in over which sigma falls to ``noise_std``.

    Raises:
        ValueError: an option out of range, or no ``probe`` for ``preconditioner="fisher"``.
    """

    exact = True
    live = (
        *ChainOptimizer.live,
        *("std", "fisher", "here", "accepted", "divergent", "tested", "adapted_from"),
        *("adaptation.log_step", "adaptation.log_average", "adaptation.count"),
    )
    # Fisher estimates along an annealed burn-in, and one more after it.
    ANNEALED_MEASURES = 6

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int = 100,
        leapfrog: int = 8,
        noise_std: float = 0.05,
        step_size: float = 0.2,
        burn_in: float = 0.5,
        target_accept: float = 0.7,
        jitter: float = 0.2,
        preconditioner: Preconditioner = "fisher",
        probes: int = 8,
        start_std: float | None = None,
        anneal: float = 0.8,
    ) -> None:
        require_positive(noise_std=noise_std, step_size=step_size, start_std=start_std)
        if start_std is not None and start_std < noise_std:
            raise ValueError(f"start_std must be at least noise_std ({noise_std}), got {start_std}")
        if not 0 <= anneal <= 1:
            raise ValueError(f"anneal must lie in [0, 1], got {anneal}")
        if leapfrog < 1:
            raise ValueError(f"leapfrog must be at least 1, got {leapfrog}")
        if not 0 < target_accept < 1:
            raise ValueError(f"target_accept must lie in (0, 1), got {target_accept}")
        for name, part in (("burn_in", burn_in), ("jitter", jitter)):
            if not 0 <= part < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {part}")
        super().__init__(params, steps)
        check_preconditioner(preconditioner, probes, self.context)
        self.std = noise_std if start_std is None else start_std  # of the potential
        self.spans = spans_of(self.context.blocks, self.context.scale_free)
        u = self.latents
        start = torch.full((len(u),), float(step_size), device=u.device, dtype=u.dtype)
        self.adaptation = StepAdaptation(start, target_accept)
        self.adapted_from = step_size
        self.fisher: Tensor | None = None  # (N, D), at sigma = 1
        self.here: tuple[Tensor, Tensor] | None = None
        self.accepted = torch.zeros(len(u), device=u.device, dtype=torch.float64)
        self.divergent = torch.zeros(len(u), device=u.device)
        self.tested = 0

    @property
    def step_size(self) -> Tensor:
        """(N,) step sizes h: those being tried, or the frozen ones after the burn-in."""
        return self.adaptation.step_size if self.adapting else self.adaptation.frozen

    @property
    def adapted(self) -> int:
        """The step after the burn-in."""
        return int(self.burn_in * self.steps)

    @property
    def annealed(self) -> int:
        """The step at which sigma has fallen to ``noise_std``; 0 = there is no annealing."""
        return 0 if self.start_std is None else int(self.anneal * self.adapted)

    @property
    def measured(self) -> set[int]:
        """Steps before which the Fisher diagonal is measured."""
        if not self.annealed:
            return {0, self.adapted // 2}
        parts = range(self.ANNEALED_MEASURES + 1)
        return {i * self.annealed // self.ANNEALED_MEASURES for i in parts}

    @property
    def adapting(self) -> bool:
        """Whether the next step still belongs to the burn-in."""
        return self.step_count < self.adapted

    @property
    def draws_from(self) -> int | None:
        """The first trajectory after the burn-in."""
        return self.adapted

    def cost(self, step: int) -> int:
        """Those of a trajectory."""
        return self.leapfrog

    def scale_step(self, factor: float) -> None:
        """Another first h; the burn-in adapts it as before."""
        self.param_groups[0]["step_size"] *= factor

    def _follow_step_size(self) -> None:
        """A first h that was changed in the parameter group scales the one that was found."""
        first = self.param_groups[0]["step_size"]
        if first != self.adapted_from:
            scaled = first / self.adapted_from * self.step_size
            self.adaptation, self.adapted_from = StepAdaptation(scaled, self.target_accept), first

    def forget(self) -> None:
        """To be called when latents were written from outside: their energy is found anew."""
        self.here = None

    def _potential(self, closure: Closure, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
        energy, grad = self.evaluate(closure, at)
        return energy / (2 * self.std**2), grad.div_(2 * self.std**2)

    def _measure(self) -> Tensor:
        """The Fisher diagonal of each chain at sigma = 1, (N, D)."""
        return measure_fisher(self, self.probes if self.preconditioner == "fisher" else 0)

    def _set_std(self, std: float) -> None:
        """Another sigma: what is remembered of the potential is rescaled."""
        if std == self.std:
            return
        ratio = (self.std / std) ** 2
        if self.here is not None:
            self.here = self.here[0] * ratio, self.here[1] * ratio
        self.std = std

    def _anneal(self) -> None:
        """Lower sigma along the first part of the burn-in; the step size is then found anew."""
        step, steps = self.step_count, self.annealed
        if step >= steps:
            self._set_std(self.noise_std)
        else:
            self._set_std(annealed_std(step, steps, self.start_std, self.noise_std, 1.0))
        if step == steps and steps > 0:
            self.adaptation = StepAdaptation(self.step_size, self.target_accept)

    def _redraw_radii(self, draw: int) -> None:
        """Gibbs step of the radii of latents that count by direction (see ``radius.py``)."""
        if not self.spans:
            return
        u, fresh = self.latents, self.normal(Purpose.STEP, draw)
        for span in self.spans:
            ratio = ratio_to(u, span, row_norms(fresh, span))
            u[:, span.start : span.stop] *= ratio
            if self.here is not None:  # a picture that stays, by latents that grow: a smaller slope
                self.here[1][:, span.start : span.stop] /= ratio

    def _move(self, closure: Closure, scale: Tensor, draw: int) -> Tensor:
        """One trajectory, accepted or not; returns the acceptance probabilities (N,)."""
        u = self.latents
        if self.here is None:
            self.here = self._potential(closure)
        chance = self.streams.uniform(draw, 2, Purpose.ACCEPT)
        swing = 1 + self.jitter * (2 * chance[:, 1:] - 1)
        h = self.step_size[:, None] * swing.to(u)
        old = Point(u.detach(), self.normal(Purpose.MOMENTUM, draw), *self.here)
        new = trajectory(lambda at: self._potential(closure, at), old, h * scale, self.leapfrog)
        ratio = log_accept(old, new)
        accept = elementwise(torch.log, chance[:, 0].to(ratio)) < ratio
        if not self.adapting:
            self.divergent += ratio < -DIVERGENT
        u.copy_(torch.where(accept[:, None], new.u, old.u))
        potential = torch.where(accept, new.potential, old.potential)
        self.here = potential, torch.where(accept[:, None], new.slope, old.slope)
        return elementwise(torch.exp, ratio.clamp(max=0))

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One trajectory of every chain, accepted or not; returns the energies (N,) after it."""
        return self._transition(closure)

    def _transition(self, closure: Closure) -> Tensor:
        self._follow_step_size()
        self._anneal()
        self._redraw_radii(self.step_count)
        if self.fisher is None or self.step_count in self.measured:
            self.fisher = self._measure()
        scale = latent_scale(self.fisher / self.std**2)
        probability = self._move(closure, scale, self.step_count)
        if self.adapting:
            self.adaptation.update(probability)
        else:
            self.accepted += probability
            self.tested += 1
        self.step_count += 1
        return self._energy()

    def _energy(self) -> Tensor:
        """Energies (N,) of the chains."""
        assert self.here is not None
        return self.here[0] * (2 * self.std**2)

    def diagnostics(self) -> dict[str, Tensor]:
        """Adds ``acceptance`` (mean probability since the burn-in), ``divergences`` (trajectories since
        then whose energy error is above 1000 or not finite) and ``step_size``, each (N,)."""
        acceptance = self.accepted / max(self.tested, 1)
        if not self.tested:
            acceptance = torch.full_like(acceptance, float("nan"))
        return {
            **super().diagnostics(),
            "acceptance": acceptance.float(),
            "divergences": self.divergent,
            "step_size": self.step_size.float(),
        }


class MALA(HMC):
    """The Metropolis-adjusted Langevin algorithm (exact): HMC with one kick per step.

    Rotating instead of drifting makes it the Crank-Nicolson Langevin proposal (Cotter et al. 2013,
    Stat. Sci. 28), whose acceptance does not fall with the number of latents that the known pixels
    leave free.

    Args:
        params: see :class:`HMC`.
        steps: steps, burn-in included, one gradient evaluation each.
        noise_std: assumed standard deviation sigma of a known pixel, pictures in [-1, 1].
        step_size: first h, in units of each latent's scale s.
        burn_in: part of the steps that adapt h (and are no draws).
        target_accept: acceptance that the burn-in aims at.
        jitter: h varies by up to this share from step to step.
        preconditioner: ``fisher`` or ``none``.
        probes: random probes per Fisher estimate, a backward pass each.

    Raises:
        ValueError: an option out of range, or no ``probe`` for ``preconditioner="fisher"``.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int = 500,
        noise_std: float = 0.05,
        step_size: float = 0.2,
        burn_in: float = 0.5,
        target_accept: float = 0.574,
        jitter: float = 0.0,
        preconditioner: Preconditioner = "fisher",
        probes: int = 8,
    ) -> None:
        super().__init__(
            params,
            steps=steps,
            leapfrog=1,
            noise_std=noise_std,
            step_size=step_size,
            burn_in=burn_in,
            target_accept=target_accept,
            jitter=jitter,
            preconditioner=preconditioner,
            probes=probes,
        )
