"""A mixture of Gaussians, one around each mode of a picture's posterior (Laplace), and jumps between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..steady import elementwise
from .frame import factored

__all__ = ["Jump", "Mixture", "chosen", "jump"]

FLAT = 0.5  # power of the estimated weights: the estimates err by some nats
CLEAR = 2  # deviations beyond which a distance is no chance
LEAST = 1e-12


def chosen(weight: Tensor, uniform: Tensor) -> Tensor:
    """Indices (..., n) drawn by weights (..., K), not negative, with ``uniform`` numbers (..., n)."""
    edges = weight.cumsum(dim=-1)[..., None, :]
    return (edges < uniform[..., None] * edges[..., -1:]).sum(dim=-1)


class Mixture(NamedTuple):
    """Densities ``sum_k w_k N(m_k, (L_k L_k^T)^-1)``, one per picture.

    Attributes:
        centre: (pictures, K, D), m.
        factor: (pictures, K, D, D), L, lower triangular.
        log_weight: (pictures, K), of weights that sum to 1.
    """

    centre: Tensor
    factor: Tensor
    log_weight: Tensor

    @classmethod
    def around(cls, u: Tensor, curvature: Tensor, slope: Tensor, value: Tensor) -> Mixture:
        """The mixture of places near modes.

        A weight is the square root of Laplace's estimate exp(-potential) det(curvature)^(-1/2), so that modes
        of somewhat less weight are proposed, too.

        Args:
            u: (pictures, K, D), the places.
            curvature: (pictures, K, D, D), of the potential there.
            slope: (pictures, K, D), of the potential.
            value: (pictures, K), of the potential.
        """
        factor = factored(curvature)
        step = torch.cholesky_solve(slope[..., None], factor)[..., 0]
        fall = ((slope * step).sum(dim=-1) / 2).clamp(max=u.shape[-1])
        size = elementwise(torch.log, factor.diagonal(dim1=-2, dim2=-1).clamp(min=LEAST)).sum(-1)
        evidence = (FLAT * (fall - value - size)).nan_to_num(nan=-torch.inf)
        none = (evidence == -torch.inf).all(dim=-1, keepdim=True)
        weight = torch.log_softmax(torch.where(none, 0.0, evidence), dim=-1)
        return cls(u - step, factor, weight)

    def apart(self) -> Tensor:
        """(pictures,) whether two of the modes are farther apart than draws of either would be by chance."""
        away = self.centre[:, :, None] - self.centre[:, None]
        square = (away[..., None, :] @ self.factor[:, None]).square().sum(dim=(-2, -1))
        size = self.centre.shape[-1]
        # That of two draws of a Gaussian varies as 2 chi2 of D: mean 2 D, variance 8 D.
        bound = 2 * size + CLEAR * (8 * size) ** 0.5
        return (torch.minimum(square, square.mT) > bound).flatten(1).any(dim=1)

    def log_terms(self, u: Tensor) -> Tensor:
        """log of w_k N(u; m_k, ...) but for (2 pi)^(-D/2), float64 (pictures, n, K), at ``u``
        (pictures, n, D)."""
        terms = []
        for k in range(self.centre.shape[1]):
            factor = self.factor[:, k].double()
            away = (u.double() - self.centre[:, k : k + 1].double()) @ factor
            size = factor.diagonal(dim1=-2, dim2=-1).clamp(min=LEAST).log().sum(-1)
            weight = (self.log_weight[:, k].double() + size)[:, None]
            terms.append(weight - away.square().sum(dim=-1) / 2)
        return torch.stack(terms, dim=-1)

    def draw(self, which: Tensor, numbers: Tensor) -> Tensor:
        """Draws (pictures, chains, n, D).

        Args:
            which: (pictures, chains, n), uniform numbers that choose the modes.
            numbers: (pictures, chains, n, D), standard normal.
        """
        weight = elementwise(torch.exp, self.log_weight.double())
        choice = chosen(weight[:, None], which)
        flat = numbers.flatten(1, 2).mT
        out = torch.zeros_like(numbers)
        for k in range(self.centre.shape[1]):
            away = torch.linalg.solve_triangular(self.factor[:, k].mT, flat, upper=True)
            place = away.mT.view_as(numbers) + self.centre[:, k, None, None]
            out = torch.where((choice == k)[..., None], place, out)
        return out


class Jump(NamedTuple):
    """What a jump gave.

    Attributes:
        place: (n, D), where each chain is now.
        moved: (n,), whether that is another place than before.
        chance: (n,) float64, that it would be.
    """

    place: Tensor
    moved: Tensor
    chance: Tensor


def jump(
    mixture: Mixture,
    u: Tensor,
    which: Tensor,
    numbers: Tensor,
    potential: Callable[[Tensor], Tensor],
) -> Jump:
    """One step of iterated sampling importance resampling (Andrieu, Lee and Vihola 2018, Bernoulli 24).

    Args:
        mixture: what places are drawn from.
        u: (n, D), the chains, as many of each picture.
        which: (n, 1 + jumps), uniform numbers: the first chooses the place, the others a mode each.
        numbers: (n, jumps, D), standard normal.
        potential: places (n, 1 + jumps, D) to their potentials, float64.
    """
    chains = len(u) // len(mixture.centre)
    modes, own = which[:, 1:].unflatten(0, (-1, chains)), numbers.unflatten(0, (-1, chains))
    places = torch.cat([u[:, None], mixture.draw(modes, own).flatten(0, 1)], dim=1)
    together = places.unflatten(0, (-1, chains)).flatten(1, 2)
    proposal = torch.logsumexp(mixture.log_terms(together), dim=2).view(places.shape[:2])
    weight = -potential(places) - proposal
    weight = torch.where(weight.isfinite(), weight, -torch.inf)
    none = ~weight.isfinite().any(dim=1)
    weight[:, 0] = torch.where(none, 0.0, weight[:, 0])
    share = elementwise(torch.exp, weight - weight.amax(dim=1, keepdim=True))
    choice = chosen(share, which[:, :1])
    place = places.gather(1, choice[..., None].expand(-1, 1, u.shape[1]))[:, 0]
    return Jump(place, choice[:, 0] > 0, 1 - share[:, 0] / share.cumsum(dim=1)[:, -1])
