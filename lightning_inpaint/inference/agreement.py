"""Whether the chains of a picture agree: R-hat and effective sample size of a walk's draws."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..optim.base import ChainOptimizer
from .diagnostics import bulk_ess, split_rhat, tail_ess
from .posterior import Posterior

__all__ = ["DrawRecorder", "agreement"]

MOST_DRAWS = 64
FEWEST_DRAWS = 8
CELLS = 4
LARGEST = 100.0  # stands for infinity, of chains that never move


class DrawRecorder:
    """Keeps, of up to 64 draws per chain, the energy and the colours of the hole, 4x4 cells of them.

    The hole is what a user compares, and the energy what the sampler sees. Each draw is decoded once more,
    without gradients: a few per cent of the walk.

    Args:
        posterior: decodes.
        optimizer: says from which step on its states are draws.

    Attributes:
        wanted: numbers of the steps whose states are kept; empty where there are too few.
    """

    def __init__(self, posterior: Posterior, optimizer: ChainOptimizer) -> None:
        self.posterior = posterior
        first, last = optimizer.draws_from, optimizer.steps
        # decoding would draw from a stream of noise inputs that the walk goes on with
        available = last - first if first is not None and posterior.deterministic else 0
        every = max(1, math.ceil(available / MOST_DRAWS))
        enough = available // every >= FEWEST_DRAWS
        self.wanted = range(last - available, last, every) if enough else range(0)
        self.hole = 1 - posterior.observation.known
        self.area = F.adaptive_avg_pool2d(self.hole, CELLS).clamp(min=1e-6)
        self.seen: list[Tensor] = []

    @torch.no_grad()
    def see(self, step: int, energy: Tensor, u: Tensor) -> None:
        """Keep the state after ``step`` (from 0), if it is wanted: energies (N,), latents (N, D)."""
        if step not in self.wanted:
            return
        pictures, _ = self.posterior.outcome(u.detach())
        colours = F.adaptive_avg_pool2d(pictures * self.hole, CELLS) / self.area
        self.seen.append(torch.cat([energy[:, None], colours.flatten(1)], dim=1))

    def draws(self) -> Tensor | None:
        """(T, N, 1 + cells): what was kept; None where the sampler makes too few draws."""
        return torch.stack(self.seen) if self.seen else None


def agreement(draws: Tensor, chains: int) -> dict[str, Tensor]:
    """Split R-hat, bulk and tail effective sample size per picture, repeated for its chains.

    Of the energy and of the median cell of the hole the worse one counts: a maximum over all cells
    would be large by chance alone.

    Args:
        draws: (T, N, 1 + cells) of :class:`DrawRecorder`, a picture's chains in neighbouring rows.
        chains: chains per picture, at least 2.

    Returns:
        ``rhat`` (1 in agreement, at most 100) and ``ess`` and ``tail_ess`` (of all chains together), each
        (N,); NaN where every quantity is constant or the picture has a draw that is not finite.
    """
    values = draws.cpu().double().unflatten(1, (-1, chains)).transpose(1, 2)  # (T, K, n, cells)
    rhat = split_rhat(values).nan_to_num(nan=math.nan, posinf=LARGEST).clamp(max=LARGEST)
    ess, tail = bulk_ess(values), tail_ess(values)
    worst = torch.stack([rhat[:, 0], rhat[:, 1:].nanmedian(dim=1).values])
    least = torch.stack([ess[:, 0], ess[:, 1:].nanmedian(dim=1).values])
    rarest = torch.stack([tail[:, 0], tail[:, 1:].nanmedian(dim=1).values])
    found = {
        "rhat": worst.nan_to_num(nan=-math.inf).amax(dim=0),
        "ess": least.nan_to_num(nan=math.inf).amin(dim=0),
        "tail_ess": rarest.nan_to_num(nan=math.inf).amin(dim=0),
    }
    astray = ~values.isfinite().all(dim=3).flatten(0, 1).all(dim=0)
    known = {k: v.masked_fill(v.isinf() | astray, math.nan) for k, v in found.items()}
    return {k: v.repeat_interleave(chains).to(draws) for k, v in known.items()}
