"""A search that goes on until a chain has arrived, then draws from the posterior around it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import torch
from torch import Tensor

from ..noise import Purpose
from .base import Closure, arrival_bound, require_decays, require_positive
from .gauss_newton import (
    Linearized,
    curvature,
    descend,
    descent_pictures,
    determined,
    linearized,
    residuals,
)
from .layered import LayeredDescent
from .local import PICTURES, LocalDraws
from .mixture import chosen
from .mode import Anchor
from .quasi_newton import STEPS, QuasiNewton
from .radius import on_shell
from .reheating import MEASURES, Gradient, Reheating
from .tempered import TemperedDescent, flat_std

__all__ = ["Search"]

COLD = 1 / 3  # of the residual that an attempt begins with: where Adam's sigma ends
GAINED = 5  # nats that a step of moves brings, if there are to be more
STALLED = 1e-3  # relative decrease of the potential below which an attempt is given up
SETTLED = 0.01  # decrease of the potential, in nats, at which it is at the mode
MOST = 1024  # latents up to which a Jacobian is measured at all, once an attempt
MANY = 256  # latents up to which an attempt has several
BETAS, SLOW_BETAS = (0.9, 0.99), (0.95, 0.999)  # Adam's, and where there are no Jacobians
SCREEN, WIDE_SCREEN = 64, 256  # prior draws, likewise
PACE = 4  # steps of Adam in one, where there are no Jacobians
SHARE = 1750  # of the budget, evaluations a chain
ATTEMPTS = 2  # from prior draws, at most, where nobody says how many steps
LONE = 4  # likewise, where no reheatings come between
REHEATINGS = 2  # of the best place so far, after an attempt from prior draws
HEAT = 20  # times the residual's size: where a reheating begins
WARM = 5  # the same where Adam comes down again


class Search(LocalDraws):
    """Attempts until a chain has arrived, within its picture's budget, then exact draws around it.

    Attempts are of two kinds, one of the first and two of the second in turn. The first begins at the best of
    ``screen`` prior draws; ``descent`` steps of Adam follow a sigma that falls from where the likelihood is
    flat under those draws (``tempered.py``) to a third of their best residual. The second begins at the best
    place so far: ``reheat`` trajectories of Hamiltonian Monte Carlo follow a sigma that falls from twenty times
    that place's residual to the residual itself (``reheating.py``). Either ends in up to ``newton`` Jacobians
    with three damped Gauss-Newton steps each (``gauss_newton.py``), at the larger one of ``noise_std`` and the
    residual's own size. A chain has arrived when the squared residual is that of a draw (chi2 below
    1 + 3 sqrt(2 / known values)); where draws follow, that of a draw around its place, which misses by more
    (:func:`.gauss_newton.determined`), and there is no need for the rest of the way to the mode. Others begin
    again, while the picture's ``budget`` lasts, and keep the best of what they found. So nothing but
    ``noise_std`` knows the scale of the generator's pictures. A chain that has not arrived in the end goes on
    from where another one of its picture has, if one has.

    Then come ``trajectories`` of Hamiltonian Monte Carlo in a metric that the chains of the picture measure in
    their burn-in, which goes on while their potential falls, with jumps between modes that are apart where
    jumps succeed (``local.py``): exact, about the stationary distribution; which of several modes was found is
    the search's doing, where there are no jumps.

    With more than 256 latents a Jacobian is too dear to be measured more than once an attempt. It begins a
    quadratic model that learns from up to 128 moves (``quasi_newton.py``), which go on while 16 of them gain
    five nats, or bring a chain so near that those that are left may see it arrive. All attempts are of the
    first kind then. Where the generator has a mapping network, they go through it (``layered.py``): Adam's
    steps are taken behind it, and so is the model. With more than 1024 latents there are no Jacobians, and
    attempts are Adam's alone, down to ``noise_std``: the first kind makes four times the steps, the second
    comes down from five times the best place's residual in as many steps as the trajectories would take.
    Latents that count by direction stay on their shell (``radius.py``): the prior would pull them to 0, where
    a picture turns ever faster.

    Evaluations are counted per chain, a picture without its gradient as half of one.

    Args:
        params: latents (N, D) or one group whose context has ``residual`` and ``observed``.
        steps: steps in all: attempts of ``1 + descent + newton``, and of ``reheat + newton`` twice, in turn
            (with a model that learns of ``1 + descent + 8``), then the trajectories. Chains that have arrived
            make those that are left for nothing. As many as the trajectories need: no search, the chains stay
            where they start. None: two turns, or four attempts with a model.
        noise_std: assumed standard deviation sigma of a known value, pictures in [-1, 1].
        budget: evaluations that the chains of a picture may have spent together when an attempt ends; each
            chain's first is always made. What is left of it can make trajectories longer. None: 1,750 a chain,
            for one alone 3,500.
        screen: prior draws that an attempt of the first kind chooses its start from; None: 64, or 256 where
            there are no Jacobians.
        descent: steps of Adam of such an attempt.
        reheat: trajectories of an attempt of the second kind; 0 = all are of the first.
        newton: Jacobians of an attempt, at most, with three Gauss-Newton steps each; up to 256 latents.
        lr: Adam's rate, in prior standard deviations.
        betas: Adam's decay rates; None: .9 and .99, or .95 and .999 where there are no Jacobians.
        trajectories: of Hamiltonian Monte Carlo, a third of them burn-in; 0 = the mode.
        rounds: of burn-in at most, of a third of the trajectories each; the second and others only where a
            picture's potential still falls.
        leapfrog: evaluations of a trajectory; of a draw's twice as many where its angles stay small and the
            ``budget`` has as much left.
        jumps: places that a jump between modes that are apart chooses from, half an evaluation each; 0 = no
            jumps. With more than six latents to an evaluation of a trajectory none are tried.
        target_accept: acceptance that the burn-in aims at.
        anchor: what attempts are held to: ``origin``, so that they seek the mode, or ``start``, the chain's
            first prior draw, so that without trajectories it ends near a draw (see
            :class:`.mode.AnnealedDescent`).

    Raises:
        ValueError: an option out of range, or a context without ``residual`` and ``observed``.
    """

    needs_std = True  # it looks at residuals
    live = (
        *LocalDraws.live,
        *("held", "best", "value", "found", "trying", "tried", "tries", "determined", "ahead"),
        *("damping", "settled", "stalled"),
        *(f"fall.{name}" for name in TemperedDescent.LIVE),
        *(f"heat.{name}" for name in Reheating.LIVE),
    )

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int | None = None,
        noise_std: float = 0.05,
        budget: int | None = None,
        screen: int | None = None,
        descent: int = 100,
        reheat: int = 32,
        newton: int = 6,
        lr: float = 0.1,
        betas: tuple[float, float] | None = None,
        trajectories: int = 48,
        rounds: int = 7,
        leapfrog: int = 8,
        jumps: int = 16,
        target_accept: float = 0.8,
        anchor: Anchor = "origin",
    ) -> None:
        require_positive(noise_std=noise_std, budget=budget, lr=lr)
        for name, number, least in (
            ("screen", SCREEN if screen is None else screen, 2),
            ("descent", descent, 0),
            ("reheat", reheat, 0),
            ("newton", newton, 1),
            ("trajectories", trajectories, 0),
            ("rounds", rounds, 1),
            ("leapfrog", leapfrog, 1),
            ("jumps", jumps, 0),
        ):
            if number < least:
                raise ValueError(f"{name} must be at least {least}, got {number}")
        if betas is not None:
            require_decays(betas)
        if not 0 < target_accept < 1:
            raise ValueError(f"target_accept must lie in (0, 1), got {target_accept}")
        if anchor not in get_args(Anchor):
            raise ValueError(f"anchor must be one of {', '.join(get_args(Anchor))}, got {anchor!r}")
        super().__init__(
            params,
            1 if steps is None else steps,
            noise_std,
            trajectories,
            rounds,
            leapfrog,
            jumps,
            target_accept,
        )
        if steps is not None and steps < self.drawing:
            raise ValueError(
                f"steps must be at least {self.drawing}, for {trajectories} trajectories with up to {rounds} "
                f"rounds of burn-in, got {steps}; left out, it is as many as they need"
            )
        if self.context.residual is None or self.context.observed is None:
            raise ValueError("Search needs a context with residual and observed")
        u = self.latents.detach()
        n = len(u)
        self.many = u.shape[1] > MANY
        blank = torch.zeros(n, device=u.device, dtype=u.dtype)
        no = torch.zeros(n, device=u.device, dtype=torch.bool)
        self.held = torch.zeros_like(u)
        self.best = u.clone()
        self.value = torch.full_like(blank, torch.inf)
        self.found = torch.full_like(blank, torch.nan)
        self.trying, self.tried = no, no.nonzero()[:, 0]
        self.settled, self.stalled = no.clone(), no.clone()
        self.tries, self.determined = blank.clone(), blank.clone()
        self.damping = blank.clone()
        self.heat = Reheating(u)
        # J^T r and J^T J where a chain arrived
        self.ahead: tuple[Tensor, Tensor] | None = None
        self.prior = torch.ones_like(u[:1])  # precision, of what the search minimises
        if anchor == "origin":
            for span in self.spans:
                self.prior[:, span.start : span.stop] = 0.0
        self.model: QuasiNewton | None = None
        self.layered: LayeredDescent | None = None
        layer = self.context.layer
        self.fall = TemperedDescent(u, self.prior)
        if self.many and anchor == "origin" and layer is not None:
            self.model = self.layered = LayeredDescent(layer(), u, self.prior, self.spans)
            self.fall = TemperedDescent(self.layered.at, torch.ones_like(self.layered.at[:1]))
        elif self.many and u.shape[1] <= MOST:
            self.model = QuasiNewton(self._residual, u.shape[1], u, self.prior, self.spans)
        if self.model is not None:
            self.live = (*self.live, *(f"model.{name}" for name in self.model.LIVE))
        if steps is None:
            attempts = ATTEMPTS if self.model is None else LONE
            self.param_groups[0]["steps"] = attempts * self._turn + self.drawing

    @property
    def _screened(self) -> int:
        """Prior draws at the beginning of an attempt."""
        return self.screen or (SCREEN if any(self._jacobians) else WIDE_SCREEN)

    @property
    def _jacobians(self) -> tuple[int, int]:
        """Steps at the end of an attempt that know one; of either kind of attempts."""
        if self.model is not None:
            return STEPS, 0
        return (0, 0) if self.many else (self.newton, self.newton)

    @property
    def _lengths(self) -> tuple[int, int]:
        """Steps of an attempt from prior draws, and of one from the best place so far."""
        first, second = self._jacobians
        heated = self.reheat if self.model is None else 0
        return 1 + self.descent + first, heated + second

    @property
    def _turn(self) -> int:
        """Steps of one attempt of the first kind and those of the second that follow."""
        first, second = self._lengths
        return first + (REHEATINGS * second if self.reheat else 0)

    def _place(self, step: int) -> tuple[bool, int, int]:
        """Whether ``step`` belongs to a reheating, its number in the attempt, and steps of the attempt."""
        first, second = self._lengths
        place = step % self._turn
        if place < first:
            return False, place, first
        return True, (place - first) % second, second

    def _measures(self, number: int) -> bool:
        """Whether the curvature is measured before trajectory ``number`` of a reheating."""
        return number % max(1, self.reheat // MEASURES, self.worth) == 0

    def cost(self, step: int) -> int:
        """Evaluations of a chain that needs every attempt."""
        if step >= self.searching:
            return self.leapfrog
        heated, place, length = self._place(step)
        number = place - length + self._jacobians[heated]
        if number >= 0 and self.model is not None:
            return round(self.model.cost(number))
        if number >= 0:
            return descent_pictures(self.latents.shape[1]) // PICTURES
        if heated:
            more = (place == 0) + self._measures(place) * round(self.measurement)
            return self.leapfrog + (0 if self.many else more)
        return self._pace if place else self._screened // PICTURES

    @property
    def _pace(self) -> int:
        """Steps of Adam in one."""
        return 1 if any(self._jacobians) else PACE

    def _unspent(self) -> Tensor:
        """(pictures,) what the budget still leaves."""
        budget = self.budget or SHARE * max(self.company, 2)
        return budget - self._of_pictures(self.spent).sum(dim=1)

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
        heated, place, length = self._place(self.step_count)
        number = place - length + self._jacobians[heated]
        newton = number >= 0
        if place == 0:
            self._begin(length)
        if place == 0 or newton:  # a look at who goes on, once a screen and Jacobian
            self.tried = (self.trying & ~self.settled).nonzero()[:, 0]
        rows = self.tried
        if len(rows):
            if newton and self.model is not None:
                self._move_on(self.model, rows, number)
            elif newton:
                self._newton(rows)
            elif heated and self.many:
                self._return(rows, place)
            elif heated:
                self._reheat(rows, place)
            elif place == 0:
                self._screen(rows)
            else:
                for number in range((place - 1) * self._pace, place * self._pace):
                    self._descend(rows, number, self.descent * self._pace)
            self.evaluations += self.cost(self.step_count)
        if place == length - 1 or self.step_count == self.searching - 1:
            self._judge()

    def _begin(self, length: int) -> None:
        """Those try (again) that have not arrived; where not all of a picture's can pay, the best can."""
        spent, tries = (self._of_pictures(x).sum(dim=1) for x in (self.spent, self.tries))
        each = spent / tries.clamp(min=1)
        can = (self._unspent() / each.clamp(min=1)).clamp(min=0).floor()
        if self.step_count + length > self.searching:
            can = torch.zeros_like(can)
        waiting = self._of_pictures(~self.arrived)
        value = self._of_pictures(self.value).masked_fill(~waiting, torch.inf)
        place = value.argsort(dim=1, stable=True).argsort(dim=1)
        self.trying = (waiting & (place < can[:, None])).flatten() | (self.tries == 0)
        self.settled, self.stalled = torch.zeros_like(self.arrived), torch.zeros_like(self.arrived)
        self.tries = self.tries + self.trying
        self.damping = torch.full_like(self.damping, 1e-2)

    def _size(self, energy: Tensor, rows: Tensor) -> Tensor:
        """Root-mean-square residuals of the chains ``rows``, at least sigma."""
        return (energy / self._observed(rows)).sqrt().clamp(min=self.noise_std)

    def _screen(self, rows: Tensor) -> None:
        """The best of some prior draws, and the sigmas of the descent from it."""
        layered, draw, kind = self.layered, 1 + self.step_count, self.latents.dtype
        size = self.latents.shape[1] if layered is None else layered.layer.size
        residual = self._residual if layered is None else layered.residual
        energies, starts = [], []
        for row in rows:  # one by one: noise maps are large
            own = self.streams.select(row[None])
            draws = own.normal(draw, self._screened * size, Purpose.START, kind).view(-1, size)
            energy = residuals(residual, draws, row).square().sum(dim=1)
            energies.append(energy)
            starts.append(draws[energy.nan_to_num(nan=torch.inf).argmin()])
        energy = torch.stack(energies)
        if layered is None:
            self.latents[rows] = on_shell(torch.stack(starts), self.spans)
        else:
            layered.begin(torch.stack(starts), rows)
            own = self.streams.select(rows)
            drawn = own.normal(draw, self.latents.shape[1], Purpose.SAMPLE, kind)
            self.latents[rows] = on_shell(drawn, self.spans)
        if self.anchor == "start":
            first = (self.tries[rows] == 1)[:, None]
            self.held[rows] = torch.where(first, self.latents[rows], self.held[rows])
            if self.model is not None:
                self.model.held[rows] = self.held[rows]
        size_of_residual = (energy.amin(dim=1) / self._observed(rows)).sqrt()
        cold = (COLD * size_of_residual).clamp(min=self.noise_std)
        cold = torch.full_like(cold, self.noise_std) if self.many else cold
        self.fall.begin(rows, torch.maximum(flat_std(energy), cold), cold)
        self.seen[rows] = energy.amin(dim=1)
        self.spent[rows] += self._screened / PICTURES

    def _back(self, rows: Tensor, times: float) -> tuple[Tensor, Tensor]:
        """At the best place so far: the sigma to come down from, ``times`` its residual, and the residual."""
        self.latents[rows], self.seen[rows] = self.best[rows], self.found[rows]
        size = self._size(self.found[rows], rows)
        return torch.maximum(torch.minimum(times * size, self.fall.hot[rows]), size), size

    def _reheat(self, rows: Tensor, number: int) -> None:
        """A trajectory at a sigma that falls again, from the best place so far."""
        if number == 0:
            self.heat.begin(rows, *self._back(rows, HEAT))
        streams, measure = self.streams.select(rows), self._measures(number)
        latents, draw = self.latents.shape[1], 1 + self.step_count
        moved, self.seen[rows] = self.heat.step(
            self._residual,
            self._gradient,
            rows,
            (self.latents[rows].detach(), self.seen[rows]),
            number / max(self.reheat - 1, 1),
            streams.uniform(draw, 2, Purpose.ACCEPT),
            streams.normal(draw, latents, Purpose.MOMENTUM, self.latents.dtype),
            self.leapfrog,
            measure,
        )
        self.latents[rows] = on_shell(moved, self.spans) if number == self.reheat - 1 else moved
        self.spent[rows] += self.leapfrog + (number == 0) + measure * self.measurement

    def _return(self, rows: Tensor, number: int) -> None:
        """As many steps of Adam as a trajectory has rotations, from the best place so far, warm again."""
        if number == 0:
            hot, _ = self._back(rows, WARM)
            self.fall.begin(rows, hot, self.fall.cold[rows])
        for i in range(number * self.leapfrog, (number + 1) * self.leapfrog):
            self._descend(rows, i, self.reheat * self.leapfrog)

    def _descend(self, rows: Tensor, number: int, steps: int) -> None:
        """Step ``number`` of ``steps`` of Adam on the potential of a falling sigma."""
        layered = self.layered
        gradient: Gradient = self._gradient
        at, held = self.latents.detach(), self.held
        if layered is not None:
            at, held, gradient = layered.at, layered.anchor, layered.gradient
        betas = self.betas or (BETAS if any(self._jacobians) else SLOW_BETAS)
        moved, self.seen[rows] = self.fall.step(
            gradient, rows, at[rows], held[rows], number, steps, self.lr, betas
        )
        at[rows] = on_shell(moved, self.spans) if layered is None else moved
        self.spent[rows] += 1

    def _fits(self, energy: Tensor, more: Tensor | float, rows: Tensor) -> Tensor:
        """(n,) whether the chains ``rows`` with |r|^2 ``energy`` (n,) have that of a draw, which has ``more``
        sigma^2 than they."""
        observed = self._observed(rows)
        return energy / self.noise_std**2 + more < arrival_bound(observed) * observed

    def _newton(self, rows: Tensor) -> None:
        """Damped Gauss-Newton steps; chains that gain nothing from them are settled, and those that have
        arrived where draws follow."""
        ends = []
        for row in rows:
            u, energy, held = self.latents[row].detach(), self.seen[row], self.held[row]
            std = self._size(energy, row)
            std = torch.where(self.stalled[row], self.noise_std, std)
            end = descend(self._residual, u, row, std, self.damping[row], self.prior[0], held)
            last = std <= self.noise_std * 1.001
            norm = (self.prior[0] * (end.u - held).square()).sum()
            value = end.energy / (2 * std.square()) + norm / 2 + end.gain
            stalled = ~last & (end.gain < STALLED * value)
            given_up = self.stalled[row] & (end.gain < STALLED * value)
            settled = last & ((end.gain < SETTLED) | given_up)
            stalled = self.stalled[row] | stalled
            ends.append((end.u, end.energy, end.damping, end.determined, settled, stalled))
        u, energy, damping, self.determined[rows], settled, stalled = (
            torch.stack(part) for part in zip(*ends, strict=True)
        )
        self.latents[rows] = on_shell(u, self.spans)
        self.seen[rows], self.damping[rows] = energy, damping
        if self.trajectories:  # they begin as well a little way from the mode
            settled = settled | self._fits(energy, self.determined[rows], rows)
        self.settled[rows], self.stalled[rows] = settled, stalled
        self.spent[rows] += descent_pictures(u.shape[1]) / PICTURES

    def _move_on(self, model: QuasiNewton, rows: Tensor, number: int) -> None:
        """Moves on the model, step ``number`` of those of an attempt; chains that have arrived and gain little
        are settled, and those that will not arrive at their pace."""
        u, before = self.latents.detach()[rows], model.energy[rows].clone()
        u = model.step(u, rows, number, self.noise_std, self._observed(rows))
        now = model.energy[rows]
        self.latents[rows], self.seen[rows] = u, now
        self.spent[rows] += model.cost(number)
        if number:
            gain = (before - now) / (2 * self.noise_std**2)
            above, left = self._above(now, rows), STEPS - 1 - number
            few = GAINED if self.trajectories else SETTLED
            self.settled[rows] = torch.where(above <= 0, gain < few, above > left * gain)

    def _judge(self) -> None:
        """See who has arrived, and keep the best end of all attempts: by its potential, where none has."""
        everyone = torch.arange(len(self.seen), device=self.seen.device)
        near = self.trying & self._fits(self.seen, 0.0, everyone)
        # What is sought fits better than a draw around it.
        more = self._spread(near) if self.trajectories else 0.0
        arrived = near & self._fits(self.seen, more, everyone)
        norm = (self.prior * (self.latents.detach() - self.held).square()).sum(dim=1) / 2
        value = (self.seen / (2 * self.noise_std**2) + norm).nan_to_num(nan=torch.inf)
        better = arrived | (self.trying & (value < self.value))
        self.best = torch.where(better[:, None], self.latents.detach(), self.best)
        self.value = torch.where(better, value, self.value)
        self.found = torch.where(better, self.seen, self.found)
        self.arrived = self.arrived | arrived
        if self.step_count == self.searching - 1:
            self._settle()

    def _spread(self, near: Tensor) -> Tensor:
        """(N,) by how much |r|^2 / sigma^2 of a draw will exceed that of the chains ``near`` (N,)."""
        rows = near.nonzero()[:, 0]
        if self.many and len(rows):  # Jacobians that the draws need, too
            u = self.latents[rows].detach()
            if self.model is None:
                at = linearized(self._residual, u, rows)
                self.spent[rows] += self.measurement
            else:
                at = self.model.linearized(u, rows)
            std = torch.full_like(at.energy, self.noise_std)
            self.determined[rows] = determined(curvature(at.square, std))
            self.seen[rows] = at.energy
            if self.ahead is None:
                square = self.latents.new_zeros(*self.latents.shape, self.latents.shape[1])
                self.ahead = torch.zeros_like(self.latents), square
            for whole, part in zip(self.ahead, (at.slope, at.square), strict=True):
                whole[rows] = part
        return self.determined

    def _linearized(self, rows: Tensor) -> Linearized:
        """What is known of the chains that have arrived is not measured again."""
        if self.ahead is None:
            return super()._linearized(rows)
        slope, square = self.ahead
        others = (~self.arrived).nonzero()[:, 0]
        energy, self.ahead = self.seen.clone(), None
        if len(others):
            energy[others], slope[others], square[others] = super()._linearized(others)
        return Linearized(energy, slope, square)

    def _settle(self) -> None:
        """The end of the search: each chain is at its best place, or at one of its picture that has arrived."""
        arrived = self._of_pictures(self.arrived)
        uniform = self.streams.uniform(1 + self.step_count, 1, Purpose.RESAMPLE)
        weight = arrived.to(uniform)[:, None]
        other = chosen(weight, self._of_pictures(uniform))[..., 0].clamp(max=self.company - 1)
        own = torch.arange(self.company, device=other.device).expand_as(other)
        stays = arrived | ~arrived.any(dim=1, keepdim=True)
        first = self.company * torch.arange(len(own), device=own.device)[:, None]
        source = (first + torch.where(stays, own, other)).flatten()
        self.latents.copy_(self.best[source])
        self.seen, self.arrived = self.found[source], self.arrived[source]
        if self.ahead is not None:
            self.ahead = self.ahead[0][source], self.ahead[1][source]
        if self.model is not None:
            self.model.release()

    def diagnostics(self) -> dict[str, Tensor]:
        """Adds ``attempts`` made, (N,), to those of :class:`.local.LocalDraws`."""
        return {**super().diagnostics(), "attempts": self.tries}
