"""Coordinates in which a Gaussian of a given precision is standard."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Frame", "factored"]


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
