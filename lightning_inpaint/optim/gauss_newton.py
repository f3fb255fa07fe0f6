"""Gauss-Newton steps over a few hundred latents, damped after Levenberg and Marquardt.

The potential is ``|r(u)|^2 / (2 sigma^2) + |u|^2 / 2`` with the residual r = M^(1/2) (G(u) - y) of the known
values. Its Gauss-Newton curvature A = I + J^T J / sigma^2 is positive definite whatever r is, and where the
residual is noise alone it is the posterior's own (Levenberg 1944; Marquardt 1963; Nocedal and Wright 2006,
"Numerical Optimization", chapter 10).

Columns of J are secants, one picture each: they ask nothing of a network but pictures, and a secant of
width h sees past the kinks of its ReLUs. The work is done row by row, so that a chain's bytes do not depend on
its batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .frame import factored

__all__ = [
    "Descent",
    "Linearized",
    "Residual",
    "curvature",
    "descend",
    "descent_pictures",
    "determined",
    "linearized",
    "residuals",
    "secants",
]

Residual = Callable[[Tensor, Tensor], Tensor]
"""``(u, rows)``: latents (n, D) of the chains with numbers ``rows`` (n,) to residuals (n, V) of their known
values, the weights' square roots included."""

WIDTH = 3e-3  # of a secant, in prior standard deviations
STEPS = 3  # of a descent, with one Jacobian
LADDER = tuple(5.0**i for i in range(-4, 4))  # dampings that a step tries, times the last one's
TOGETHER, VALUES = 64, 2**20  # pictures of one chain that are made at a time, and values of them


class Linearized(NamedTuple):
    """What a Gauss-Newton step needs to know of each chain, at sigma = 1.

    Attributes:
        energy: (n,), |r|^2.
        slope: (n, D), J^T r.
        square: (n, D, D), J^T J.
    """

    energy: Tensor
    slope: Tensor
    square: Tensor


