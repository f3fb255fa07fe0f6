"""float32 that means float32 on a GPU, and the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["whole_float32"]


@contextmanager
def whole_float32() -> Iterator[None]:
    """Convolutions and matrix products of float32 keep all 24 bits, and repeat bit for bit.

    torch lets cuDNN round the factors of float32 convolutions to 11 bits (TF32) and choose kernels whose sums
    have no fixed order. The first is an error of a thousandth, which a Metropolis test or a residual of
    a few grey levels sees; the second changes bytes from run to run. The caller's settings are put back.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, cudnn.deterministic, matmul.allow_tf32
    cudnn.allow_tf32, cudnn.deterministic, matmul.allow_tf32 = False, True, False
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.deterministic, matmul.allow_tf32 = before
