"""What the processes of a job tell each other."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from ..errors import UserError

__all__ = ["gather"]

T = TypeVar("T")


def gather(value: T) -> list[T]:
    """The values of all processes, by rank. Every process must call it, and it waits for them.

    Raises:
        UserError: One of them has ended.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [value]
    values: list[Any] = [None] * torch.distributed.get_world_size()
    try:
        torch.distributed.all_gather_object(values, value)
    except RuntimeError as error:
        raise UserError(
            "Another process of this job has ended early, and this one with it: see what the other has "
            "said, if it could, and start the same command again (finished pictures are kept)."
        ) from error
    return values
