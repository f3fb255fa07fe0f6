"""A search that goes on until a chain has arrived, then draws from the posterior around it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..noise import Purpose
from ..steady import elementwise
from .adaptation import StepAdaptation
from .base import ChainOptimizer, Closure, require_decays, require_positive
from .gauss_newton import Residual, curvature, damped_step, linearized, residuals
from .mode import cosine_rate

__all__ = ["Search", "flat_std"]

SHARE = 0.5  # of prior draws that still count where a likelihood is called flat
COLD = 1 / 3  # of the residual that an attempt begins with: where Adam's sigma ends
STALLED = 1e-3  # relative decrease of the potential below which an attempt is given up
SETTLED = 0.01  # decrease of the potential, in nats, at which it is at the mode
JITTER = 0.2
NEAR = 0.5  # share of prior noise in a start around the best place so far
FIRST_ANGLE = 0.2  # of a rotation; the burn-in adapts it
PICTURES = 2  # made without a gradient for the price of one evaluation


def flat_std(energy: Tensor, share: float = SHARE) -> Tensor:
    """The sigma at which ``share`` of prior draws still count, by their effective sample size.

    Weights exp(-E / (2 sigma^2)) have the size (sum w)^2 / sum w^2, which grows with sigma: this is where
    tempering begins that is chosen by the energies themselves (Jasra et al. 2011, Scand. J. Stat. 38;
    Beskos et al. 2016, Ann. Appl. Probab. 26).

    Args:
        energy: (n, draws), E of draws of the prior.
        share: between 1 / draws and 1.

    Returns:
        (n,)
    """
    above = energy - energy.amin(dim=1, keepdim=True)
    low = elementwise(torch.log, above.mean(dim=1).clamp(min=1e-12).sqrt()) - 8
    high = low + 16
    for _ in range(40):
        middle = (low + high) / 2
        variance = elementwise(torch.exp, 2 * middle)[:, None]
        weight = elementwise(torch.exp, -above / (2 * variance))
        size = weight.sum(dim=1).square() / weight.square().sum(dim=1)
        enough = size > share * energy.shape[1]
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return elementwise(torch.exp, (low + high) / 2)


class _Point(NamedTuple):
    """Chains in the coordinates of their Gaussian.

    Attributes:
        u: (N, D) latents.
        energy: (N,), E.
        value: (N,), the whole potential.
        slope: (N, D), of what is not the Gaussian, in those coordinates.
    """

    u: Tensor
    energy: Tensor
    value: Tensor
    slope: Tensor


class Search(ChainOptimizer):
    """Attempts until a chain has arrived, each paid by that chain alone, then exact draws around it.

    An attempt begins at the best of ``screen`` prior draws, every second one at the best of as many around the
    best place so far. ``descent`` steps of Adam follow a sigma that falls from where the likelihood is flat
    under those draws (:func:`flat_std`) to a third of their best residual; then come up to ``newton`` damped
    Gauss-Newton steps with the whole Jacobian (``gauss_newton.py``), at the larger one of ``noise_std`` and the
    residual's own size. A chain has arrived when its squared residual is that of a draw (chi2 below
    1 + 3 sqrt(2 / known values)); others begin again, while their ``budget`` lasts, and keep the best of what
    they found. So nothing but ``noise_std`` knows the scale of the generator's pictures.

    Then come ``trajectories`` of Hamiltonian Monte Carlo about the mode m that was found, in the coordinates
    w of u = m + L^-T w with A = L L^T the Gauss-Newton curvature there: the Gaussian N(m, A^-1) is followed
    exactly, by rotations, and the rest of the potential by kicks (Shahbaba et al. 2014, Stat. Comput. 24).
    m, A and, after the first half, the step stand still, and a Metropolis test follows: exact, about its
    stationary distribution; which of several modes was found is the search's doing.

    Made for up to some hundreds of latents: a Gauss-Newton step makes a picture for each. Evaluations are
    counted per chain, a picture without its gradient as half of one.

    Args:
        params: latents (N, D) or one group whose context has ``residual`` and ``observed``.
        steps: steps in all: attempts of ``1 + descent + newton`` each, then the trajectories. Chains that have
            arrived make those that are left for nothing. As many as trajectories: no search, the chains
            stay where they start.
        noise_std: assumed standard deviation sigma of a known value, pictures in [-1, 1].
        budget: evaluations that a chain may have spent when it ends an attempt; the first is always made.
        screen: prior draws that an attempt chooses its start from.
        descent: steps of Adam of an attempt.
        newton: Gauss-Newton steps of an attempt, at most.
        lr: Adam's rate, in prior standard deviations.
        betas: Adam's decay rates.
        trajectories: of Hamiltonian Monte Carlo, half of them burn-in; 0 = the mode.
        leapfrog: evaluations of a trajectory.
        target_accept: acceptance that the burn-in aims at.

    Raises:
        ValueError: an option out of range, or a context without ``residual`` and ``observed``.
    """

    exact = True
    needs_std = True  # it looks at residuals
    live = (
        *ChainOptimizer.live,
        *("best", "value", "found", "arrived", "spent", "trying", "tries"),
        *("hot", "cold", "mean", "square", "damping", "settled", "stalled"),
        *("seen", "factor", "centre", "place", "here", "accepted", "tested"),
        *("adaptation.log_step", "adaptation.log_average", "adaptation.count"),
    )

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int = 702,
        noise_std: float = 0.05,
        budget: int = 2600,
        screen: int = 256,
        descent: int = 100,
        newton: int = 12,
        lr: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.99),
        trajectories: int = 24,
        leapfrog: int = 8,
        target_accept: float = 0.8,
    ) -> None:
        require_positive(noise_std=noise_std, budget=budget, lr=lr)
        for name, number, least in (
            ("screen", screen, 2),
            ("descent", descent, 0),
            ("newton", newton, 1),
            ("trajectories", trajectories, 0),
            ("leapfrog", leapfrog, 1),
        ):
            if number < least:
                raise ValueError(f"{name} must be at least {least}, got {number}")
        require_decays(betas)
        if not 0 < target_accept < 1:
            raise ValueError(f"target_accept must lie in (0, 1), got {target_accept}")
        if trajectories > steps:
            raise ValueError(f"trajectories must be at most steps ({steps}), got {trajectories}")
        super().__init__(params, steps)
        if self.context.residual is None or self.context.observed is None:
            raise ValueError("Search needs a context with residual and observed")
        u = self.latents.detach()
        n = len(u)
        blank = torch.zeros(n, device=u.device, dtype=u.dtype)
        no = torch.zeros(n, device=u.device, dtype=torch.bool)
        self.best, self.centre = u.clone(), u.clone()
        self.value, self.found = (
            torch.full_like(blank, torch.inf),
            torch.full_like(blank, torch.nan),
        )
        self.arrived, self.trying = no, no.clone()
        self.settled, self.stalled = no.clone(), no.clone()
        self.spent, self.tries = blank.clone(), blank.clone()
        self.hot, self.cold, self.damping = blank.clone(), blank.clone(), blank.clone()
        self.mean, self.square = torch.zeros_like(u), torch.zeros_like(u)
        self.seen = torch.full_like(blank, torch.nan)
        self.factor: Tensor | None = None
        self.place: Tensor | None = None
        self.here: tuple[Tensor, Tensor] | None = None
        self.accepted, self.tested = blank.clone(), 0
        self.adaptation = StepAdaptation(torch.full_like(blank, FIRST_ANGLE), target_accept)

    @property
    def attempt_steps(self) -> int:
        """Steps of one attempt."""
        return 1 + self.descent + self.newton

    @property
    def searching(self) -> int:
        """Steps of all attempts."""
        return self.steps - self.trajectories

    @property
    def draws_from(self) -> int | None:
        """The second half of the trajectories."""
        return self.searching + self.trajectories // 2 if self.trajectories else None

    def cost(self, step: int) -> int:
        """Evaluations of a chain that needs every attempt."""
        if step >= self.searching:
            return self.leapfrog
        place = step % self.attempt_steps
        if place == 0:
            return self.screen // PICTURES
        return 1 if place <= self.descent else 1 + self.latents.shape[1] // PICTURES

    def scale_step(self, factor: float) -> None:
        """Another rate of Adam."""
        self.param_groups[0]["lr"] *= factor

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step of an attempt of the chains that still try, or a trajectory of all; energies (N,)."""
        if self.step_count < self.searching:
            place = self.step_count % self.attempt_steps
            if place == 0:
                self._begin()
            rows = (self.trying & ~self.settled).nonzero()[:, 0]
            if len(rows) and place == 0:
                self._screen(rows)
            elif len(rows) and place <= self.descent:
                self._descend(rows, place - 1)
            elif len(rows):
                self._newton(rows)
            if self.attempt_steps - 1 == place or self.step_count == self.searching - 1:
                self._judge()
        else:
            self._trajectory(closure)
        self.step_count += 1
        self.evaluations = int(self.spent.max())
        return self.seen.clone()

    def _begin(self) -> None:
        """Those try (again) that have not arrived and can pay for it."""
        lasting = self.spent + self.spent / self.tries.clamp(min=1) <= self.budget
        self.trying = ~self.arrived & (lasting | (self.tries == 0))
        self.settled, self.stalled = torch.zeros_like(self.arrived), torch.zeros_like(self.arrived)
        self.tries = self.tries + self.trying

    def _residual(self, u: Tensor, rows: Tensor) -> Tensor:
        residual = self.context.residual
        assert residual is not None
        return residual(u, rows)

    def _observed(self, rows: Tensor) -> Tensor:
        assert self.context.observed is not None
        return self.context.observed[rows].clamp(min=1)

    def _screen(self, rows: Tensor) -> None:
        """The best of some prior draws, and the sigmas of the descent from it."""
        size, draw = self.latents.shape[1], 1 + self.step_count
        numbers = self.streams.select(rows).normal(
            draw, self.screen * size, Purpose.START, self.latents.dtype
        )
        energies, starts = [], []
        near = (self.tries[rows] % 2 == 0)[:, None, None]
        fresh = numbers.unflatten(1, (self.screen, size))
        turned = (1 - NEAR**2) ** 0.5 * self.best[rows][:, None] + NEAR * fresh
        for draws, row in zip(torch.where(near, turned, fresh), rows, strict=True):
            energy = residuals(self._residual, draws, row).square().sum(dim=1)
            energies.append(energy)
            starts.append(draws[energy.nan_to_num(nan=torch.inf).argmin()])
        energy = torch.stack(energies)
        self.latents[rows] = torch.stack(starts)
        size_of_residual = (energy.amin(dim=1) / self._observed(rows)).sqrt()
        self.cold[rows] = (COLD * size_of_residual).clamp(min=self.noise_std)
        self.hot[rows] = torch.maximum(flat_std(energy), self.cold[rows])
        self.damping[rows] = 1e-2
        self.mean[rows] = self.square[rows] = 0.0
        self.seen[rows] = energy.amin(dim=1)
        self.spent[rows] += self.screen / PICTURES

    def _descend(self, rows: Tensor, number: int) -> None:
        """Adam on the potential of a falling sigma."""
        b1, b2 = self.betas
        u = self.latents[rows]
        with torch.enable_grad():
            leaf = u.requires_grad_(True)
            energy = self._residual(leaf, rows).square().sum(dim=1)
            (grad,) = torch.autograd.grad(energy.sum(), leaf)
        done = min(1.0, number / (0.9 * self.descent))
        hot, cold = elementwise(torch.log, self.hot[rows]), elementwise(torch.log, self.cold[rows])
        std = elementwise(torch.exp, torch.lerp(hot, cold, done))
        u = u.detach()
        slope = grad / (2 * std.square()[:, None]) + u
        mean = b1 * self.mean[rows] + (1 - b1) * slope
        square = b2 * self.square[rows] + (1 - b2) * slope.square()
        self.mean[rows], self.square[rows] = mean, square
        rate = cosine_rate(number, self.descent, self.lr, 0.25) / (1 - b1 ** (number + 1))
        root = (square / (1 - b2 ** (number + 1))).sqrt() + 1e-8
        self.latents[rows] = u - rate * mean / root
        self.seen[rows] = energy.detach()
        self.spent[rows] += 1

    def _newton(self, rows: Tensor) -> None:
        """A damped Gauss-Newton step; chains that gain nothing from it are settled."""
        residual: Residual = self._residual
        u = self.latents[rows]
        at = linearized(residual, u, rows)
        std = (at.energy / self._observed(rows)).sqrt().clamp(min=self.noise_std)
        std = torch.where(self.stalled[rows], self.noise_std, std)
        scale = 2 * std.square()
        before = at.energy / scale + u.square().sum(dim=1) / 2
        moved, value, energy = u, before, at.energy
        damping, better = self.damping[rows], torch.zeros_like(rows, dtype=torch.bool)
        for _ in range(3):
            step, _ = damped_step(at, u, std, damping)
            new = residual(u + step, rows).square().sum(dim=1)
            found = new / scale + (u + step).square().sum(dim=1) / 2
            take = ~better & (found < before)
            moved = torch.where(take[:, None], u + step, moved)
            value, energy = torch.where(take, found, value), torch.where(take, new, energy)
            damping = torch.where(better, damping, torch.where(take, damping / 5, damping * 8))
            better = better | take
        damping = damping.clamp(1e-6, 1e6)
        self.latents[rows], self.damping[rows], self.seen[rows] = moved, damping, energy
        self.spent[rows] += (u.shape[1] + 1 + 3) / PICTURES
        gain, last = before - value, std <= self.noise_std * 1.001
        self.settled[rows] = last & (
            (gain < SETTLED) | (self.stalled[rows] & (gain < STALLED * before))
        )
        self.stalled[rows] |= ~last & (gain < STALLED * before)

    def _judge(self) -> None:
        """Keep the best end of all attempts by its potential, and see who has arrived."""
        everyone = torch.arange(len(self.seen), device=self.seen.device)
        observed = self._observed(everyone)
        norm = self.latents.detach().square().sum(dim=1) / 2
        value = (self.seen / (2 * self.noise_std**2) + norm).nan_to_num(nan=torch.inf)
        better = self.trying & (value < self.value)
        self.best = torch.where(better[:, None], self.latents.detach(), self.best)
        self.value = torch.where(better, value, self.value)
        self.found = torch.where(better, self.seen, self.found)
        chi2 = self.seen / (observed * self.noise_std**2)
        self.arrived = self.arrived | (self.trying & (chi2 < 1 + 3 * (2 / observed).sqrt()))
        if self.step_count == self.searching - 1:
            self.latents.copy_(self.best)
            self.seen = self.found

    def _surround(self, closure: Closure) -> None:
        """Measure the Gaussian around the places where the chains are, and sit down in its coordinates."""
        everyone = torch.arange(len(self.best), device=self.best.device)
        at = linearized(self._residual, self.best, everyone)
        self.spent += (self.best.shape[1] + 1) / PICTURES
        std = torch.full_like(at.energy, self.noise_std)
        factor, wrong = torch.linalg.cholesky_ex(curvature(at.square.nan_to_num(), std))
        eye = torch.eye(self.best.shape[1]).to(factor)
        self.factor = torch.where((wrong == 0)[:, None, None], factor, eye)
        slope = (at.slope / self.noise_std**2 + self.best).nan_to_num()[..., None]
        step = torch.cholesky_solve(slope, self.factor)
        self.centre = self.best - step[..., 0]
        self.place = (self.factor.mT @ step)[..., 0]
        here = self._potential(closure, self.place)
        self.here, self.seen = (here.value, here.slope), here.energy

    def _potential(self, closure: Closure, w: Tensor) -> _Point:
        """The chains at the coordinates ``w`` (N, D)."""
        assert self.factor is not None
        away = torch.linalg.solve_triangular(self.factor.mT, w[..., None], upper=True)[..., 0]
        u = self.centre + away
        energy, grad = self.evaluate(closure, u)
        self.spent += 1
        whole = energy / (2 * self.noise_std**2) + u.square().sum(dim=1) / 2
        slope = (grad / (2 * self.noise_std**2) + u)[..., None]
        turned = torch.linalg.solve_triangular(self.factor, slope, upper=False)[..., 0]
        return _Point(u, energy, whole, turned - w)

    def _trajectory(self, closure: Closure) -> None:
        """Rotations about the mode and kicks, then the test."""
        if self.place is None or self.here is None:
            self._surround(closure)
        assert self.place is not None
        assert self.here is not None
        w, (value, kick) = self.place, self.here
        chance = self.streams.uniform(self.step_count, 2, Purpose.ACCEPT)
        swing = (1 + JITTER * (2 * chance[:, 1] - 1)).to(w)
        adapting = self.step_count < (self.draws_from or 0)
        size = self.adaptation.step_size if adapting else self.adaptation.frozen
        angle = (size * swing)[:, None]
        v = self.normal(Purpose.MOMENTUM)
        start = value.double() + v.double().square().sum(dim=1) / 2
        new, cos, sin = w, elementwise(torch.cos, angle), elementwise(torch.sin, angle)
        v = v - angle / 2 * kick
        for i in range(self.leapfrog):
            new, v = cos * new + sin * v, cos * v - sin * new
            end = self._potential(closure, new)
            v = v - angle * end.slope * (1.0 if i + 1 < self.leapfrog else 0.5)
        ratio = start - end.value.double() - v.double().square().sum(dim=1) / 2
        ratio = torch.where(ratio.isfinite(), ratio, -torch.inf)
        accept = elementwise(torch.log, chance[:, 0]) < ratio
        probability = elementwise(torch.exp, ratio.clamp(max=0)).to(w)
        column = accept[:, None]
        self.place = torch.where(column, new, w)
        self.latents.copy_(torch.where(column, end.u, self.latents))
        self.here = torch.where(accept, end.value, value), torch.where(column, end.slope, kick)
        self.seen = torch.where(accept, end.energy, self.seen)
        if adapting:
            self.adaptation.update(probability)
        else:
            self.accepted = self.accepted + probability
            self.tested += 1

    def diagnostics(self) -> dict[str, Tensor]:
        """Adds ``acceptance`` of the trajectories after the burn-in, ``attempts`` made and the chain's own
        ``gradient_evaluations``, each (N,)."""
        acceptance = self.accepted / max(self.tested, 1)
        if not self.tested:
            acceptance = torch.full_like(acceptance, torch.nan)
        return {
            **super().diagnostics(),
            "acceptance": acceptance,
            "step_size": self.adaptation.frozen if self.tested else self.adaptation.step_size,
            "attempts": self.tries,
            "gradient_evaluations": self.spent,
        }
