"""A descent through a layer: where the first part of a generator costs little beside the rest.

The generator is outer(inner(u)); StyleGAN's mapping network is such an inner part. It bends far more than the
outer part does over the places w = inner(u) that fit a picture, so that a descent in u takes thousands of
steps. Here most of them cost no picture. The outer part alone is linearised, as in the Gauss-Newton method for
composite functions (Burke and Ferris 1995, Math. Program. 71). With Q the quadratic model of |r|^2 around w, a
move goes where a descent in u finds Q(inner(u)) lowest; of moves and what they teach see ``quasi_newton.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .base import InnerLayer
from .gauss_newton import WIDTH, Linearized, secants
from .quasi_newton import MOVES, QuasiNewton
from .radius import Span, on_shell
from .reheating import Gradient, gradient_of
from .tempered import TemperedDescent

__all__ = ["LayeredDescent"]

LANDING = 2000  # steps of Adam from a prior draw to where the first model is lowest
MOVE = 100  # steps of Adam in a move
RATE, SMALL = 0.1, 0.01  # of Adam in the landing and in moves, in prior standard deviations
BETAS = (0.9, 0.9)
HELD = 0.5  # of the prior draw that v begins at: chains of a picture come from different places
HOT = 10  # times sigma, at least: where the landing begins


class LayeredDescent(QuasiNewton):
    """Chains that come down through an inner layer, each by itself.

    It begins where a descent in standard normal v by :meth:`gradient` has brought :attr:`at`.

    Args:
        layer: the generator's parts.
        u: (N, D), for shapes.
        precision: (1, D), p of the term sum_i p_i u_i^2 / 2 beside |r|^2 / (2 sigma^2).
        spans: latents that count by direction (``radius.py``).

    Attributes:
        at: (N, d), v, and from the first measurement on the w that the model is around.
        anchor: (N, d), what v is held to.
        damping: (N,), share of J^T J that is added to it: Adam's steps are bounded as they are.
    """

    FIRST = 1.0
    EASED, HARDER = 1 / 1.5, 3.0
    SOFTEST, HARDEST = 0.02, 100.0

    LIVE = (*QuasiNewton.LIVE, "anchor")

    def __init__(self, layer: InnerLayer, u: Tensor, precision: Tensor, spans: list[Span]) -> None:
        super().__init__(layer.residual, layer.size, u, precision, spans, WIDTH * layer.spread)
        self.layer = layer
        self.anchor = torch.zeros_like(self.at)

    def cost(self, number: int) -> float:
        """Evaluations of :meth:`step`."""
        landing = 0 if number else 1 + LANDING * self.layer.cost
        return super().cost(number) + MOVES * MOVE * self.layer.cost + landing

    def residual(self, v: Tensor, rows: Tensor) -> Tensor:
        """Residuals (n, V) at w like the prior's, of ``v`` (n, d)."""
        return self.layer.residual(self.layer.around(v, rows), rows)

    def gradient(self, v: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """|r|^2 (n,) at those w, and its gradient (n, d) in v."""
        return gradient_of(self.residual, v, rows)

    def begin(self, v: Tensor, rows: Tensor) -> None:
        """At prior draws ``v`` (n, d), half held to them (Oliver et al. 1996, see ``mode.py``)."""
        self.at[rows], self.anchor[rows] = v, HELD * v

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

    def there(self, u: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """w, |r|^2 and J^T r at ``u``."""
        with torch.no_grad():
            w = self.layer.inner(u, rows)
        return super().there(w, rows)

    def land(self, u: Tensor, rows: Tensor, std: float, values: Tensor) -> Tensor:
        """From prior draws ``u`` (n, D) to where the model around v is lowest; ``values`` (n,) are known."""
        with torch.no_grad():
            w = self.layer.around(self.at[rows], rows)
        self.measure(w, rows)
        size = (self._model(rows, 0.0)(u, rows)[0].clamp(min=0) / values).sqrt()
        u = self._along(u, rows, size.clamp(min=HOT * std), std, LANDING, RATE, 0.0)
        self.at[rows], self.energy[rows], self.slope[rows] = self.there(u, rows)
        return u

    def lowest(self, u: Tensor, rows: Tensor, std: float) -> Tensor:
        """Where Adam comes to on the damped model, from ``u`` (n, D)."""
        damping = self.damping[rows]
        lr = SMALL / damping.clamp(min=1)[:, None]
        start = torch.full_like(damping, std)
        return self._along(u, rows, start, std, MOVE, lr, damping[:, None])

    def linearized(self, u: Tensor, rows: Tensor) -> Linearized:
        """Of the chains at ``u`` (n, D), where moves have brought them, by the last Jacobian."""
        across = torch.stack(
            [secants(self.layer.inner, *one)[1] for one in zip(u, rows, strict=True)]
        )
        slope = (across @ self.slope[rows][..., None])[..., 0]
        return Linearized(self.energy[rows], slope, across @ self.square[rows] @ across.mT)
