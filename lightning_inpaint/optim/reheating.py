"""A way out of a valley: Hamiltonian trajectories at a sigma that is large and falls again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..steady import elementwise
from .frame import Frame, factored, journey
from .gauss_newton import Residual, curvature, linearized

__all__ = ["MEASURES", "Gradient", "Reheating", "gradient_of"]

Gradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(u, rows)``: latents (n, D) of the chains ``rows`` (n,) to their energies (n,) and gradients (n, D)."""

FIRST_ANGLE = 0.15
TARGET = 0.7  # acceptance that the angles are adapted to
MEASURES = 4  # of the curvature, at most


def gradient_of(residual: Residual, u: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """|r|^2 (n,) of the chains ``rows`` (n,) at ``u`` (n, D), and its gradient (n, D)."""
    with torch.enable_grad():
        leaf = u.detach().requires_grad_(True)
        energy = residual(leaf, rows).square().sum(dim=1)
        (grad,) = torch.autograd.grad(energy.sum(), leaf)
    return energy.detach(), grad


class Reheating:
    """Chains that go up and come down again, each by itself.

    A trajectory follows |r(u)|^2 / (2 s^2) + |u|^2 / 2 with a sigma s that falls geometrically from ``hot`` to
    ``cold``, in the coordinates of I + J^T J / s^2 with a Jacobian that is measured a few times on the way.
    This is simulated annealing (Kirkpatrick et al. 1983, Science 220): what it ends in is a place to descend
    from, not a draw.

    Attributes:
        hot, cold: (N,), the first and the last sigma.
        angle: (N,), of a rotation.
        grad: (N, D), of the energy where a chain is.
        centre: (N, D), where it was measured last.
        square: (N, D, D), J^T J there; None before the first measurement.
    """

    LIVE = ("hot", "cold", "angle", "grad", "centre", "square")

    def __init__(self, u: Tensor) -> None:
        n = len(u)
        self.hot, self.cold, self.angle = (u.new_zeros(n) for _ in range(3))
        self.grad, self.centre = torch.zeros_like(u), torch.zeros_like(u)
        self.square: Tensor | None = None

    def begin(self, rows: Tensor, hot: Tensor, cold: Tensor) -> None:
        """The chains ``rows`` (n,) are to go from ``hot`` (n,) to ``cold`` (n,)."""
        self.hot[rows], self.cold[rows], self.angle[rows] = hot, cold, FIRST_ANGLE

    def step(
        self,
        residual: Residual,
        gradient: Gradient,
        rows: Tensor,
        at: tuple[Tensor, Tensor],
        fraction: float,
        chance: Tensor,
        momentum: Tensor,
        leapfrog: int,
        measure: bool,
    ) -> tuple[Tensor, Tensor]:
        """One trajectory of the chains ``rows`` (n,), accepted or not.

        Args:
            residual: see :data:`.gauss_newton.Residual`; for the curvature.
            gradient: see :data:`Gradient`.
            rows: (n,), which.
            at: where they are, (n, D), and their energies (n,).
            fraction: of the way from hot to cold.
            chance: (n, 2), uniform numbers for the test and the angle.
            momentum: (n, D), standard normal.
            leapfrog: rotations, an evaluation each.
            measure: whether to measure the curvature here.

        Returns:
            Places (n, D) and energies (n,).
        """
        u, energy = at
        if fraction == 0:
            energy, self.grad[rows] = gradient(u, rows)
        if self.square is None:
            self.square = u.new_zeros(*self.grad.shape, u.shape[1])
        if measure:
            square = linearized(residual, u, rows).square
            self.square[rows], self.centre[rows] = square.nan_to_num(0.0, 0.0, 0.0), u
        hot, cold = (elementwise(torch.log, x[rows]) for x in (self.hot, self.cold))
        std = elementwise(torch.exp, torch.lerp(hot, cold, fraction))
        frame = Frame(self.centre[rows], factored(curvature(self.square[rows], std)))
        end = journey(
            lambda place: gradient(place, rows),
            frame,
            std,
            (u, energy, self.grad[rows]),
            momentum,
            self.angle[rows],
            chance[:, 1],
            leapfrog,
        )
        ratio = end.log_ratio
        accept = elementwise(torch.log, chance[:, 0]) < ratio
        probability = elementwise(torch.exp, ratio.clamp(max=0)).to(u)
        faster = elementwise(torch.exp, (probability - TARGET) / 2)
        self.angle[rows] = (self.angle[rows] * faster).clamp(0.005, 1.0)
        self.grad[rows] = torch.where(accept[:, None], end.grad, self.grad[rows])
        place = torch.where(accept[:, None], end.place, u)
        return place, torch.where(accept, end.energy, energy)
