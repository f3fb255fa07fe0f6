"""Batches that do not fit into memory: completed in parts."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..completions import Completions
from ..errors import worded

__all__ = ["BatchSplitter", "is_out_of_memory", "part_of"]

_SENTENCES = (
    "out of memory",  # CUDA, MPS, XPU
    "can't allocate memory",  # torch's allocator for the CPU
    "not enough memory",  # the same on Windows
    "ALLOC_FAILED",  # cuDNN, cuBLAS
)


class BatchSplitter:
    """Completes batches in as few parts as memory allows.

    A part that does not fit is halved, down to one picture; a picture that does not fit alone is noted
    and left out. The size that fits is remembered, so that later batches do not fail first. Chains
    have streams of their own, so results do not depend on the cut (but for rounding).

    Attributes:
        fits: largest number of pictures to try at once; None = no batch has been too large yet.
        failures: (id, reason) of the pictures that did not fit alone.
    """

    def __init__(self) -> None:
        self.fits: int | None = None
        self.failures: list[tuple[str, str]] = []

    def __call__(
        self, batch: dict[str, Any], complete: Callable[[dict[str, Any]], Completions]
    ) -> Completions | None:
        """Complete a batch.

        Args:
            batch: entries of one value per picture, ``id`` among them.
            complete: does the work for a batch or a part of it.

        Returns:
            The completions of the pictures that fit into memory; None where none does.
        """
        pictures, start = len(batch["id"]), 0
        parts: list[Completions] = []
        while start < pictures:
            size = min(pictures - start, self.fits or pictures)
            done, problem = _attempt(part_of(batch, start, start + size), complete)
            if done is not None:
                parts.append(done)
            elif size > 1:
                self._halve(size, problem)
                continue
            else:
                self._leave_out(batch["id"][start], problem)
            start += size
        return Completions.joined(parts) if parts else None

    def _halve(self, size: int, problem: str) -> None:
        first, self.fits = self.fits is None, (size + 1) // 2
        if first:
            warnings.warn(
                worded(
                    f"a batch of {size} pictures does not fit into memory ({problem}) and is completed in "
                    f"parts: `data.batch_size={self.fits}` or less avoids the attempt."
                ),
                stacklevel=2,
            )

    def _leave_out(self, picture: str, problem: str) -> None:
        reason = worded(f"out of memory with this picture alone ({problem}): lower `chains`.")
        self.failures.append((picture, reason))
        warnings.warn(f"{picture}: {reason}", stacklevel=2)


def part_of(batch: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Pictures ``start`` to ``stop`` of a batch; entries that are not one per picture stay whole."""
    pictures = len(batch["id"])

    def cut(value: Any) -> Any:
        listed = isinstance(value, list | tuple) or (isinstance(value, Tensor) and value.ndim > 0)
        return value[start:stop] if listed and len(value) == pictures else value

    return {key: cut(value) for key, value in batch.items()}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory has run out, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _SENTENCES)


def _sentence(error: BaseException) -> str:
    """The one of an error's sentences that is about memory."""
    sentences = str(error).replace("\n", " ").split(". ")
    about = [s for s in sentences if any(text in s for text in _SENTENCES)]
    return about[0].strip(" .")[:120] if about else type(error).__name__


def _attempt(
    batch: dict[str, Any], complete: Callable[[dict[str, Any]], Completions]
) -> tuple[Completions | None, str]:
    try:
        return complete(batch), ""
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        problem = _sentence(error)
    # only here, after the exception, has its traceback let go of the tensors
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None, problem
