"""Batches that do not fit into memory: completed in parts."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..errors import worded

__all__ = ["BatchSplitter", "is_out_of_memory", "part_of"]

_SENTENCES = (
    "out of memory",  # CUDA, MPS, XPU
    "can't allocate memory",  # torch's allocator for the CPU
    "not enough memory",  # the same on Windows
    "ALLOC_FAILED",  # cuDNN, cuBLAS
)


class Part:
    """Some pictures of a batch, and the context in which they are completed.

    Running out of memory ends the context with a note instead of an exception.

    Attributes:
        batch: entries of one value per picture.
        problem: what was said of memory, if it ran out.
    """

    def __init__(self, batch: dict[str, Any]) -> None:
        self.batch = batch
        self.problem: str | None = None

    def __enter__(self) -> Part:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: Any) -> bool:
        if error is None or not is_out_of_memory(error):
            return False
        self.problem = _sentence(error)
        return True


class BatchSplitter:
    """Cuts batches into as few parts as memory allows.

    A part that does not fit is halved, down to one picture; a picture that does not fit alone is noted
    and left out. The size that fits is remembered, so that later batches do not fail first. Chains
    have streams of their own, so results do not depend on the cut (but for rounding).

    Attributes:
        fits: largest number of pictures to try at once; None = no batch has been too large yet.
        failures: (id, reason) of the pictures that did not fit alone.

    Example::

        for part in splitter(batch):
            with part:
                done.append(complete(part.batch))
    """

    def __init__(self) -> None:
        self.fits: int | None = None
        self.failures: list[tuple[str, str]] = []

    def __call__(self, batch: dict[str, Any]) -> Iterator[Part]:
        """The parts of a batch, each to be completed in its own context before the next.

        Args:
            batch: entries of one value per picture, ``id`` among them.
        """
        pictures, start = len(batch["id"]), 0
        while start < pictures:
            size = min(pictures - start, self.fits or pictures)
            part = Part(part_of(batch, start, start + size))
            yield part
            if part.problem is None:
                start += size
                continue
            gc.collect()  # the exception is gone, and its traceback with the tensors that it held
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if size > 1:
                self._halve(size, part.problem)
            else:
                self._leave_out(batch["id"][start], part.problem)
                start += 1

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
