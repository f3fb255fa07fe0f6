"""The likelihood of an unknown sigma, integrated out under the prior 1 / sigma.

With d known values and E their squared residual, the integral over sigma of
sigma^(-d) exp(-E / (2 sigma^2)) / sigma is E^(-d/2) up to a constant (Jeffreys 1961, "Theory of Probability";
Box and Tiao 1973, "Bayesian Inference in Statistical Analysis", section 2.4): the potential is (d / 2) log E.
Where E can reach 0 that is no proper posterior. Known values are levels of 8 bits, whose rounding has the
variance q^2 = (2 / 255)^2 / 12, so E + d q^2 stands for E.

Samplers divide by 2 sigma^2. They are given ``sigma^2 d log((E + d q^2) / (d sigma^2))``, of which they make
the potential whatever their sigma is; where they anneal, the likelihood is raised to the power
(sigma / sigma_i)^2.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["ROUNDING", "Marginal"]

ROUNDING = (2 / 255) ** 2 / 12
"""Variance of what rounding to 8 bits adds, pictures in [-1, 1]."""


class Marginal(NamedTuple):
    """What a sampler of ``noise_std`` sees where sigma is unknown.

    Attributes:
        noise_std: the sampler's own.
    """

    noise_std: float

    def seen(self, energy: Tensor, values: Tensor) -> Tensor:
        """What stands for energies (N,) of so many known ``values`` (N,)."""
        mean = energy / values.clamp(min=1) + ROUNDING
        return self.noise_std**2 * values * (mean / self.noise_std**2).log()

    def energy(self, seen: Tensor, values: Tensor) -> Tensor:
        """The energies (N,) that :meth:`seen` was made of."""
        mean = self.noise_std**2 * (seen / (self.noise_std**2 * values.clamp(min=1))).exp()
        return (values * (mean - ROUNDING)).clamp(min=0)

    def precision(self, energy: Tensor, values: Tensor) -> Tensor:
        """(N,): the curvature at ``energy`` over that of a known sigma, noise_std^2 / (E / d + q^2)."""
        return self.noise_std**2 / (energy / values.clamp(min=1) + ROUNDING)
