"""From tensor records to tensors, every size checked before memory is taken."""

from __future__ import annotations

import io
import math
from typing import Any

import torch
from torch import Tensor

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators.checkpoints.records import (
    StorageBytes,
    StorageRecord,
    TensorRecord,
)
from lightning_inpaint.generators.checkpoints.torch_files import is_torch_file, read_torch_file

__all__ = ["to_tensor"]


def to_tensor(record: TensorRecord, *, source: str) -> Tensor:
    """Copy a tensor out of the file.

    Args:
        record: as read; its sizes are not trusted.
        source: the file's name, for the error sentence.

    Returns:
        A contiguous tensor on the CPU.

    Raises:
        UserError: sizes are impossible, reach beyond the storage, or repeat its values.
    """
    storage = record.storage
    if isinstance(storage, StorageBytes):
        values = _inner(storage, source)
    else:
        raw = bytearray(storage.read())
        values = (
            torch.frombuffer(raw, dtype=storage.dtype)
            if raw
            else torch.empty(0, dtype=storage.dtype)
        )
    size, stride, offset = record.size, record.stride, record.offset
    if not _fits(size, stride, offset, values.numel()):
        raise UserError(
            f"{source}: damaged or forged: a tensor reaches beyond the values stored for it; "
            "fetch or export it again."
        )
    return values.as_strided(size, stride, offset).contiguous().clone()


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
    """One storage in torch's old form: our reader checks it, torch's ``weights_only`` one loads it."""
    data = memoryview(storage.data)
    record = read_torch_file(data, source=source) if is_torch_file(data) else None
    if not isinstance(record, StorageRecord):
        raise UserError(f"{source}: damaged or forged: a tensor's bytes are not a torch storage.")
    loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return torch.empty(0, dtype=record.dtype).set_(loaded)  # type: ignore[call-overload]
