"""Latents that count by their direction alone, and the exact treatment of their radius.

StyleGAN's mapping network begins by scaling z to unit mean square, so a picture does not change with
|z|. Under the prior the radius of such a row is independent of its direction, and given the
picture it is still chi-distributed. Left to an optimiser, the prior pulls it to 0; left to a
preconditioned chain, it hardly moves, for the mass fits the stiff directions of the row. Drawing it
afresh is an exact Gibbs step that costs no evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Span", "on_shell", "ratio_to", "row_norms", "spans_of"]


class Span(NamedTuple):
    """Latents ``start`` to ``stop`` hold rows of ``width`` values; each row counts by its direction."""

    start: int
    stop: int
    width: int


def spans_of(
    blocks: Sequence[Sequence[int]] | None, scale_free: Sequence[int] | None
) -> list[Span]:
    """The spans of some blocks.

    Args:
        blocks: shapes of the consecutive pieces of the latents.
        scale_free: numbers of the blocks whose rows (along their last dimension) count by direction.

    Raises:
        ValueError: there is no block of that number.
    """
    if not scale_free:
        return []
    shapes = [tuple(shape) for shape in blocks or ()]
    spans = []
    for i in scale_free:
        if not 0 <= i < len(shapes):
            raise ValueError(f"scale_free names block {i}, but there are {len(shapes)} blocks")
        start = sum(math.prod(shape) for shape in shapes[:i])
        spans.append(Span(start, start + math.prod(shapes[i]), shapes[i][-1]))
    return spans


def row_norms(u: Tensor, span: Span) -> Tensor:
    """Norms of the rows of a span of ``u`` (N, D): (N, rows)."""
    return u[:, span.start : span.stop].unflatten(1, (-1, span.width)).norm(dim=2)


def ratio_to(u: Tensor, span: Span, norms: Tensor) -> Tensor:
    """Factors (N, span) that give the rows of ``u`` these ``norms`` (N, rows)."""
    tiny = torch.finfo(u.dtype).tiny
    ratio = norms / row_norms(u, span).clamp(min=tiny)
    return ratio[:, :, None].expand(-1, -1, span.width).flatten(1)


def on_shell(u: Tensor, spans: Sequence[Span]) -> Tensor:
    """``u`` (N, D) with the rows of its spans at the prior's root-mean-square radius."""
    if not spans:
        return u
    u = u.clone()
    for span in spans:
        norms = torch.full_like(row_norms(u, span), span.width**0.5)
        u[:, span.start : span.stop] *= ratio_to(u, span, norms)
    return u
