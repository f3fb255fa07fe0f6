"""Values fetched from the device without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Background"]


class Background:
    """One tensor on its way from the device, again and again."""

    def __init__(self) -> None:
        self._sent: Tensor | None = None
        self._arrived: torch.cuda.Event | None = None
        self._known: Tensor | None = None

    def exchange(self, value: Tensor) -> Tensor | None:
        """Send ``value`` off; returns, on the CPU, the last one that has arrived, None before the first."""
        if not value.is_cuda:
            return value
        if self._sent is not None and self._arrived is not None and self._arrived.query():
            self._known = self._sent
        self._sent = value.to("cpu", non_blocking=True)
        self._arrived = torch.cuda.Event()
        self._arrived.record()
        return self._known
