"""Latents that a generator was trained with, as functions of Gaussian ones.

Samplers walk in u ~ N(0, I). A network that was trained with z of another distribution gets z = T(u), T
smooth, so that z has its distribution and everything said of u stays true: the posterior of u is that of
the network's own prior, seen through T.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from ..errors import ArgumentError

__all__ = ["PRIORS", "SCALE_FREE", "LatentPrior", "prior_map"]

LatentPrior = Literal["gaussian", "uniform", "uniform01", "sphere", "large_sphere"]


def _gaussian(u: Tensor) -> Tensor:
    return u


def _uniform(u: Tensor) -> Tensor:
    return torch.erf(u / math.sqrt(2))  # 2 Phi(u) - 1


def _uniform01(u: Tensor) -> Tensor:
    return (1 + torch.erf(u / math.sqrt(2))) / 2


def _sphere(u: Tensor) -> Tensor:
    return u / u.norm(dim=1, keepdim=True).clamp(min=1e-12)


def _large_sphere(u: Tensor) -> Tensor:
    return _sphere(u) * math.sqrt(u.shape[1])


PRIORS: dict[str, Callable[[Tensor], Tensor]] = {
    "gaussian": _gaussian,
    "uniform": _uniform,
    "uniform01": _uniform01,
    "sphere": _sphere,
    "large_sphere": _large_sphere,
}
"""N(0, I); U(-1, 1); U(0, 1); the unit sphere; the sphere of radius sqrt(D). Each maps (N, D) to (N, D)."""

SCALE_FREE = ("sphere", "large_sphere")
"""Those where the length of u does not count."""


def prior_map(name: str) -> Callable[[Tensor], Tensor]:
    """The map of a prior.

    Raises:
        ArgumentError: there is none of this name.
    """
    if name not in PRIORS:
        raise ArgumentError(f"`latent_prior` is {name!r}; it must be one of {', '.join(PRIORS)}")
    return PRIORS[name]
