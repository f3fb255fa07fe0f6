"""From tensor records to tensors, every size checked before memory is taken."""

from __future__ import annotations

import io
import math
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError
from .records import (
    StorageBytes,
    StorageRecord,
    TensorRecord,
)
from .torch_files import is_torch_file, read_torch_file

__all__ = ["TensorReader"]


class TensorReader:
    """Copies tensors out of one file, never more of them than the file can fill.

    Args:
        source: the file's name, for error sentences.
        limit: bytes of the file. One storage may back many tensors, so that a small file could ask
            for any amount of memory; all tensors together may not exceed this.
    """

    def __init__(self, source: str, limit: int) -> None:
        self.source, self.left = source, limit
        self._storages: dict[int, tuple[object, Tensor]] = {}

    def read(self, record: TensorRecord) -> Tensor:
        """A contiguous tensor on the CPU.

        Args:
            record: as read; its sizes are not trusted.

        Raises:
            UserError: sizes are impossible, reach beyond the storage, or repeat its values.
        """
        values = self._values(record.storage)
        size, stride, offset = record.size, record.stride, record.offset
        if not _fits(size, stride, offset, values.numel()):
            raise UserError(
                f"{self.source}: damaged or forged: a tensor reaches beyond the values stored for "
                "it; fetch or export it again."
            )
        self.left -= math.prod(size) * values.itemsize
        if self.left < 0:
            raise UserError(
                f"{self.source}: damaged or forged: its tensors need more memory than the file has "
                "bytes; fetch or export it again."
            )
        return values.as_strided(size, stride, offset).contiguous().clone()

    def _values(self, storage: StorageBytes | StorageRecord) -> Tensor:
        owner = storage.data if isinstance(storage, StorageBytes) else storage
        if id(owner) not in self._storages:
            values = self._load(storage)
            # The owner is kept too, so that its id stays its own.
            self._storages[id(owner)] = (owner, values)
        return self._storages[id(owner)][1]

    def _load(self, storage: StorageBytes | StorageRecord) -> Tensor:
        if isinstance(storage, StorageBytes):
            return _inner(storage, self.source)
        raw = bytearray(storage.read())
        if not raw:
            return torch.empty(0, dtype=storage.dtype)
        return torch.frombuffer(raw, dtype=storage.dtype)


def _fits(size: Any, stride: Any, offset: Any, numel: int) -> bool:
    if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride):
        return False
    numbers = (*size, *stride, offset)
    if len(size) > 8 or any(type(n) is not int or not 0 <= n <= numel + 1 for n in numbers):
        return False
    if 0 in size:
        return offset <= numel
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    return math.prod(size) <= numel and last < numel


def _inner(storage: StorageBytes, source: str) -> Tensor:
    """One storage in torch's old form: our reader checks it, torch's ``weights_only`` loads it."""
    data = memoryview(storage.data)
    # Never the zip form: it would reach torch's own zip reader before anything is checked.
    old_form = is_torch_file(data) and data[:2] != b"PK"
    record = read_torch_file(data, source=source) if old_form else None
    if not isinstance(record, StorageRecord):
        raise UserError(f"{source}: damaged or forged: a tensor's bytes are not a torch storage.")
    loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return torch.empty(0, dtype=record.dtype).set_(loaded)  # type: ignore[call-overload]
