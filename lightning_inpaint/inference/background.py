"""Values fetched from the device without waiting for it."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

__all__ = ["Background"]


class Background:
    """One tensor on its way from the device, again and again."""

    def __init__(self) -> None:
        self._sent: deque[tuple[Tensor, torch.cuda.Event]] = deque()
        self._known: Tensor | None = None

    def exchange(self, value: Tensor) -> Tensor | None:
        """Send ``value`` off; returns, on the CPU, the last one that has arrived, None before the first."""
        if not value.is_cuda:
            return value
        # A device is many steps behind the host: those on their way are kept until they are there.
        while self._sent and self._sent[0][1].query():
            self._known = self._sent.popleft()[0]
        copied = value.to("cpu", non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._sent.append((copied, arrived))
        return self._known
