"""A smooth field between the generator and the picture, integrated out in closed form.

Reality is the generator's picture and a discrepancy (Kennedy and O'Hagan 2001, JRSS B 63): the known values
are y = G(u) + B c + sigma eps with c ~ N(0, I) for each channel and B c a Gaussian field of low frequencies.
For a given u the field has a closed form, so that no latents are added: with r = M^(1/2) (y - G(u)), and B
weighted alike,

    c = (B^T B + sigma^2 I)^(-1) B^T r,
    E = |r - B c|^2 + sigma^2 |c|^2 = sigma^2 r^T (sigma^2 I + B B^T)^(-1) r

(Woodbury), and -E / (2 sigma^2) is the log-likelihood up to a constant of u. E is the squared length of one
vector, linear in r: least squares sees it as it sees a residual.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import ArgumentError
from .observation import Observation

__all__ = ["Discrepancy", "cosines", "discrepancy_of"]

FREQUENCIES = 16  # of the field along a side, half periods


def cosines(side: int, count: int) -> Tensor:
    """The first ``count`` rows of the orthonormal discrete cosine transform (type II) of ``side`` places."""
    place = (torch.arange(side, dtype=torch.float64) + 0.5) * math.pi / side
    rows = torch.cos(torch.arange(count, dtype=torch.float64)[:, None] * place)
    rows[0] *= 0.5**0.5
    return rows * (2 / side) ** 0.5


class Discrepancy:
    """A Gaussian field of zero mean over square pictures, alike and independent in each channel.

    Its power falls with the frequency f as 1 / (1 + f^2), as that of natural pictures does (Field 1987, J. Opt.
    Soc. Am. A 4), up to 16 half periods along a side, so it is smooth.

    Args:
        std: tau, its standard deviation, a mean over the picture, pictures in [-1, 1].
        noise_std: sigma of what is left, in the same unit.
        side: of the pictures.

    Attributes:
        basis: B^T, (k, side * side).
    """

    def __init__(self, std: float, noise_std: float, side: int) -> None:
        self.std, self.noise_std = std, noise_std
        count = min(side, FREQUENCIES)
        rows, f = cosines(side, count), torch.arange(count, dtype=torch.float64)
        square = f[:, None].square() + f.square()
        power = (1 / (1 + square)).masked_fill(square >= count**2, 0)
        power = power * (std * side) ** 2 / power.sum()
        fields = torch.einsum("ip,jq->ijpq", rows, rows) * power.sqrt()[..., None, None]
        self.basis = fields.flatten(2)[power > 0].float()

    def gain(self, known: Tensor) -> Tensor:
        """(B^T M B + sigma^2 I)^(-1), (N, k, k), of ``known`` (N, 1, side, side), **1 = known**."""
        basis = self.basis.to(known.device).double()
        found = []
        for weight in known.flatten(1):  # alone: a picture's bytes do not depend on its batch
            square = (basis * weight.double()) @ basis.T
            square.diagonal().add_(self.noise_std**2)
            found.append(torch.cholesky_inverse(torch.linalg.cholesky(square)))
        return torch.stack(found).float()

    def observed(self, observation: Observation, chains: int = 1) -> Observation:
        """The observation with its :meth:`gain`, ``chains`` neighbouring rows a picture."""
        gain = self.gain(observation.known[::chains])
        return observation._replace(gain=gain.repeat_interleave(chains, dim=0))

    def coefficients(self, pictures: Tensor, seen: Observation) -> Tensor:
        """c, (N, C, k): the field's most probable coefficients for pictures (N, C, side, side)."""
        assert seen.gain is not None
        error = ((seen.target - pictures) * seen.known).flatten(2)
        return (error @ self.basis.to(error).T) @ seen.gain.to(error)

    def field(self, coefficients: Tensor) -> Tensor:
        """B c, (N, C, side, side)."""
        side = math.isqrt(self.basis.shape[1])
        return (coefficients @ self.basis.to(coefficients)).unflatten(2, (side, side))

    def residual(self, pictures: Tensor, seen: Observation) -> Tensor:
        """The vector (N, C * (side * side + k)) whose squared length is E: what the field leaves of the known
        values, and what it costs."""
        c = self.coefficients(pictures, seen)
        left = (pictures + self.field(c) - seen.target) * seen.known.sqrt()
        return torch.cat([left.flatten(1), self.noise_std * c.flatten(1)], dim=1)


def discrepancy_of(std: float | None, noise_std: float | None, side: int) -> Discrepancy | None:
    """The discrepancy that a user has asked for.

    Raises:
        ArgumentError: ``std`` is not positive, or sigma is not known.
    """
    if std is None:
        return None
    if not std > 0:
        raise ArgumentError(f"`discrepancy` is {std}; it must be positive, or left out")
    if noise_std is None:
        raise ArgumentError("`discrepancy` needs to know the noise: give `noise_std` as a number")
    return Discrepancy(std, noise_std, int(side))
