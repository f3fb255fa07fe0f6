"""Chains that start near a completion somebody likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import UserError

__all__ = ["ALIKE", "start_near"]

ALIKE = 0.9
"""Correlation of a chain's start with the completion that it is to be like."""


def start_near(
    sampler: Callable[..., Any], latents: Tensor, alike: float = ALIKE
) -> Callable[..., Any]:
    """A sampler whose chains start at ``alike * latents + sqrt(1 - alike^2) * draw``.

    For latents and a draw from the prior N(0, I) that is again such a draw (the proposal of Cotter et al.
    2013, "MCMC methods for functions", Stat. Sci. 28): near the completion, and plausible by itself. The
    draw is the one that the chain would have started from, so that the result depends on the seed as
    ever. Samplers that hold on to their start (``anchor="start"``) end near it; those that forget it, as
    ``HMC`` does in time, end anywhere in the posterior.

    Args:
        sampler: what would be used; takes the chains (N, D) in its first parameter group.
        latents: (D,), a row of ``Completions.latents``.
        alike: in [0, 1]: 1 starts all chains at the completion, 0 takes no notice of it.

    Raises:
        UserError: ``alike`` is out of range, or ``latents`` is no single row of finite numbers.
    """
    if not 0 <= alike <= 1:
        raise UserError(f"alike is {alike}, and must be 0 to 1.")
    row = torch.as_tensor(latents).detach().float()
    if row.ndim != 1 or not bool(row.isfinite().all()):
        raise UserError(
            f"like has the shape {tuple(row.shape)}: give the latents of one completion, "
            "such as result.latents[0, 2]."
        )

    def make(groups: Sequence[Any]) -> Any:
        chains = groups[0]["params"]
        chains = chains if isinstance(chains, Tensor) else chains[0]
        if chains.numel() > 1:  # one number is a module's look at what the sampler is
            _check(row, chains.shape[1])
            with torch.no_grad():
                chains.mul_((1 - alike**2) ** 0.5).add_(row.to(chains), alpha=alike)
        return sampler(groups)

    return make


def _check(row: Tensor, size: int) -> None:
    if len(row) != size:
        raise UserError(
            f"like has {len(row)} latents, and these settings have {size}: take a completion of the same "
            "generator, with the same `latents`."
        )
