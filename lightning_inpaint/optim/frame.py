"""Coordinates in which a Gaussian of a given precision is standard, and trajectories in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .hmc import Point, log_accept, trajectory

__all__ = ["Frame", "Journey", "factored", "journey"]

JITTER = 0.2  # share by which angles vary from trajectory to trajectory


def factored(precision: Tensor) -> Tensor:
    """L of A = L L^T, (n, D, D), of ``precision`` A (n, D, D); the identity where there is none."""
    factor, wrong = torch.linalg.cholesky_ex(precision)
    eye = torch.eye(precision.shape[-1]).to(factor)
    return torch.where((wrong == 0)[..., None, None], factor, eye)


class Frame(NamedTuple):
    """Coordinates w of u = c + L^-T w: N(c, (L L^T)^-1) in u is N(0, I) in w.

    Attributes:
        centre: (N, D), c.
        factor: (N / k, D, D), L, lower triangular; k neighbouring chains have one in common.
    """

    centre: Tensor
    factor: Tensor

    def rows(self, groups: Tensor) -> Tensor:
        """Numbers of the rows whose factors ``groups`` are."""
        company = len(self.centre) // len(self.factor)
        return (groups[:, None] * company + torch.arange(company, device=groups.device)).flatten()

    def _grouped(self, x: Tensor) -> Tensor:
        return x.unflatten(0, (len(self.factor), -1)).mT

    def place(self, w: Tensor) -> Tensor:
        """u (N, D) of coordinates ``w`` (N, D)."""
        away = torch.linalg.solve_triangular(self.factor.mT, self._grouped(w), upper=True)
        return self.centre + away.mT.flatten(0, 1)

    def coordinates(self, u: Tensor) -> Tensor:
        """w (N, D) of places ``u`` (N, D)."""
        return (self.factor.mT @ self._grouped(u - self.centre)).mT.flatten(0, 1)

    def slope(self, gradient: Tensor) -> Tensor:
        """The gradient (N, D) in w of a function whose ``gradient`` (N, D) in u is given."""
        turned = torch.linalg.solve_triangular(self.factor, self._grouped(gradient), upper=False)
        return turned.mT.flatten(0, 1)

    def rest(self, potential: Tensor, gradient: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """What ``potential`` (N,), with its ``gradient`` (N, D) in u, is beside the Gaussian at ``w`` (N, D):
        its value (N,) and its gradient (N, D) in w."""
        return potential - w.square().sum(dim=1) / 2, self.slope(gradient) - w


class Journey(NamedTuple):
    """A trajectory from end to end.

    Attributes:
        place: (N, D), where it ends.
        energy: (N,), there.
        grad: (N, D), of the energy there.
        log_ratio: (N,) float64, of the Metropolis test of this end.
    """

    place: Tensor
    energy: Tensor
    grad: Tensor
    log_ratio: Tensor


def journey(
    gradient: Callable[..., tuple[Tensor, Tensor]],
    frame: Frame,
    std: float | Tensor,
    at: tuple[Tensor, Tensor, Tensor],
    momentum: Tensor,
    angle: Tensor,
    chance: Tensor,
    leapfrog: int,
    further: Sequence[Tensor] = (),
) -> Journey:
    """A trajectory under E / (2 sigma^2) + |u|^2 / 2: the frame's Gaussian by rotations, the rest by kicks.

    Args:
        gradient: places (N, D) to energies (N,) and their gradients (N, D); of some, with their numbers (n,)
            as a second argument, where trajectories go further.
        frame: of the coordinates.
        std: sigma, one for all or (N,).
        at: places (N, D), their energies and gradients.
        momentum: (N, D), standard normal.
        angle: (N,), of a rotation.
        chance: (N,), uniform numbers by which the angles vary.
        leapfrog: rotations, an evaluation each.
        further: numbers of the factors whose chains make as many rotations again; once for each time.
    """
    swing = (1 + JITTER * (2 * chance - 1)).to(momentum)
    turn = (angle * swing)[:, None]
    twice = 2 * std**2
    everywhere = twice if isinstance(twice, Tensor) else momentum.new_full((len(momentum),), twice)

    def rest(
        frame: Frame, variance: Tensor, end: Sequence[Tensor], w: Tensor
    ) -> tuple[Tensor, Tensor]:
        place, energy, grad = end
        value = energy / variance + place.square().sum(dim=1) / 2
        return frame.rest(value, grad / variance[:, None] + place, w)

    def leg(
        frame: Frame, start: Point, turn: Tensor, variance: Tensor, *rows: Tensor
    ) -> tuple[Point, list[Tensor]]:
        end: list[Tensor] = []

        def potential(w: Tensor) -> tuple[Tensor, Tensor]:
            place = frame.place(w)
            end[:] = place, *gradient(place, *rows)
            return rest(frame, variance, end, w)

        return trajectory(potential, start, turn, leapfrog), end

    w = frame.coordinates(at[0])
    old = Point(w, momentum, *rest(frame, everywhere, at, w))
    new, end = leg(frame, old, turn, everywhere)
    for groups in further:
        rows = frame.rows(groups)
        part = Frame(frame.centre[rows], frame.factor[groups])
        went, last = leg(part, Point(*(x[rows] for x in new)), turn[rows], everywhere[rows], rows)
        new = Point(*(x.index_copy(0, rows, y) for x, y in zip(new, went, strict=True)))
        end = [x.index_copy(0, rows, y) for x, y in zip(end, last, strict=True)]
    return Journey(end[0], end[1], end[2], log_accept(old, new))
