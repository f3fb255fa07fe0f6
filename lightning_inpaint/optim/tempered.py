"""Adam on a potential whose sigma falls, for each chain from a sigma of its own to another."""

from __future__ import annotations

import torch
from torch import Tensor

from ..steady import elementwise
from .mode import cosine_rate
from .reheating import Gradient

__all__ = ["TemperedDescent", "flat_std"]

SHARE = 0.5  # of prior draws that still count where a likelihood is called flat
FALLING = 0.9  # of the steps in which sigma falls
SLOWING = 0.25  # of the steps, the last ones, in which the rate does


def flat_std(energy: Tensor, share: float = SHARE) -> Tensor:
    """The sigma at which ``share`` of prior draws still count, by their effective sample size.

    Weights exp(-E / (2 sigma^2)) have the size (sum w)^2 / sum w^2, which grows with sigma: this is where
    tempering begins that is chosen by the energies themselves (Jasra et al. 2011, Scand. J. Stat. 38;
    Beskos et al. 2016, Ann. Appl. Probab. 26).

    Args:
        energy: (n, draws), E of draws of the prior.
        share: between 1 / draws and 1.

    Returns:
        (n,)
    """
    above = energy - energy.amin(dim=1, keepdim=True)
    low = elementwise(torch.log, above.mean(dim=1).clamp(min=1e-12).sqrt()) - 8
    high = low + 16
    for _ in range(40):
        middle = (low + high) / 2
        variance = elementwise(torch.exp, 2 * middle)[:, None]
        weight = elementwise(torch.exp, -above / (2 * variance))
        size = weight.sum(dim=1).square() / weight.square().sum(dim=1)
        enough = size > share * energy.shape[1]
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return elementwise(torch.exp, (low + high) / 2)


class TemperedDescent:
    """Chains that come down, each by itself.

    Adam's steps follow the gradient of |r(u)|^2 / (2 s^2) + sum_i p_i (u_i - a_i)^2 / 2 with a sigma s that
    falls geometrically from ``hot`` to ``cold``.

    Args:
        u: (N, D), for shapes.
        precision: (1, D), p.

    Attributes:
        hot, cold: (N,), the first and the last sigma.
        mean, square: (N, D), Adam's averages of the slope and of its square.
    """

    LIVE = ("hot", "cold", "mean", "square")

    def __init__(self, u: Tensor, precision: Tensor) -> None:
        self.precision = precision
        self.hot, self.cold = u.new_zeros(len(u)), u.new_zeros(len(u))
        self.mean, self.square = torch.zeros_like(u), torch.zeros_like(u)

    def begin(self, rows: Tensor, hot: Tensor, cold: Tensor) -> None:
        """The chains ``rows`` (n,) are to come down from ``hot`` (n,) to ``cold`` (n,)."""
        self.hot[rows], self.cold[rows] = hot, cold
        self.mean[rows] = self.square[rows] = 0.0

    def step(
        self,
        gradient: Gradient,
        rows: Tensor,
        u: Tensor,
        anchor: Tensor,
        number: int,
        steps: int,
        lr: float | Tensor,
        betas: tuple[float, float],
    ) -> tuple[Tensor, Tensor]:
        """One step of the chains ``rows`` (n,).

        Args:
            gradient: see :data:`.reheating.Gradient`.
            rows: (n,), which.
            u: (n, D), where they are.
            anchor: (n, D), a.
            number: of the step, from 0.
            steps: of the descent.
            lr: Adam's rate, one for all or (n, 1); it falls to 0 over the last quarter.
            betas: Adam's decay rates.

        Returns:
            Places (n, D), and the energies (n,) where the step was taken.
        """
        b1, b2 = betas
        energy, grad = gradient(u, rows)
        hot, cold = (elementwise(torch.log, x[rows]) for x in (self.hot, self.cold))
        std = elementwise(torch.exp, torch.lerp(hot, cold, min(1.0, number / (FALLING * steps))))
        slope = grad / (2 * std.square()[:, None]) + self.precision * (u - anchor)
        mean = b1 * self.mean[rows] + (1 - b1) * slope
        square = b2 * self.square[rows] + (1 - b2) * slope.square()
        self.mean[rows], self.square[rows] = mean, square
        rate = lr * cosine_rate(number, steps, 1.0, SLOWING) / (1 - b1 ** (number + 1))
        root = (square / (1 - b2 ** (number + 1))).sqrt() + 1e-8
        return u - rate * mean / root, energy
