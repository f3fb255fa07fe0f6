"""Diagonal preconditioning: the Fisher information of the known pixels about each latent.

In the latent space of a generator the curvature of the energy spans many orders of magnitude (a z
moves every pixel, a slack value hardly one). With J the Jacobian of the picture and W the weights
of the known pixels, the Gauss-Newton curvature of E / (2 sigma^2) has the diagonal

    F_i = (J^T W J)_ii / sigma^2 = E_eps[(J^T W^(1/2) eps)_i^2] / sigma^2,   eps ~ N(0, I)

(Hutchinson 1989; Bekas et al. 2007). Each probe is one backward pass. The scale of a latent is then
(1 + F_i)^(-1/2), with 1 the curvature of the prior.

Probes are noisy (P of them have a relative deviation of sqrt(2 / P)), so each estimate is drawn to a
smooth model of its own block of latents, never to other chains: a picture's result must not depend
on its batch mates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from .base import ChainContext, ChainOptimizer

__all__ = [
    "Preconditioner",
    "SquaredProbe",
    "check_preconditioner",
    "fisher_diagonal",
    "latent_scale",
    "measure_fisher",
    "shrink",
]

Preconditioner = Literal["fisher", "none"]
SquaredProbe = Callable[[Tensor, int], Tensor]


def check_preconditioner(name: str, probes: int, context: ChainContext) -> None:
    """Raise ValueError unless a sampler in this context can have this preconditioner."""
    if name not in get_args(Preconditioner):
        raise ValueError(f"preconditioner must be 'fisher' or 'none', got {name!r}")
    if probes < 1:
        raise ValueError(f"probes must be at least 1, got {probes}")
    if name == "fisher" and context.probe is None:
        raise ValueError(
            "preconditioner='fisher' needs the context's 'probe', a function (u, draw) -> "
            "squared probes; got None"
        )


"""``probe(u, draw)``: (N, D), (J^T W^(1/2) eps)^2 at latents ``u`` (N, D); eps ~ N(0, I) over the
picture's values is a function of (chain, draw) alone."""


def _local_model(block: Tensor) -> Tensor:
    """A smooth model of positive values (N, *shape) that has few degrees of freedom.

    Vectors: their mean. Rows of vectors: each row's mean. Maps (h, w): a 3x3 average. Stacks of maps
    (h, w, C): a channel factor times a 3x3 average of the mean map.
    """
    if block.ndim <= 3 and (block.ndim == 2 or block.shape[1] != block.shape[2]):
        return block.mean(dim=-1, keepdim=True).expand_as(block)
    maps = block.unsqueeze(3) if block.ndim == 3 else block
    channel = maps.mean(dim=(1, 2), keepdim=True)
    mean = channel.mean(dim=3, keepdim=True).clamp(min=torch.finfo(block.dtype).tiny)
    field = F.avg_pool2d(maps.mean(dim=3), 3, 1, 1, count_include_pad=False)[..., None]
    return (channel / mean * field).view_as(block)


def shrink(
    fisher: Tensor, probes: int, blocks: Sequence[Sequence[int]] | None, strength: float = 4.0
) -> Tensor:
    """Draw a noisy Fisher diagonal towards a smooth model of each block, chain by chain.

    Args:
        fisher: (N, D), the mean of ``probes`` squared probes.
        probes: how many probes it holds.
        blocks: shapes of the consecutive pieces of the D latents; None = one vector.
        strength: how many probes the model counts for.

    Returns:
        (N, D), ``(probes * fisher + strength * model) / (probes + strength)``.

    Raises:
        ValueError: the blocks do not add up to D.
    """
    shapes = [tuple(s) for s in blocks] if blocks is not None else [(fisher.shape[1],)]
    sizes = [math.prod(s) for s in shapes]
    if sum(sizes) != fisher.shape[1]:
        raise ValueError(f"blocks hold {sum(sizes)} latents, but there are {fisher.shape[1]}")
    pieces = fisher.split(sizes, dim=1)
    model = torch.cat(
        [
            _local_model(piece.unflatten(1, shape)).reshape(piece.shape)
            for piece, shape in zip(pieces, shapes, strict=True)
        ],
        dim=1,
    )
    return (probes * fisher + strength * model) / (probes + strength)


def fisher_diagonal(
    probe: SquaredProbe,
    u: Tensor,
    draws: range,
    noise_std: float,
    blocks: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Shrunken Fisher diagonal of each chain at its present point.

    Args:
        probe: squared probes of the Jacobian.
        u: (N, D) chains.
        draws: numbers of the random probes, at least one.
        noise_std: sigma of a known pixel.
        blocks: see :func:`shrink`.

    Returns:
        (N, D), at least 0; 0 where a probe is not finite.
    """
    total = torch.zeros_like(u)
    for draw in draws:
        total += probe(u, draw)
    mean = torch.nan_to_num(total / len(draws), nan=0.0, posinf=0.0)
    return shrink(mean, len(draws), blocks) / noise_std**2


def measure_fisher(sampler: ChainOptimizer, probes: int) -> Tensor:
    """The Fisher diagonal at sigma = 1 where a sampler's chains are, (N, D).

    Args:
        sampler: its context holds ``probe`` and ``blocks``; each probe counts as an evaluation.
        probes: how many; 0 = nothing is measured, and the diagonal is 0.
    """
    u, context = sampler.latents.detach(), sampler.context
    if probes == 0 or context.probe is None:
        return torch.zeros_like(u)
    draws = range(sampler.evaluations, sampler.evaluations + probes)
    sampler.evaluations += probes
    return fisher_diagonal(context.probe, u, draws, 1.0, context.blocks)


def latent_scale(fisher: Tensor) -> Tensor:
    """``(1 + F)^(-1/2)``: about the posterior standard deviation of each latent by itself."""
    return (1 + fisher).rsqrt()
