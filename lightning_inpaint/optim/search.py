"""A search that goes on until a chain has arrived, then draws from the posterior around it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..noise import Purpose
from ..steady import elementwise
from .base import Closure, require_decays, require_positive
from .gauss_newton import descend, descent_pictures, residuals
from .local import PICTURES, LocalDraws
from .mode import cosine_rate

__all__ = ["Search", "flat_std"]

SHARE = 0.5  # of prior draws that still count where a likelihood is called flat
COLD = 1 / 3  # of the residual that an attempt begins with: where Adam's sigma ends
STALLED = 1e-3  # relative decrease of the potential below which an attempt is given up
SETTLED = 0.01  # decrease of the potential, in nats, at which it is at the mode
NEAR = 0.5  # share of prior noise in a start around the best place so far


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


class Search(LocalDraws):
    """Attempts until a chain has arrived, each paid by that chain alone, then exact draws around it.

    An attempt begins at the best of ``screen`` prior draws, every second one at the best of as many around the
    best place so far. ``descent`` steps of Adam follow a sigma that falls from where the likelihood is flat
    under those draws (:func:`flat_std`) to a third of their best residual; then come up to ``newton`` Jacobians
    with three damped Gauss-Newton steps each (``gauss_newton.py``), at the larger one of ``noise_std`` and
    the residual's own size. A chain has arrived when its squared residual is that of a draw (chi2 below
    1 + 3 sqrt(2 / known values)); others begin again, while their ``budget`` lasts, and keep the best of what
    they found. So nothing but ``noise_std`` knows the scale of the generator's pictures.

    Then come ``trajectories`` of Hamiltonian Monte Carlo in a metric that all chains of the picture measure in
    their burn-in, with jumps between the modes that they found where jumps succeed (``local.py``): exact, about
    the stationary distribution; which of several modes was found is the search's doing, where there are none.

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
        newton: Jacobians of an attempt, at most, with three Gauss-Newton steps each.
        lr: Adam's rate, in prior standard deviations.
        betas: Adam's decay rates.
        trajectories: of Hamiltonian Monte Carlo, half of them burn-in; 0 = the mode.
        leapfrog: evaluations of a trajectory.
        jumps: places that a jump chooses from, half an evaluation each; 0 = no jumps.
        target_accept: acceptance that the burn-in aims at.

    Raises:
        ValueError: an option out of range, or a context without ``residual`` and ``observed``.
    """

    needs_std = True  # it looks at residuals
    live = (
        *LocalDraws.live,
        *("best", "value", "found", "trying", "rows", "tries"),
        *("hot", "cold", "mean", "square", "damping", "settled", "stalled"),
    )

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int = 702,
        noise_std: float = 0.05,
        budget: int = 2600,
        screen: int = 256,
        descent: int = 100,
        newton: int = 6,
        lr: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.99),
        trajectories: int = 24,
        leapfrog: int = 8,
        jumps: int = 16,
        target_accept: float = 0.8,
    ) -> None:
        require_positive(noise_std=noise_std, budget=budget, lr=lr)
        for name, number, least in (
            ("screen", screen, 2),
            ("descent", descent, 0),
            ("newton", newton, 1),
            ("trajectories", trajectories, 0),
            ("leapfrog", leapfrog, 1),
            ("jumps", jumps, 0),
        ):
            if number < least:
                raise ValueError(f"{name} must be at least {least}, got {number}")
        require_decays(betas)
        if not 0 < target_accept < 1:
            raise ValueError(f"target_accept must lie in (0, 1), got {target_accept}")
        if trajectories > steps:
            raise ValueError(f"trajectories must be at most steps ({steps}), got {trajectories}")
        super().__init__(params, steps, noise_std, trajectories, leapfrog, jumps, target_accept)
        if self.context.residual is None or self.context.observed is None:
            raise ValueError("Search needs a context with residual and observed")
        u = self.latents.detach()
        n = len(u)
        blank = torch.zeros(n, device=u.device, dtype=u.dtype)
        no = torch.zeros(n, device=u.device, dtype=torch.bool)
        self.best = u.clone()
        self.value = torch.full_like(blank, torch.inf)
        self.found = torch.full_like(blank, torch.nan)
        self.trying, self.rows = no, no.nonzero()[:, 0]
        self.settled, self.stalled = no.clone(), no.clone()
        self.tries = blank.clone()
        self.hot, self.cold, self.damping = blank.clone(), blank.clone(), blank.clone()
        self.mean, self.square = torch.zeros_like(u), torch.zeros_like(u)

    @property
    def attempt_steps(self) -> int:
        """Steps of one attempt."""
        return 1 + self.descent + self.newton

    def cost(self, step: int) -> int:
        """Evaluations of a chain that needs every attempt."""
        if step >= self.searching:
            return self.leapfrog
        place = step % self.attempt_steps
        if place == 0:
            return self.screen // PICTURES
        if place <= self.descent:
            return 1
        return descent_pictures(self.latents.shape[1]) // PICTURES

    def scale_step(self, factor: float) -> None:
        """Another rate of Adam."""
        self.param_groups[0]["lr"] *= factor

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One step of an attempt of the chains that still try, or a trajectory of all; energies (N,)."""
        if self.step_count < self.searching:
            self._try()
        else:
            self._draw(closure)
        self.step_count += 1
        return self.seen.clone()

    def _try(self) -> None:
        """One step of an attempt."""
        place = self.step_count % self.attempt_steps
        if place == 0:
            self._begin()
        if place == 0 or place > self.descent:  # a look at who goes on, once a screen and Jacobian
            self.rows = (self.trying & ~self.settled).nonzero()[:, 0]
        rows = self.rows
        if len(rows) and place == 0:
            self._screen(rows)
        elif len(rows) and place <= self.descent:
            self._descend(rows, place - 1)
        elif len(rows):
            self._newton(rows)
        if len(rows):
            self.evaluations += self.cost(self.step_count)
        if self.attempt_steps - 1 == place or self.step_count == self.searching - 1:
            self._judge()

    def _begin(self) -> None:
        """Those try (again) that have not arrived and can pay for it."""
        lasting = self.spent + self.spent / self.tries.clamp(min=1) <= self.budget
        whole = self.step_count + self.attempt_steps <= self.searching
        can = lasting if whole else torch.zeros_like(lasting)
        self.trying = ~self.arrived & (can | (self.tries == 0))
        self.settled, self.stalled = torch.zeros_like(self.arrived), torch.zeros_like(self.arrived)
        self.tries = self.tries + self.trying

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
        """Damped Gauss-Newton steps; chains that gain nothing from them are settled."""
        ends = []
        for row in rows:
            u, energy = self.latents[row].detach(), self.seen[row]
            std = (energy / self._observed(row)).sqrt().clamp(min=self.noise_std)
            std = torch.where(self.stalled[row], self.noise_std, std)
            end = descend(self._residual, u, row, std, self.damping[row])
            last = std <= self.noise_std * 1.001
            value = end.energy / (2 * std.square()) + end.u.square().sum() / 2 + end.gain
            stalled = ~last & (end.gain < STALLED * value)
            given_up = self.stalled[row] & (end.gain < STALLED * value)
            settled = last & ((end.gain < SETTLED) | given_up)
            ends.append((end.u, end.energy, end.damping, settled, self.stalled[row] | stalled))
        u, energy, damping, settled, stalled = (
            torch.stack(part) for part in zip(*ends, strict=True)
        )
        self.latents[rows], self.seen[rows], self.damping[rows] = u, energy, damping
        self.settled[rows], self.stalled[rows] = settled, stalled
        self.spent[rows] += descent_pictures(u.shape[1]) / PICTURES

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

    def diagnostics(self) -> dict[str, Tensor]:
        """Adds ``attempts`` made, (N,), to those of :class:`.local.LocalDraws`."""
        return {**super().diagnostics(), "attempts": self.tries}
