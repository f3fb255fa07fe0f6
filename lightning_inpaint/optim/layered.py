"""A descent through a layer: where the first part of a generator costs little beside the rest.

The generator is outer(inner(u)); StyleGAN's mapping network is such an inner part. It bends far more than the
outer part does over the places w = inner(u) that fit a picture, so that a descent in u takes thousands of
steps. Here most of them cost no picture. The outer part alone is linearised, as in the Gauss-Newton method for
composite functions (Burke and Ferris 1995, Math. Program. 71). With Q the quadratic model of |r|^2 around w, a
move goes where a descent in u finds Q(inner(u)) lowest, if the true potential is lower there. Each asks for
one gradient, from which Q learns, whether it was lower or not (BFGS; damped after Powell 1978, Lect. Notes
Math. 630), so that one Jacobian serves all moves of an attempt. Trust in Q grows and falls with what moves
achieve (Levenberg 1944; Marquardt 1963).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .base import InnerLayer
from .gauss_newton import WIDTH, Linearized, linearized, secants
from .local import PICTURES
from .radius import Span, on_shell
from .reheating import Gradient, gradient_of
from .tempered import TemperedDescent

__all__ = ["STEPS", "LayeredDescent"]

MOVES = 16  # in a step of an attempt
STEPS = 8  # of an attempt, at most
LANDING = 2000  # steps of Adam from a prior draw to where the first model is lowest
MOVE = 100  # steps of Adam in a move
RATE, SMALL = 0.1, 0.01  # of Adam in the landing and in moves, in prior standard deviations
BETAS = (0.9, 0.9)
HELD = 0.5  # of the prior draw that v begins at: chains of a picture come from different places
HOT = 10  # times sigma, at least: where the landing begins
EASED, HARDER = 1 / 1.5, 3.0  # factors of the damping after a move that succeeded, that failed
SOFTEST, HARDEST = 0.02, 100.0
BENT = 0.2  # of the model's curvature along a move, at least: what a lesson leaves of it


class LayeredDescent:
    """Chains that come down through an inner layer, each by itself.

    It begins where a descent in standard normal v by :meth:`gradient` has brought :attr:`at`. Steps of an
    attempt follow (:meth:`step`): the first begins with :meth:`land`, all make moves.

    Args:
        layer: the generator's parts.
        u: (N, D), for shapes.
        precision: (1, D), p of the term sum_i p_i u_i^2 / 2 beside |r|^2 / (2 sigma^2).
        spans: latents that count by direction (``radius.py``).

    Attributes:
        at: (N, d), v, and from the first measurement on the w that the model is around.
        anchor: (N, d), what v is held to.
        energy: (N,), |r|^2 at w.
        slope: (N, d), J^T r at w.
        square: (N, d, d), J^T J where it was measured, and what moves have taught since.
        damping: (N,), share of J^T J that is added to it.
    """

    LIVE = ("at", "anchor", "energy", "slope", "square", "damping")

    def __init__(self, layer: InnerLayer, u: Tensor, precision: Tensor, spans: list[Span]) -> None:
        self.layer, self.precision, self.spans = layer, precision, spans
        self.at = u.new_zeros(len(u), layer.size)
        self.anchor = torch.zeros_like(self.at)
        self.energy, self.slope = u.new_zeros(len(u)), torch.zeros_like(self.at)
        self.square = u.new_zeros(len(u), layer.size, layer.size)
        self.damping = u.new_zeros(len(u))

    def cost(self, number: int) -> float:
        """Evaluations of :meth:`step`."""
        jacobian = (self.layer.size + 1) / PICTURES
        move, land = (1 + steps * self.layer.cost for steps in (MOVE, LANDING))
        return MOVES * move + (0 if number else jacobian + land)

    def residual(self, v: Tensor, rows: Tensor) -> Tensor:
        """Residuals (n, V) at w like the prior's, of ``v`` (n, d)."""
        return self.layer.residual(self.layer.around(v, rows), rows)

    def gradient(self, v: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """|r|^2 (n,) at those w, and its gradient (n, d) in v."""
        return gradient_of(self.residual, v, rows)

    def begin(self, v: Tensor, rows: Tensor) -> None:
        """At prior draws ``v`` (n, d), half held to them (Oliver et al. 1996, see ``mode.py``)."""
        self.at[rows], self.anchor[rows] = v, HELD * v

    def step(self, u: Tensor, rows: Tensor, number: int, std: float, values: Tensor) -> Tensor:
        """Step ``number`` of an attempt: moves, before the first a landing.

        Args:
            u: (n, D): before the landing prior draws, else where the chains are.
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

    def measure(self, w: Tensor, rows: Tensor) -> None:
        """The model of |r|^2 around ``w`` (n, d)."""
        found = linearized(self.layer.residual, w, rows, WIDTH * self.layer.spread)
        self.energy[rows], self.slope[rows], self.square[rows] = found
        self.at[rows], self.damping[rows] = w, 1.0

    def _model(self, rows: Tensor, damping: Tensor | float) -> Gradient:
        """Q(inner(u)) with its gradient, at ``u`` (n, D) of the chains ``rows``; ``damping`` is (n, 1)."""
        base, energy, slope = self.at[rows], self.energy[rows], self.slope[rows]
        square = self.square[rows]  # gathered once, it is large

        def gradient(u: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                leaf = u.detach().requires_grad_(True)
                w = self.layer.inner(leaf, rows)
            away = w.detach() - base
            bent = (square @ away[..., None])[..., 0] * (1 + damping)
            (grad,) = torch.autograd.grad(w, leaf, 2 * (slope + bent))
            return energy + (away * (2 * slope + bent)).sum(dim=1), grad

        return gradient

    def _along(
        self,
        u: Tensor,
        rows: Tensor,
        hot: Tensor,
        std: float,
        steps: int,
        lr: float | Tensor,
        damping: Tensor | float,
    ) -> Tensor:
        """Adam on the model, from ``u`` (n, D) at a sigma that falls from ``hot`` (n,) to ``std``."""
        gradient, nowhere = self._model(rows, damping), torch.zeros_like(u)
        adam, everyone = TemperedDescent(u, self.precision), torch.arange(len(u), device=u.device)
        adam.begin(everyone, hot, torch.full_like(hot, std))
        for number in range(steps):
            u, _ = adam.step(gradient, everyone, u, nowhere, number, steps, lr, BETAS)
            u = on_shell(u, self.spans)
        return u

    def _there(self, u: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """w, |r|^2 and J^T r at ``u``."""
        with torch.no_grad():
            w = self.layer.inner(u, rows)
        energy, grad = gradient_of(self.layer.residual, w, rows)
        return w, energy, grad / 2

    def land(self, u: Tensor, rows: Tensor, std: float, values: Tensor) -> Tensor:
        """From prior draws ``u`` (n, D) to where the model around v is lowest; ``values`` (n,) are known."""
        with torch.no_grad():
            w = self.layer.around(self.at[rows], rows)
        self.measure(w, rows)
        size = (self._model(rows, 0.0)(u, rows)[0].clamp(min=0) / values).sqrt()
        u = self._along(u, rows, size.clamp(min=HOT * std), std, LANDING, RATE, 0.0)
        self.at[rows], self.energy[rows], self.slope[rows] = self._there(u, rows)
        return u

    def move(self, u: Tensor, rows: Tensor, std: float) -> Tensor:
        """A move of the chains at ``u`` (n, D), or none."""
        damping = self.damping[rows]
        start = torch.full_like(damping, std)
        lr = SMALL / damping.clamp(min=1)[:, None]
        end = self._along(u, rows, start, std, MOVE, lr, damping[:, None])
        w, energy, slope = self._there(end, rows)
        self.learn(rows, w - self.at[rows], slope - self.slope[rows])
        better = self._potential(energy, end, std) < self._potential(self.energy[rows], u, std)
        easier = damping * (HARDER + (EASED - HARDER) * better)
        self.damping[rows] = easier.clamp(SOFTEST, HARDEST)
        column = better[:, None]
        self.at[rows] = torch.where(column, w, self.at[rows])
        self.slope[rows] = torch.where(column, slope, self.slope[rows])
        self.energy[rows] = torch.where(better, energy, self.energy[rows])
        return torch.where(column, end, u)

    def learn(self, rows: Tensor, steps: Tensor, changes: Tensor) -> None:
        """The model's curvature along moves ``steps`` (n, d), from the ``changes`` (n, d) of the slope; chain by
        chain, so that its bytes do not depend on its batch."""
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

    def _potential(self, energy: Tensor, u: Tensor, std: float) -> Tensor:
        return energy / (2 * std**2) + (self.precision * u.square()).sum(dim=1) / 2

    def linearized(self, u: Tensor, rows: Tensor) -> Linearized:
        """Of the chains at ``u`` (n, D), where moves have brought them, by the last Jacobian."""
        across = torch.stack(
            [secants(self.layer.inner, *one)[1] for one in zip(u, rows, strict=True)]
        )
        slope = (across @ self.slope[rows][..., None])[..., 0]
        return Linearized(self.energy[rows], slope, across @ self.square[rows] @ across.mT)

    def release(self) -> None:
        """Give the models' memory back."""
        self.square = self.square[:0].clone()
