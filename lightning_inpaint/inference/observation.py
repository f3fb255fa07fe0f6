"""The likelihood of the known pixels.

y = M * x + sigma * eps with M = 1 where a pixel is **known** (users' masks say the opposite:
1 = fill; :func:`known_weight` is the one place that turns them round). With pictures in [-1, 1] the
energy is E = sum M (G(u) - y)^2 and log p(y | u) = -E / (2 sigma^2) + const.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..images.levels import from_uint8
from ..optim.base import arrival_bound

__all__ = ["Observation", "arrival", "known_psnr", "known_weight", "masked_squared_error"]


def known_weight(mask: Tensor) -> Tensor:
    """Weight of each pixel in the likelihood: ``1 - mask``.

    Args:
        mask: (N, 1, H, W) in [0, 1], **1 = fill, 0 = known**; grey values count in part.
    """
    return 1 - mask


class Observation(NamedTuple):
    """What is known about each chain's picture, one row per chain.

    Attributes:
        target: float (N, C, H, W) in [-1, 1].
        known: float (N, 1, H, W), weight in the likelihood, **1 = known, 0 = to fill**.
        labels: int64 (N,), or None for an unconditional generator.
        gain: (N, k, k) of a :class:`.discrepancy.Discrepancy`, or None without one.
    """

    target: Tensor
    known: Tensor
    labels: Tensor | None
    gain: Tensor | None = None

    @classmethod
    def of(cls, image: Tensor, mask: Tensor, labels: Tensor | None, chains: int) -> Observation:
        """Repeat each picture for its chains.

        Args:
            image: uint8 (N, C, H, W), or float in [-1, 1].
            mask: (N, 1, H, W), **1 = fill, 0 = known**.
            labels: (N * chains,) class of each chain, or None.
            chains: chains per picture; those of one picture are neighbouring rows.
        """
        floating = image if image.is_floating_point() else from_uint8(image)
        known = known_weight(mask.float())
        return cls(
            floating.repeat_interleave(chains, dim=0),
            known.repeat_interleave(chains, dim=0),
            labels,
        )

    def select(self, rows: Tensor) -> Observation:
        """The observation of the chains ``rows`` (indices, or a boolean tensor)."""
        labels = None if self.labels is None else self.labels[rows]
        gain = None if self.gain is None else self.gain[rows]
        return Observation(self.target[rows], self.known[rows], labels, gain)

    @property
    def values(self) -> Tensor:
        """(N,), how many values of each picture are known; grey masks count in part."""
        return self.known.sum(dim=(1, 2, 3)) * self.target.shape[1]


def masked_squared_error(pictures: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Energy of each picture: the squared error summed over its known values.

    Args:
        pictures: (N, C, H, W), generated, in about [-1, 1].
        target: (N, C, H, W), the given pictures in [-1, 1].
        known: (N, 1, H, W), **1 = known, 0 = to fill** (see :func:`known_weight`).

    Returns:
        (N,): never averaged over the batch, so that pictures do not influence each other.
    """
    return ((pictures - target).square() * known).sum(dim=(1, 2, 3))


def known_psnr(energy: Tensor, known: Tensor, channels: int) -> Tensor:
    """Peak signal-to-noise ratio on the known pixels.

    Args:
        energy: (N,) from :func:`masked_squared_error`, pictures in [-1, 1] (peak-to-peak 2).
        known: (N, 1, H, W), 1 = known.
        channels: picture channels.

    Returns:
        (N,) in dB, ``10 log10(4 / mean squared error)``; NaN where nothing is known.
    """
    values = known.sum(dim=(1, 2, 3)) * channels
    nothing = torch.full_like(energy, float("nan"))
    return torch.where(values > 0, 10 * torch.log10(4 * values / energy.clamp(min=1e-12)), nothing)


def arrival(
    energy: Tensor, known: Tensor, channels: int, noise_std: float
) -> tuple[Tensor, Tensor]:
    """Whether chains match the known values as well as a draw of the posterior does.

    Args:
        energy: (N,) from :func:`masked_squared_error`.
        known: (N, 1, H, W), **1 = known**.
        channels: picture channels.
        noise_std: of a known value, pictures in [-1, 1].

    Returns:
        chi2 (N,), the squared residual of the known values over ``noise_std``^2, per value: near 1 in
        equilibrium, less at a mode. And (N,) 1 where a chain has *arrived*: chi2 below 1 + 3 sqrt(2 / values),
        three standard deviations of it, else 0. Both are NaN where nothing is known.
    """
    values = known.sum(dim=(1, 2, 3)) * channels
    nothing = torch.full_like(energy, float("nan"))
    chi2 = torch.where(values > 0, energy / (values * noise_std**2), nothing)
    arrived = (chi2 < arrival_bound(values)).to(energy)
    return chi2, torch.where(values > 0, arrived, nothing)
