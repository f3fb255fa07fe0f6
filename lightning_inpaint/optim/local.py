"""Exact draws around the places that a search has found: a shared metric, and jumps between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..noise import Purpose
from ..steady import elementwise
from .adaptation import StepAdaptation
from .base import ChainOptimizer, Closure, arrival_bound
from .frame import Frame, factored, journey
from .gauss_newton import Linearized, curvature, linearized, residuals
from .hmc import DIVERGENT
from .mixture import Mixture, chosen, jump
from .radius import ratio_to, row_norms, spans_of
from .reheating import gradient_of
from .rounds import behind, falling

__all__ = ["LocalDraws"]

FIRST_ANGLE = 0.2  # of a rotation; the burn-in adapts it
PICTURES = 2  # made without a gradient for the price of one evaluation
MEASURES = 8  # of the metric, at most, in the first three quarters of the burn-in
SPACING = 3  # trajectories from one to the next, at least
FEW = 6  # latents to an evaluation of a trajectory up to which jumps are tried
LONGEST = 2  # times as many rotations as in the burn-in, at most
WORTHWHILE = 0.05  # chance that a jump moves, in the burn-in, below which there are none


class LocalDraws(ChainOptimizer):
    """Trajectories of Hamiltonian Monte Carlo in a dense metric, with jumps between modes (exact).

    Coordinates are w of u = c + L^-T w, A = L L^T: the Gaussian N(c, A^-1) is followed by rotations, the
    rest of the potential by kicks (Shahbaba et al. 2014, Stat. Comput. 24). A is the mean of
    I + J^T J / sigma^2 over places that the chains of the picture pass in their burn-in. The curvature at a
    mode alone misses how it turns within the posterior's bulk, and steps in it are several times shorter.
    c is the mean of a chain's own places.

    A jump is a step of iterated sampling importance resampling (:func:`.mixture.jump`): ``jumps`` places are
    drawn from the Laplace approximations to all modes that the chains of the picture begin at, and one of
    them, or the present place, is chosen by weight posterior over proposal. None are made with many latents,
    where no two modes are apart, so that trajectories do as well for less, or where the burn-in finds that
    they are not taken. Where they are, the chain's mode is drawn from its responsibilities before a
    trajectory, which turns about that mode, and enters the test.

    The burn-in has rounds. A picture makes another one, with a metric and modes of its own, while the
    potential of its chains still falls; others wait. A valley that bends is followed so to its end, some
    hundred trajectories away, which few pictures need. A chain that stays far above another of its picture,
    in a mode of no weight or on a long way down, goes on from there. Where the burn-in ends with small angles,
    and the picture's budget has enough left, trajectories of the draws are longer.

    Of latents that count by direction the radius is drawn afresh (``radius.py``).

    Metric, centres, modes, step, length and whether to jump stand still from the first draw on.

    Subclasses place the chains and set :attr:`arrived`.
    """

    exact = True
    interacting = True
    live = (
        *ChainOptimizer.live,
        *("arrived", "spent", "seen", "here", "centre", "passed", "summed", "measures"),
        *("factor", "modes", "leaps", "jumpers", "further", "rows", "passing", "walking"),
        *("accepted", "divergent", "tested"),
        *("adaptation.log_step", "adaptation.log_average", "adaptation.count"),
    )

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int,
        noise_std: float,
        trajectories: int,
        rounds: int,
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
        self.spans = spans_of(self.context.blocks, self.context.scale_free)
        self.walking: Tensor | None = None  # the chains, where radii are drawn of what is shown
        self.leaps = torch.zeros_like(self.arrived)  # whether jumps are worth it
        self.further: tuple[Tensor, ...] = ()  # pictures whose draws go as far again
        self._move(torch.arange(len(u), device=u.device))
        self.passing = blank.new_zeros(0, len(u))  # potentials in this round of the burn-in
        self.accepted, self.divergent, self.tested = blank.clone(), blank.clone(), 0
        self.adaptation = StepAdaptation(torch.full_like(blank, FIRST_ANGLE), target_accept)

    @property
    def burn_in(self) -> int:
        """Trajectories of a round."""
        return self.trajectories // 3

    @property
    def drawing(self) -> int:
        """Steps from the first trajectory on, all rounds counted."""
        return self.trajectories + (self.rounds - 1) * self.burn_in

    @property
    def searching(self) -> int:
        """Steps before the first trajectory."""
        return self.steps - self.drawing

    @property
    def draws_from(self) -> int | None:
        """The last two thirds of the trajectories."""
        return self.steps - (self.trajectories - self.burn_in) if self.trajectories else None

    def asked(self, step: int) -> int:
        """Neither the search nor another round of burn-in, which few pictures make, asks the closure."""
        past = step - self.searching
        return 0 if past < 0 or self._again(past) else self.leapfrog

    def _again(self, past: int) -> bool:
        """Whether trajectory number ``past`` belongs to another round of burn-in than the first."""
        return self.burn_in <= past < self.rounds * self.burn_in

    @property
    def measured(self) -> range:
        """Numbers of the trajectories of a round before which the metric is measured."""
        spacing = max(SPACING, 3 * self.burn_in // (4 * MEASURES), self.worth)
        return range(0, max(3 * self.burn_in // 4, 1), spacing)

    @property
    def measurement(self) -> float:
        """Evaluations that one place of one chain costs."""
        return (self.latents.shape[1] + 1) / PICTURES

    @property
    def worth(self) -> int:
        """Trajectories that cost as much as a measurement of the metric, at least."""
        return -(-self.latents.shape[1] // (PICTURES * self.leapfrog))

    @property
    def probing(self) -> bool:
        """Whether jumps are tried: with many latents a Laplace approximation is too far off, and dear."""
        return self.jumps > 0 and self.latents.shape[1] <= FEW * self.leapfrog

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

    def _gradient(self, u: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return gradient_of(self._residual, u, rows)

    def _observed(self, rows: Tensor) -> Tensor:
        assert self.context.observed is not None
        return self.context.observed[rows].clamp(min=1)

    def _above(self, energy: Tensor, rows: Tensor) -> Tensor:
        """(n,) by how many nats the chains ``rows`` with |r|^2 ``energy`` (n,) miss arrival."""
        values = self._observed(rows)
        return (energy / self.noise_std**2 - arrival_bound(values) * values) / 2

    def _linearized(self, rows: Tensor) -> Linearized:
        """Of the chains ``rows``, where they are."""
        self.spent[rows] += self.measurement
        return linearized(self._residual, self.latents.detach()[rows], rows)

    def _pictures(self, rows: Tensor) -> Tensor:
        """Numbers of the pictures whose chains ``rows`` are, all of each."""
        return rows[:: self.company] // self.company

    def _measure(self, rows: Tensor, places: bool) -> None:
        """The metric of the chains ``rows``, all of a picture, from one more place: of one of them, in turn, or
        with ``places`` of every one, with the modes there."""
        if not len(rows):
            return
        pictures = self._pictures(rows)
        # A chain that has not arrived tells nothing of the places where the others are.
        telling = self._of_pictures(self.arrived[rows])
        telling = telling | ~telling.any(dim=1, keepdim=True)
        if places:
            told = rows
        else:
            turns = torch.arange(self.company, device=rows.device).roll(-self.measures)
            one = turns[telling[:, turns].int().argmax(dim=1)]
            told = self._of_pictures(rows).gather(1, one[:, None])[:, 0]
            telling = torch.ones_like(telling[:, :1])
        at = self._linearized(told)
        square = at.square.nan_to_num(0.0, 0.0, 0.0)
        std = torch.full_like(at.energy, self.noise_std)
        if self.summed is None or self.factor is None:
            self.summed = square.new_zeros(len(self.seen) // self.company, *square.shape[1:])
            self.factor = torch.zeros_like(self.summed)
        if places:
            self._place_modes(rows, at, curvature(square, std))
        else:
            total, count = self.passed
            self.centre[rows] = (total / count[:, None])[rows]
        share = (telling / telling.sum(dim=1, keepdim=True)).to(square)[..., None, None]
        if not self.measures:
            self.summed[pictures] = 0.0
        self.summed[pictures] += (square.unflatten(0, telling.shape) * share).sum(dim=1)
        average = self.summed[pictures] / (self.measures + 1)
        self.factor[pictures] = factored(curvature(average, std[: len(average)]))
        self.adaptation.begin(rows)

    def _place_modes(self, rows: Tensor, at: Linearized, bent: Tensor) -> None:
        """The Laplace approximations where the chains ``rows`` are, with the curvature ``bent`` (n, D, D)."""
        u = self.latents.detach()[rows]
        slope = (at.slope / self.noise_std**2 + u).nan_to_num(0.0, 0.0, 0.0)
        parts = (u, bent, slope, self._potential(at.energy, u))
        mixture = Mixture.around(*(self._of_pictures(part) for part in parts))
        pictures = self._pictures(rows)
        self.modes = tuple(
            part if self.modes is None else whole.index_copy(0, pictures, part)
            for whole, part in zip(self.modes or mixture, mixture, strict=True)
        )
        self.centre[rows] = mixture.centre.flatten(0, 1)

    def _mixture(self, rows: Tensor) -> Mixture:
        """The modes of the pictures whose chains ``rows`` are."""
        assert self.modes is not None
        return Mixture(*(part[self._pictures(rows)] for part in self.modes))

    def _jump(self, rows: Tensor) -> Tensor:
        """One jump of each of the chains ``rows``, all of a picture; the chances (n,) that it moved."""
        u, draw = self.latents.detach()[rows], self.step_count
        streams, size = self.streams.select(rows), u.shape[1]
        which = streams.uniform(draw, 1 + self.jumps, Purpose.RESAMPLE)
        numbers = streams.normal(draw, self.jumps * size, Purpose.SAMPLE, u.dtype)

        def potential(places: Tensor) -> Tensor:
            found = [
                residuals(self._residual, at, row).square().sum(dim=1)
                for at, row in zip(places, rows, strict=True)
            ]
            return self._potential(torch.stack(found).double(), places.double())

        numbers = numbers.unflatten(1, (self.jumps, size))
        jumped = jump(self._mixture(rows), u, which, numbers, potential)
        self.latents[rows] = jumped.place
        self.spent[rows] += self.jumps / PICTURES
        moved = rows[jumped.moved]
        if self.here is not None and len(moved):
            energies, grads = self.here
            energies[moved], grads[moved] = self._gradient(self.latents.detach()[moved], moved)
            self.spent[moved] += 1
        return jumped.chance.to(u)

    def _homes(self, u: Tensor, rows: Tensor) -> Tensor:
        """(n, modes) log responsibilities of the modes for the chains ``rows`` at ``u``."""
        terms = self._mixture(rows).log_terms(self._of_pictures(u)).flatten(0, 1)
        return torch.log_softmax(terms, dim=1)

    def _draw(self, closure: Closure) -> None:
        """A step of the chains, and radii drawn afresh of what is shown of them.

        Of latents that count by direction the picture does not tell the radius, so that drawing it is an exact
        step (``radius.py``). The chain itself keeps its own, as its frame fits no other.
        """
        u = self.latents.detach()
        if self.walking is not None:
            u.copy_(self.walking)
        self._go(closure)
        if self.spans:
            self.walking, fresh = u.clone(), self.normal(Purpose.STEP)
            for span in self.spans:
                u[:, span.start : span.stop] *= ratio_to(u, span, row_norms(fresh, span))

    def _go(self, closure: Closure) -> None:
        """A jump, where jumps are worth it, and a trajectory of every chain that moves."""
        past = self.step_count - self.searching
        number, again = self._number(past), self._again(past)
        self._seat(past, number)
        if not len(self.rows):
            return
        if number in self.measured:
            self._look_around(number, first=not again)
        elif len(self.jumpers):
            self._jump(self.jumpers)
        self._trajectory(None if again else closure)
        if self.adapting:
            total, count = self.passed
            self.passed = total + self.latents.detach(), count + 1
            now = self._potential(self.seen, self.latents.detach())
            self.passing = torch.cat([self.passing, now[None]])

    def _look_around(self, number: int, first: bool) -> None:
        """Measure the metric, and see at last whether jumps are worth it; ``first``: in the first round.

        Where the first round found them worthless, nobody asks again.
        """
        rows = self.rows
        jumping = rows if first else self.jumpers
        if number == 0:
            self.measures = 0
            self._measure(jumping, places=True)
            if not first:
                self._measure(rows[~self.leaps[rows]], places=False)
        else:
            self._measure(rows, places=False)
        self.measures += 1
        self.passed = torch.zeros_like(self.centre), torch.zeros_like(self.seen)
        if self.probing and number == self.measured[-1] > 0 and len(jumping):
            apart = self._mixture(jumping).apart().repeat_interleave(self.company)
            self.leaps[jumping] = False
            far = jumping[apart]
            if len(far):
                chance = self._of_pictures(self._jump(far)).mean(dim=1)
                self.leaps[far] = (chance > WORTHWHILE).repeat_interleave(self.company)
            self._move(rows)

    def _number(self, past: int) -> int:
        """Number in its round of trajectory ``past``; -1 behind the burn-in, but for the very first."""
        if self.adapting:
            return past % self.burn_in
        return -1 if past else 0

    def _seat(self, past: int, number: int) -> None:
        """See to who moves: at the beginning, of another round, and of the draws."""
        if past in (0, self.rounds * self.burn_in):
            self._move(torch.arange(len(self.seen), device=self.seen.device))
            if past:
                self._lengthen()
            if self.rounds > 1:  # those who waited may have no gradients
                self.here = None
        if number == 0:
            if past:
                self._go_on(self.rounds - past // self.burn_in)
            self.passing = self.passing[:0]

    def _lengthen(self) -> None:
        """Trajectories of the draws come nearer to a quarter turn, a fresh draw of a Gaussian, where there is
        enough unspent for it."""
        angle = self._of_pictures(self.adaptation.frozen).mean(dim=1)
        cost = self.leapfrog * (self.trajectories - self.burn_in)
        fitting = torch.pi / 2 / (self.leapfrog * angle)
        times = torch.minimum(fitting, self._unspent() / (self.company * cost))
        further = ((times >= n).nonzero()[:, 0] for n in range(2, LONGEST + 1))
        self.further = tuple(pictures for pictures in further if len(pictures))

    def _unspent(self) -> Tensor:
        """(pictures,) evaluations that the chains of a picture may still spend together; here there is no
        budget."""
        return self.spent.new_zeros(len(self.spent) // self.company)

    def _move(self, rows: Tensor) -> None:
        """The chains ``rows``, all of a picture, move on; the others wait."""
        self.rows, self.jumpers = rows, rows[self.leaps[rows]]

    def _go_on(self, left: int) -> None:
        """Those move on whose picture needs another one of the rounds that are ``left``."""
        rows, size = self.rows, self.latents.shape[1]
        parts = self.passing[:, rows].tensor_split([len(self.passing) // 2])
        first, second = (self._of_pictures(part.mean(dim=0)) for part in parts)
        above = self._of_pictures(self._above(self.seen[rows], rows)).amin(dim=1)
        # Where chains jump, jumps see to modes of little weight.
        lost = behind(second, size) & (above <= 0)[:, None] & ~self._of_pictures(self.leaps[rows])
        own = self._of_pictures(rows)
        best = own.gather(1, second.argmin(dim=1, keepdim=True)).expand_as(own)
        self._follow(rows, torch.where(lost, best, own).flatten())
        still = falling(first, second, above, left, size) | lost.any(dim=1)
        self._move(rows[still.repeat_interleave(self.company)])

    def _follow(self, rows: Tensor, there: Tensor) -> None:
        """The chains ``rows`` go on from where the chains ``there`` are."""
        assert self.here is not None
        for part in (self.latents, self.centre, self.seen, self.arrived, *self.here):
            part[rows] = part[there]

    @property
    def adapting(self) -> bool:
        """Whether the next trajectory belongs to the burn-in."""
        return self.step_count < (self.draws_from or 0)

    def _trajectory(self, closure: Closure | None) -> None:
        """Rotations and kicks of the chains that move, then the test; without ``closure`` of them alone."""
        rows = self.rows
        u = self.latents.detach()[rows]

        def gradient(at: Tensor, some: Tensor | None = None) -> tuple[Tensor, Tensor]:
            which = rows if some is None else rows[some]
            self.spent[which] += 1
            if closure is not None and some is None:
                return self.evaluate(closure, at)
            return self._gradient(at, which)

        if self.here is None:
            self.here = self.seen.clone(), torch.zeros_like(self.centre)
            self.here[0][rows], self.here[1][rows] = gradient(u)
        streams = self.streams.select(rows)
        chance = streams.uniform(self.step_count, 3, Purpose.ACCEPT)
        size = (self.adaptation.step_size if self.adapting else self.adaptation.frozen)[rows]
        centre, extra, home = self.centre[rows], None, None
        if len(self.jumpers):
            assert self.modes is not None
            extra = self._homes(u, rows)
            home = chosen(elementwise(torch.exp, extra), chance[:, 2:])
            centres = self.modes[0].repeat_interleave(self.company, 0)[rows]
            own = centres.gather(1, home[..., None].expand(-1, -1, u.shape[1]))[:, 0]
            jumping = self.leaps[rows]
            centre = torch.where(jumping[:, None], own, centre)
        assert self.factor is not None
        end = journey(
            gradient,
            Frame(centre, self.factor[self._pictures(rows)]),
            self.noise_std,
            (u, self.here[0][rows], self.here[1][rows]),
            streams.normal(self.step_count, u.shape[1], Purpose.MOMENTUM, u.dtype),
            size,
            chance[:, 1],
            self.leapfrog,
            () if self.adapting else self.further,
        )
        at, energy, grad, ratio = end
        if extra is not None and home is not None:
            more = (self._homes(at, rows) - extra).gather(1, home)[:, 0]
            ratio = torch.where(jumping, ratio + more, ratio)
            ratio = torch.where(ratio.isfinite(), ratio, -torch.inf)
        accept = self._accepted(ratio, chance[:, 0])
        probability = elementwise(torch.exp, ratio.clamp(max=0)).to(u)
        column = accept[:, None]
        self.latents[rows] = torch.where(column, at, u)
        energies, grads = self.here
        energies[rows] = torch.where(accept, energy, energies[rows])
        grads[rows] = torch.where(column, grad, grads[rows])
        self.seen = energies.clone()
        if self.adapting:
            self.adaptation.update(probability, rows)
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
