"""Chains that went astray start again, with smaller steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .walk import Walk

__all__ = ["ATTEMPTS", "chain_number", "restart_failed", "shell_limit"]

ATTEMPTS = 3
"""How often a chain starts again, with half the step each time."""

_APART = 1 << 20  # chain numbers of the n-th restart begin at n times this

Again = Callable[[Tensor, int], Walk]
"""(rows, attempt = 1, 2, ...) to a walk of these rows from other random numbers."""


def chain_number(chain: int, attempt: int) -> int:
    """The number that keys the random stream of a chain's n-th restart (0 = its first start)."""
    return chain + attempt * _APART


def shell_limit(dim: int) -> float:
    """The largest |u|^2 / D of a chain that still counts as one.

    Prior draws lie on a shell of |u|^2 / D = 1: by the bound of Laurent and Massart 2000 (Ann. Stat.
    28, lemma 1) one beyond 1 + 2 sqrt(t/D) + 2 t/D has a chance below e^-t; t = 50. Four times that
    leaves room for pictures unlike the generator's, and none for a chain that runs away.
    """
    t = 50 / dim
    return 4 * (1 + 2 * t**0.5 + 2 * t)


def restart_failed(walked: Walk, again: Again, together: int = 1) -> tuple[Walk, list[str]]:
    """Let chains that are not finite, or far outside the prior's shell, walk again.

    Args:
        walked: all chains.
        again: makes them walk, with half the step at each attempt.
        together: neighbouring rows that depend on each other, and so start again together.

    Returns:
        The walk with the new chains in their places, and per chain ``"ok"``, ``"restarted"`` or
        ``"failed: reason"``.
    """
    status = ["ok"] * len(walked.energy)
    for attempt in range(1, ATTEMPTS + 1):
        failed = _astray(walked).unflatten(0, (-1, together)).any(dim=1)
        rows = failed.repeat_interleave(together).nonzero()[:, 0]
        if len(rows) == 0:
            break
        walked = walked.replace_rows(rows, again(rows, attempt))
        for row in rows.tolist():
            status[row] = "restarted"
    for row in _astray(walked).nonzero()[:, 0].tolist():
        status[row] = f"failed: {_reason(walked, row)}"
    return walked, status


def _astray(walked: Walk) -> Tensor:
    size = walked.latents.square().mean(dim=1)
    return ~(walked.finite & (size <= shell_limit(walked.latents.shape[1])))


def _reason(walked: Walk, row: int) -> str:
    if not bool(torch.isfinite(walked.energy[row])):
        return "the energy is not finite"
    size = float(walked.latents[row].square().mean())
    return f"the latents left the prior's shell (|u|^2/D = {size:.3g}, prior draws have 1)"
