"""Where chains start: at draws of the prior, at the best of a bank of them, or near a completion."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..noise import Purpose
from .bank import PriorBank
from .posterior import Posterior

__all__ = ["ALIKE", "bank_draws", "moved_near", "prior_draws", "row_of_latents"]

ALIKE = 0.9
"""Correlation of a chain's start with the completion that it is to be like."""


def prior_draws(posterior: Posterior) -> Tensor:
    """Latents (N, D) of N(0, I), a chain's own."""
    dtype = posterior.observation.target.dtype
    return posterior.streams.normal(0, posterior.space.dim, Purpose.START, dtype)


def bank_draws(posterior: Posterior, bank: PriorBank) -> Tensor:
    """Latents (N, D) of a bank's draws, chosen by how well they match the known pixels."""
    seen = posterior.observation
    uniform = posterior.streams.uniform(0, 1, Purpose.RESAMPLE)
    return bank.start(seen.target, seen.known, seen.labels, uniform)


def moved_near(starts: Tensor, latents: Tensor, alike: float = ALIKE) -> Tensor:
    """Starts ``alike * latents + sqrt(1 - alike^2) * starts``.

    For latents and starts from the prior N(0, I) that is again such a draw (the proposal of Cotter et al.
    2013, "MCMC methods for functions", Stat. Sci. 28): near the completion, and plausible by itself. Samplers
    that hold on to their start (``anchor="start"``) end near it; those that forget it, as ``HMC`` does in time,
    end anywhere in the posterior.

    Args:
        starts: (N, D), where the chains would start.
        latents: (D,), of the completion that they are to be like.
        alike: in [0, 1]: 1 starts all chains at the completion, 0 takes no notice of it.

    Raises:
        UserError: ``alike`` is out of range, or there are as many latents as another generator has.
    """
    if not 0 <= alike <= 1:
        raise UserError(f"alike is {alike}, and must be 0 to 1.")
    if len(latents) != starts.shape[1]:
        raise UserError(
            f"like has {len(latents)} latents, and these settings have {starts.shape[1]}: take a completion "
            "of the same generator, with the same `latents`."
        )
    return starts * (1 - alike**2) ** 0.5 + alike * latents.to(starts)


def row_of_latents(given: Any) -> Tensor:
    """Latents (D,) as a user gives them.

    Raises:
        UserError: it is no single row of finite numbers.
    """
    row = torch.as_tensor(given).detach().float()
    if row.ndim != 1 or not bool(row.isfinite().all()):
        raise UserError(
            f"like has the shape {tuple(row.shape)}: give the latents of one completion, "
            "such as result.latents[0, 2]."
        )
    return row
