"""Random streams keyed by (seed, picture id): independent of order, batch mates and processes."""

import hashlib

import numpy as np
import torch

__all__ = ["numpy_stream", "stream_key", "torch_stream"]


def stream_key(seed: int, *parts: str) -> int:
    """Hash a seed and any number of names into a 128-bit integer, the same on every machine.

    Python's own `hash` is salted per process, hence blake2b. Parts are length-prefixed, so that
    ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.blake2b(str(int(seed)).encode(), digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest(), "little")


def numpy_stream(seed: int, *parts: str) -> np.random.Generator:
    """NumPy generator of the stream (seed, parts)."""
    return np.random.Generator(np.random.PCG64(stream_key(seed, *parts)))


def torch_stream(seed: int, *parts: str) -> torch.Generator:
    """CPU torch generator of the stream (seed, parts)."""
    return torch.Generator().manual_seed(stream_key(seed, *parts) % 2**63)