@torch.no_grad()
def residuals(residual: Residual, points: Tensor, row: Tensor) -> Tensor:
    """Residuals (n, V) of one chain, number ``row``, at ``points`` (n, D), a few pictures at a time."""
    first = residual(points[:8], row.expand(len(points[:8])))
    size = max(8, min(TOGETHER, VALUES // first.shape[1] // 8 * 8))
    rest = (residual(part, row.expand(len(part))) for part in points[8:].split(size) if len(part))
    return torch.cat([first, *rest])


@torch.no_grad()
def secants(
    residual: Residual, u: Tensor, row: Tensor, width: float = WIDTH
) -> tuple[Tensor, Tensor]:
    """Residual (V,) of one chain and its Jacobian, transposed (D, V), by D + 1 pictures.

    Args:
        residual: see :data:`Residual`.
        u: (D,), the chain.
        row: (), its number.
        width: of the secants.
    """
    points = torch.cat([u[None], u + width * torch.eye(len(u), device=u.device, dtype=u.dtype)])
    values = residuals(residual, points, row)
    return values[0], (values[1:] - values[0]).div_(width)


@torch.no_grad()
def linearized(residual: Residual, u: Tensor, rows: Tensor, width: float = WIDTH) -> Linearized:
    """The chains ``rows`` (n,) at ``u`` (n, D), one by one: D + 1 pictures each."""
    found = []
    for chain, row in zip(u, rows, strict=True):
        r, jt = secants(residual, chain, row, width)
        found.append((r.square().sum(), jt @ r, jt @ jt.T))
    energy, slope, square = (torch.stack(part) for part in zip(*found, strict=True))
    return Linearized(energy, slope, square)


def curvature(square: Tensor, std: Tensor) -> Tensor:
    """A = I + J^T J / sigma^2, (n, D, D), of ``square`` (n, D, D) and sigma ``std`` (n,)."""
    eye = torch.eye(square.shape[1], device=square.device, dtype=square.dtype)
    return eye + square / std.square()[:, None, None]


def determined(bent: Tensor) -> Tensor:
    """How many latents the known values determine, (...) of the curvature A (..., D, D): D - tr A^-1.

    It is MacKay's gamma (1992, Neural Comput. 4, eq. 4.9). By so much sigma^2 the squared residual of a draw
    lies above that of the mode, in the mean.
    """
    inverse = torch.cholesky_inverse(factored(bent))
    return bent.shape[-1] - inverse.diagonal(dim1=-2, dim2=-1).sum(dim=-1)


class Descent(NamedTuple):
    """Where a chain is after some damped steps.

    Attributes:
        u: (D,).
        energy: (), |r|^2.
        gain: (), decrease of the potential ``|r|^2 / (2 sigma^2) + |u|^2 / 2``.
        damping: (), of the last step.
        determined: (), how many latents the known values determine, at the first point (:func:`determined`).
    """

    u: Tensor
    energy: Tensor
    gain: Tensor
    damping: Tensor
    determined: Tensor


def descent_pictures(size: int, steps: int = STEPS) -> int:
    """Pictures that :func:`descend` makes in ``size`` latents."""
    return size + 1 + steps * len(LADDER)


@torch.no_grad()
def descend(
    residual: Residual,
    u: Tensor,
    row: Tensor,
    std: Tensor,
    damping: Tensor,
    prior: Tensor | None = None,
    anchor: Tensor | None = None,
    steps: int = STEPS,
    width: float = WIDTH,
) -> Descent:
    """Damped Gauss-Newton steps of one chain with one Jacobian, mended after each by Broyden's rank-one update.

    A step tries :data:`LADDER` dampings at once and takes the best point, if it is better than where the chain
    is. What was tried teaches the Jacobian either way (Broyden 1965, Math. Comp. 19).
    :func:`descent_pictures` says what it costs.

    Args:
        residual: see :data:`Residual`.
        u: (D,), the chain.
        row: (), its number.
        std: (), sigma.
        damping: (), share of the mean curvature that is added to every direction.
        prior: (D,), p of a term p_i (u_i - a_i)^2 / 2 in place of |u|^2 / 2; None = ones.
        anchor: (D,), a; None = 0.
        steps: how many.
        width: of the secants.
    """
    r, jt = secants(residual, u, row, width)
    ladder = torch.tensor(LADDER).to(u)
    rows = row.expand(len(ladder))
    eye = torch.eye(len(u), device=u.device, dtype=u.dtype)
    p = torch.ones_like(u) if prior is None else prior
    a = torch.zeros_like(u) if anchor is None else anchor

    def potential(energy: Tensor, at: Tensor) -> Tensor:
        whole = energy / (2 * std.square()) + (p * (at - a).square()).sum(dim=-1) / 2
        return whole.nan_to_num(nan=torch.inf)

    energy = r.square().sum()
    first = before = potential(energy, u)
    for number in range(steps):
        bent = eye + jt @ jt.T / std.square()
        if number == 0:
            count = determined(bent)
        slope = jt @ r / std.square() + p * (u - a)
        tried = (damping * ladder).clamp(1e-6, 1e6)
        more = (tried * bent.diagonal().mean())[:, None, None] * eye
        factor, _ = torch.linalg.cholesky_ex(bent + more)
        moves = -torch.cholesky_solve(slope[None, :, None].expand(len(ladder), -1, -1), factor)[
            ..., 0
        ]
        ends = residual(u + moves, rows)
        energies = ends.square().sum(dim=1)
        values = potential(energies, u + moves)
        best = values.argmin()
        better = values[best] < before
        move, end = moves[best], ends[best]
        if number + 1 < steps:
            missing = (end - r - jt.T @ move) / move.square().sum().clamp(min=1e-12)
            jt = jt + (move[:, None] * missing).nan_to_num(0.0, 0.0, 0.0)
        u, r = torch.where(better, u + move, u), torch.where(better, end, r)
        energy = torch.where(better, energies[best], energy)
        before = torch.where(better, values[best], before)
        damping = torch.where(better, tried[best], tried[-1])
    return Descent(u, energy, first - before, damping, count)
