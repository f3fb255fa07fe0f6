"""A descent on a quadratic model that learns from its moves: where a Jacobian is dear, one serves an attempt.

With Q the quadratic model of |r|^2 around a place, a move goes where Q and the prior are lowest together, if
the true potential is lower there. Each move asks for one gradient, from which Q learns, whether it was lower or
not (BFGS; damped after Powell 1978, Lect. Notes Math. 630). Trust in Q grows and falls with what moves achieve
(Levenberg 1944; Marquardt 1963).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .gauss_newton import WIDTH, Linearized, Residual, linearized
from .local import PICTURES
from .radius import Span, on_shell
from .reheating import gradient_of

__all__ = ["MOVES", "STEPS", "QuasiNewton"]

MOVES = 16  # in a step of an attempt
STEPS = 8  # of an attempt, at most
BENT = 0.2  # of the model's curvature along a move, at least: what a lesson leaves of it


class QuasiNewton:
    """Chains that come down by moves on models of their own.

    Steps of an attempt follow a descent (:meth:`step`): the first begins with :meth:`land`, all make moves.

    Args:
        residual: see :data:`.gauss_newton.Residual`.
        size: d, values of a place; here the chain's latents.
        u: (N, D), for shapes.
        precision: (1, D), p of the term sum_i p_i (u_i - a_i)^2 / 2 beside |r|^2 / (2 sigma^2).
        spans: latents that count by direction (``radius.py``).
        width: of the Jacobian's secants.

    Attributes:
        held: (N, D), a.
        at: (N, d), the place that the model is around.
        energy: (N,), |r|^2 there.
        slope: (N, d), J^T r there.
        square: (N, d, d), J^T J where it was measured, and what moves have taught since.
        damping: (N,), share of the mean curvature that is added to every direction.
    """

    FIRST = 0.01  # damping
    EASED, HARDER = 1 / 3, 10.0  # its factors after a move that succeeded, that failed
    SOFTEST, HARDEST = 1e-6, 1e4

    LIVE: tuple[str, ...] = ("held", "at", "energy", "slope", "square", "damping")

    def __init__(
        self,
        residual: Residual,
        size: int,
        u: Tensor,
        precision: Tensor,
        spans: list[Span],
        width: float = WIDTH,
    ) -> None:
        self._residual, self.size, self.spans, self.width = residual, size, spans, width
        self.precision, self.held = precision, torch.zeros_like(u)
        self.at = u.new_zeros(len(u), size)
        self.energy, self.slope = u.new_zeros(len(u)), torch.zeros_like(self.at)
        self.square = u.new_zeros(len(u), size, size)
        self.damping = u.new_zeros(len(u))

    def cost(self, number: int) -> float:
        """Evaluations of :meth:`step`."""
        return MOVES + (0 if number else (self.size + 1) / PICTURES)

    def step(self, u: Tensor, rows: Tensor, number: int, std: float, values: Tensor) -> Tensor:
        """Step ``number`` of an attempt: moves, before the first a landing.

        Args:
            u: (n, D), where the chains are.
            rows: (n,), which.
            number: from 0 to :data:`STEPS`.
            std: sigma.
            values: (n,), how many are known.
        """
        if number == 0:
            u = self.land(u, rows, std, values)
        for _ in range(MOVES):
            u = self.move(u, rows, std)
        return u

    def measure(self, place: Tensor, rows: Tensor) -> None:
        """The model of |r|^2 around ``place`` (n, d)."""
        found = linearized(self._residual, place, rows, self.width)
        self.energy[rows], self.slope[rows], self.square[rows] = found
        self.at[rows], self.damping[rows] = place, self.FIRST

    def land(self, u: Tensor, rows: Tensor, std: float, values: Tensor) -> Tensor:
        """To where moves begin: here with the first model, at ``u`` (n, D)."""
        self.measure(u, rows)
        return u

    def lowest(self, u: Tensor, rows: Tensor, std: float) -> Tensor:
        """Where the damped model and the prior are lowest together, (n, D), of the chains at ``u`` (n, D)."""
        ends = []
        for place, row in zip(u, rows, strict=True):
            bent = self.square[row] / std**2
            more = self.damping[row] * bent.diagonal().mean()
            bent.diagonal().add_(self.precision[0] + more)
            factor, wrong = torch.linalg.cholesky_ex(bent)
            slope = self.slope[row] / std**2 + self.precision[0] * (place - self.held[row])
            away = torch.cholesky_solve(slope[:, None], factor)[:, 0]
            ends.append(place - torch.where(wrong == 0, away, 0.0))
        return on_shell(torch.stack(ends), self.spans)

    def there(self, u: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The place (n, d) that ``u`` (n, D) stands for, |r|^2 and J^T r there."""
        energy, grad = gradient_of(self._residual, u, rows)
        return u, energy, grad / 2

    def move(self, u: Tensor, rows: Tensor, std: float) -> Tensor:
        """A move of the chains at ``u`` (n, D), or none."""
        damping = self.damping[rows]
        end = self.lowest(u, rows, std)
        place, energy, slope = self.there(end, rows)
        self.learn(rows, place - self.at[rows], slope - self.slope[rows])
        before = self._potential(self.energy[rows], u, rows, std)
        better = self._potential(energy, end, rows, std) < before
        change = self.HARDER + (self.EASED - self.HARDER) * better
        self.damping[rows] = (damping * change).clamp(self.SOFTEST, self.HARDEST)
        column = better[:, None]
        self.at[rows] = torch.where(column, place, self.at[rows])
        self.slope[rows] = torch.where(column, slope, self.slope[rows])
        self.energy[rows] = torch.where(better, energy, self.energy[rows])
        return torch.where(column, end, u)

    def learn(self, rows: Tensor, steps: Tensor, changes: Tensor) -> None:
        """The model's curvature along moves ``steps`` (n, d), from the ``changes`` (n, d) of the slope.

        Chain by chain, so that its bytes do not depend on its batch.
        """
        for row, step, seen in zip(rows, steps, changes, strict=True):
            square = self.square[row]
            thought = square @ step
            bent, true = step @ thought, step @ seen
            share = torch.where(true < BENT * bent, (1 - BENT) * bent / (bent - true), 1.0)
            taught = torch.lerp(thought, seen, share)
            more = torch.outer(taught, taught) / (step @ taught)
            update = more - torch.outer(thought, thought) / bent
            sound = update.isfinite().all() & (bent > 0)  # no move teaches nothing
            self.square[row] = square + torch.where(sound, update, 0.0)

    def _potential(self, energy: Tensor, u: Tensor, rows: Tensor, std: float) -> Tensor:
        away = (u - self.held[rows]).square()
        return energy / (2 * std**2) + (self.precision * away).sum(dim=1) / 2

    def linearized(self, u: Tensor, rows: Tensor) -> Linearized:
        """What is known of the chains at ``u`` (n, D), where moves have brought them."""
        return Linearized(self.energy[rows], self.slope[rows], self.square[rows])

    def release(self) -> None:
        """Give the models' memory back."""
        self.square = self.square[:0].clone()
