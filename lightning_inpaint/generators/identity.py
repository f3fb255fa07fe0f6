"""Which generator it is: a check sum over its weights."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

__all__ = ["weights_digest"]


def weights_digest(generator: nn.Module) -> str:
    """SHA-256 over the names, shapes and values of all weights, whatever device they are on."""
    digest = hashlib.sha256(type(generator).__name__.encode())
    for name, tensor in sorted(generator.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(values.shape)}{values.dtype}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
