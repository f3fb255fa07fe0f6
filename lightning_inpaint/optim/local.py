"""Exact draws around the places that a search has found: a shared metric, and jumps between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..noise import Purpose
from ..steady import elementwise
from .adaptation import StepAdaptation
from .base import ChainOptimizer, Closure
from .frame import Frame, factored, journey
from .gauss_newton import Linearized, curvature, linearized, residuals
from .hmc import DIVERGENT
from .mixture import Mixture, chosen

__all__ = ["LocalDraws"]

FIRST_ANGLE = 0.2  # of a rotation; the burn-in adapts it
PICTURES = 2  # made without a gradient for the price of one evaluation
MEASURES = 8  # of the metric, at most, in the first three quarters of the burn-in
APART = 3  # trajectories from one to the next, at least
WORTHWHILE = 0.05  # chance that a jump moves, in the burn-in, below which there are none


class LocalDraws(ChainOptimizer):
    """Trajectories of Hamiltonian Monte Carlo in a dense metric, with jumps between modes (exact).

    Coordinates are w of u = c + L^-T w, A = L L^T: the Gaussian N(c, A^-1) is followed by rotations, the
    rest of the potential by kicks (Shahbaba et al. 2014, Stat. Comput. 24). A is the mean of
    I + J^T J / sigma^2 over places that all chains of the picture pass in their burn-in. The curvature at a
    mode alone misses how it turns within the posterior's bulk, and steps in it are several times shorter.
    c is the mean of a chain's own places.

    A jump is a step of iterated sampling importance resampling (Andrieu, Lee and Vihola 2018, Bernoulli 24):
    ``jumps`` places are drawn from the Laplace approximations to all modes that the chains of the picture
    begin at, and one of them, or the present place, is chosen by weight posterior over proposal. Where
    the burn-in finds that such jumps are not taken (many latents), none are made. Where they are, the
    chain's mode is drawn from its responsibilities before a trajectory, which turns about that mode, and
    enters the test.

    Metric, centres, modes, step and whether to jump stand still from the first draw on.

    Subclasses place the chains and set :attr:`arrived`.
    """

    exact = True
    interacting = True
    live = (
        *ChainOptimizer.live,
        *("arrived", "spent", "seen", "here", "centre", "passed", "summed", "measures"),
        *("factor", "modes", "jumpers", "accepted", "divergent", "tested"),
        *("adaptation.log_step", "adaptation.log_average", "adaptation.count"),
    )

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int,
        noise_std: float,
        trajectories: int,
        leapfrog: int,
        jumps: int,
        target_accept: float,
    ) -> None:
        super().__init__(params, steps)
        u = self.latents.detach()
        blank = torch.zeros(len(u), device=u.device, dtype=u.dtype)
        self.arrived = torch.zeros(len(u), device=u.device, dtype=torch.bool)
        self.spent = blank.clone()
        self.seen = torch.full_like(blank, torch.nan)
        self.here: tuple[Tensor, Tensor] | None = None  # energies and their gradients
        self.centre = u.clone()
        self.passed: tuple[Tensor, Tensor] = (torch.zeros_like(u), blank.clone())
        self.summed: Tensor | None = None  # (pictures, D, D)
        self.measures = 0
        self.factor: Tensor | None = None  # (pictures, D, D)
        self.modes: tuple[Tensor, ...] | None = None
        self.jumpers = torch.zeros(0, device=u.device, dtype=torch.int64)
        self.accepted, self.divergent, self.tested = blank.clone(), blank.clone(), 0
        self.adaptation = StepAdaptation(torch.full_like(blank, FIRST_ANGLE), target_accept)

    @property
    def searching(self) -> int:
        """Steps before the first trajectory."""
        return self.steps - self.trajectories

    @property
    def draws_from(self) -> int | None:
        """The second half of the trajectories."""
        return self.searching + self.trajectories // 2 if self.trajectories else None

    @property
    def measured(self) -> range:
        """Numbers of the trajectories before which the metric is measured."""
        burn_in = self.trajectories // 2
        apart = max(APART, 3 * burn_in // (4 * MEASURES), self.worth)
        return range(0, max(3 * burn_in // 4, 1), apart)

    @property
    def measurement(self) -> float:
        """Evaluations that one place of one chain costs."""
        return (self.latents.shape[1] + 1) / PICTURES

    @property
    def worth(self) -> int:
        """Trajectories that cost as much as a measurement of the metric, at least."""
        return -(-self.latents.shape[1] // (PICTURES * self.leapfrog))

    @property
    def company(self) -> int:
        """Neighbouring rows that belong to one picture; where nobody says, a chain is alone."""
        return self.context.chains or 1

    def _residual(self, u: Tensor, rows: Tensor) -> Tensor:
        residual = self.context.residual
        assert residual is not None
        return residual(u, rows)

    def _of_pictures(self, x: Tensor) -> Tensor:
        """(N, ...) as (pictures, chains, ...)."""
        return x.unflatten(0, (-1, self.company))

    def _potential(self, energy: Tensor, u: Tensor) -> Tensor:
        return energy / (2 * self.noise_std**2) + u.square().sum(dim=-1) / 2

    def _linearized(self, u: Tensor) -> Linearized:
        """Of all chains, at ``u`` (N, D)."""
        self.spent += self.measurement
        return linearized(self._residual, u, torch.arange(len(u), device=u.device))

    def _measure(self, number: int) -> None:
        """The metric from one more place of every chain; before the first trajectory the modes, too."""
        u = self.latents.detach()
        at = self._linearized(u)
        square = at.square.nan_to_num(0.0, 0.0, 0.0)
        std = torch.full_like(at.energy, self.noise_std)
        if number == 0:
            slope = (at.slope / self.noise_std**2 + u).nan_to_num(0.0, 0.0, 0.0)
            mixture = Mixture.around(
                self._of_pictures(u),
                self._of_pictures(curvature(square, std)),
                self._of_pictures(slope),
                self._of_pictures(self._potential(at.energy, u)),
            )
            self.modes = tuple(mixture)
            self.centre = mixture.centre.flatten(0, 1)
        else:
            total, count = self.passed
            self.centre = total / count[:, None]
        # A chain that has not arrived tells nothing of the places where the others are.
        counts = self._of_pictures(self.arrived)
        counts = (counts | ~counts.any(dim=1, keepdim=True)).to(u)
        share = (counts / counts.sum(dim=1, keepdim=True))[..., None, None]
        mean = (self._of_pictures(square) * share).sum(dim=1)
        self.summed = mean if self.summed is None else self.summed + mean
        self.measures += 1
        average = self.summed / self.measures
        self.factor = factored(curvature(average, std[: len(average)]))
        self.passed = torch.zeros_like(u), torch.zeros_like(at.energy)
        self.adaptation = StepAdaptation(self.adaptation.step_size, self.target_accept)

    def _jump(self, rows: Tensor) -> Tensor:
        """One jump of each of the chains ``rows``; the chances (n,) that it moved."""
        assert self.modes is not None
        u, draw, mixture = self.latents.detach(), self.step_count, Mixture(*self.modes)
        size = u.shape[1]
        which = self.streams.uniform(draw, 1 + self.jumps, Purpose.RESAMPLE)
        numbers = self.streams.normal(draw, self.jumps * size, Purpose.SAMPLE, u.dtype)
        places = mixture.draw(
            self._of_pictures(which[:, 1:]),
            self._of_pictures(numbers.unflatten(1, (self.jumps, size))),
        ).flatten(0, 1)
        places = torch.cat([u[:, None], places], dim=1)
        together = self._of_pictures(places).flatten(1, 2)
        proposal = torch.logsumexp(mixture.log_terms(together), dim=2).view(places.shape[:2])
        found = [residuals(self._residual, places[row], row).square().sum(dim=1) for row in rows]
        energy, places = torch.stack(found).double(), places[rows]
        weight = -self._potential(energy, places.double()) - proposal[rows]
        weight = torch.where(weight.isfinite(), weight, -torch.inf)
        none = ~weight.isfinite().any(dim=1)
        weight[:, 0] = torch.where(none, 0.0, weight[:, 0])
        share = elementwise(torch.exp, weight - weight.amax(dim=1, keepdim=True))
        choice = chosen(share, which[rows, :1])[..., None].expand(-1, 1, size)
        self.latents[rows] = places.gather(1, choice)[:, 0]
        self.spent[rows] += self.jumps / PICTURES
        self.here = None
        return (1 - share[:, 0] / share.cumsum(dim=1)[:, -1]).to(u)

    def _homes(self, u: Tensor) -> Tensor:
        """(N, modes) log responsibilities of the modes for the chains at ``u``."""
        assert self.modes is not None
        terms = Mixture(*self.modes).log_terms(self._of_pictures(u)).flatten(0, 1)
        return torch.log_softmax(terms, dim=1)

    def _draw(self, closure: Closure) -> None:
        """A jump, where jumps are worth it, and a trajectory of every chain."""
        number = self.step_count - self.searching
        if number in self.measured:
            self._measure(number)
            if number == self.measured[-1] and self.jumps and self.measures > 1:
                everyone = torch.arange(len(self.latents), device=self.latents.device)
                chance = self._of_pictures(self._jump(everyone)).mean(dim=1)
                worth = (chance > WORTHWHILE).repeat_interleave(self.company)
                self.jumpers = worth.nonzero()[:, 0]
        elif len(self.jumpers):
            self._jump(self.jumpers)
        self._trajectory(closure)
        if self.adapting:
            total, count = self.passed
            self.passed = total + self.latents.detach(), count + 1

    @property
    def adapting(self) -> bool:
        """Whether the next trajectory belongs to the burn-in."""
        return self.step_count < (self.draws_from or 0)

    def _trajectory(self, closure: Closure) -> None:
        """Rotations and kicks, then the test."""
        u = self.latents.detach()
        if self.here is None:
            self.here = self.evaluate(closure)
            self.spent += 1
        chance = self.streams.uniform(self.step_count, 3, Purpose.ACCEPT)
        size = self.adaptation.step_size if self.adapting else self.adaptation.frozen
        centre, extra, home = self.centre, None, None
        if len(self.jumpers):
            assert self.modes is not None
            extra = self._homes(u)
            home = chosen(elementwise(torch.exp, extra), chance[:, 2:])
            centres = self.modes[0].repeat_interleave(self.company, 0)
            own = centres.gather(1, home[..., None].expand(-1, -1, u.shape[1]))[:, 0]
            jumping = torch.zeros_like(self.arrived).index_fill(0, self.jumpers, True)
            centre = torch.where(jumping[:, None], own, centre)
        assert self.factor is not None
        end = journey(
            lambda at: self.evaluate(closure, at),
            Frame(centre, self.factor),
            self.noise_std,
            (u, *self.here),
            self.normal(Purpose.MOMENTUM),
            size,
            chance[:, 1],
            self.leapfrog,
        )
        self.spent += self.leapfrog
        at, energy, grad, ratio = end
        if extra is not None and home is not None:
            more = (self._homes(at) - extra).gather(1, home)[:, 0]
            ratio = torch.where(jumping, ratio + more, ratio)
            ratio = torch.where(ratio.isfinite(), ratio, -torch.inf)
        accept = self._accepted(ratio, chance[:, 0])
        probability = elementwise(torch.exp, ratio.clamp(max=0)).to(u)
        column = accept[:, None]
        self.latents.copy_(torch.where(column, at, u))
        self.here = (
            torch.where(accept, energy, self.here[0]),
            torch.where(column, grad, self.here[1]),
        )
        self.seen = self.here[0]
        if self.adapting:
            self.adaptation.update(probability)
        else:
            self.accepted = self.accepted + probability
            self.divergent = self.divergent + (ratio < -DIVERGENT).to(u)
            self.tested += 1

    def _accepted(self, log_ratio: Tensor, chance: Tensor) -> Tensor:
        """(N,) the outcome of the Metropolis tests."""
        return elementwise(torch.log, chance) < log_ratio

    def diagnostics(self) -> dict[str, Tensor]:
        """Adds ``acceptance`` and ``divergences`` of the trajectories after the burn-in, ``step_size`` and the
        chain's own ``gradient_evaluations``, each (N,)."""
        acceptance = self.accepted / max(self.tested, 1)
        if not self.tested:
            acceptance = torch.full_like(acceptance, torch.nan)
        return {
            **super().diagnostics(),
            "acceptance": acceptance,
            "divergences": self.divergent,
            "step_size": self.adaptation.frozen if self.tested else self.adaptation.step_size,
            "gradient_evaluations": self.spent,
        }
