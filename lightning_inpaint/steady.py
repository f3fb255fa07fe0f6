"""Arithmetic that does not depend on how many rows a batch has, nor on where a row stands in it.

A processor computes the last few values of an array, and products of few rows or on several threads, by
other code than the rest, whose rounding differs in the last digit. A hundred steps of a chain amplify that to
visible differences. Filled up to whole vectors and to products of one shape, and cut again, every value comes
from the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["ROWS", "SteadyLinear", "elementwise", "product"]

ROWS = 8
"""Products of a multiple of so many rows, on one thread, are computed alike by most processors."""

_BLOCK = 16  # rows of a product of its own: a Xeon with AMX computes 8 otherwise
_LANES = 16  # float32 in the widest vectors
_ALONE = 2048  # values that one thread computes


def product(
    x: Tensor,
    matrix: Tensor,
    bias: Tensor | None = None,
    *,
    beta: float = 1.0,
    alpha: float = 1.0,
) -> Tensor:
    """``alpha x @ matrix + beta bias``, each row as in any other batch.

    Args:
        x: (N, I).
        matrix: (I, O).
        bias: (O,), or None; ``beta`` and ``alpha`` are for it alone.

    Returns:
        (N, O).

    Raises:
        RuntimeError: rows and matrix do not fit each other.
    """
    if x.shape[1] != len(matrix):  # a batched product would speak of its blocks
        shapes = f"rows of shape {(*x.shape,)}, matrix of shape {(*matrix.shape,)}"
        raise RuntimeError(shapes)
    if x.device.type != "cpu":
        return x @ matrix if bias is None else torch.addmm(bias, x, matrix, beta=beta, alpha=alpha)
    # Products of one shape, each by one thread: libraries go other ways for other shapes.
    n = len(x)
    blocks = max(-(-n // _BLOCK), torch.get_num_threads())
    x = F.pad(x, (0, 0, 0, blocks * _BLOCK - n)).unflatten(0, (blocks, _BLOCK))
    matrices = matrix.expand(blocks, -1, -1)
    if bias is None:
        return torch.bmm(x, matrices).flatten(0, 1)[:n]
    return torch.baddbmm(bias, x, matrices, beta=beta, alpha=alpha).flatten(0, 1)[:n]


class SteadyLinear(TorchFunctionMode):
    """In this context linear layers of any network take their products in steady ones (:func:`product`).

    It sees every operation, which is lost time on devices other than a CPU.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.linear:
            return _linear(*args, **kwargs or {})
        return func(*args, **kwargs or {})


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear``, each row as in any other batch."""
    if weight.ndim < 2:
        return F.linear(input, weight, bias)
    rows = product(input.reshape(-1, input.shape[-1]), weight.T, bias)
    return rows.reshape(*input.shape[:-1], len(weight))


def elementwise(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function(x)`` of a function like ``torch.log``, each value wherever it stands."""
    values = x.numel()
    threads = torch.get_num_threads() if values > _ALONE else 1
    short = -values % (_LANES * threads) if x.device.type == "cpu" else 0
    if not short:
        return function(x)
    return function(F.pad(x.reshape(-1), (0, short)))[:values].view(x.shape)
