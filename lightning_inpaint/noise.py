"""One stream of random numbers per (seed, picture, chain).

A counter-based generator, Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3"), written in tensor operations: number i of draw d is a pure function of (seed, picture id,
chain, purpose, d, i). There is no state, so results cannot depend on batch mates, batch size, order
or the number of processes, and nothing waits for the device.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from enum import IntEnum

import torch
from torch import Tensor

from .steady import elementwise

__all__ = ["ChainStreams", "Purpose", "philox4x32"]

_MASK = 0xFFFFFFFF
_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_IN_CACHE = 2**19  # numbers whose intermediate words stay in a processor's cache


class Purpose(IntEnum):
    """What a draw is for; different purposes never share numbers."""

    START = 0  # the first latents of a chain
    STEP = 1  # noise injected by a step
    SAMPLE = 2  # samples of u_0 given u_t
    NOISE_INPUT = 3  # noise maps that are redrawn at each generator call
    MOMENTUM = 4
    ACCEPT = 5  # Metropolis tests
    PROBE = 6  # Fisher probes
    RESAMPLE = 7  # particles, warm starts
    LABEL = 8  # classes that are not given
    OBSERVATION = 9  # noise added to simulated observations


def philox4x32(counter: Sequence[Tensor], key: Sequence[Tensor], rounds: int = 10) -> list[Tensor]:
    """Philox4x32 on int64 tensors that hold 32-bit words.

    Args:
        counter: four tensors that broadcast together.
        key: two tensors that broadcast with them.
        rounds: 10 is the published, tested number.

    Returns:
        Four tensors of words in [0, 2^32).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        # the 64-bit product wraps round in int64, and its high word survives an arithmetic shift
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _MASK) ^ c1 ^ k0,
            p1 & _MASK,
            ((p0 >> 32) & _MASK) ^ c3 ^ k1,
            p0 & _MASK,
        )
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return [c0, c1, c2, c3]


def _digest(seed: int, picture: str, chain: int) -> list[int]:
    """96 bits that name a chain."""
    data = f"{seed}\0{picture}\0{chain}".encode()
    digest = hashlib.blake2b(data, digest_size=12).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in (0, 4, 8)]


class ChainStreams:
    """The random streams of the chains of one batch, one row per chain.

    Args:
        seed: the run's seed.
        pictures: picture id of each row.
        chains: chain number of each row.
        device: where the numbers are made.

    Attributes:
        names: int64 (N, 3), 96 bits that name each chain.

    Raises:
        ValueError: ``pictures`` and ``chains`` differ in length.
    """

    def __init__(
        self,
        seed: int,
        pictures: Sequence[str],
        chains: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> None:
        if len(pictures) != len(chains):
            raise ValueError(f"{len(pictures)} picture ids but {len(chains)} chain numbers")
        words = [_digest(seed, p, c) for p, c in zip(pictures, chains, strict=True)]
        table = torch.tensor(words, dtype=torch.int64).reshape(len(words), 3)
        self.names = table.to(device)

    @staticmethod
    def of_names(names: Tensor) -> ChainStreams:
        """The streams of chains whose ``names`` (N, 3) are known."""
        streams = ChainStreams.__new__(ChainStreams)
        streams.names = names
        return streams

    @classmethod
    def grid(
        cls, seed: int, pictures: Sequence[str], chains: int, device: torch.device | str = "cpu"
    ) -> ChainStreams:
        """``chains`` streams for each picture, the chains of one picture in neighbouring rows."""
        rows = [(p, c) for p in pictures for c in range(chains)]
        return cls(seed, [p for p, _ in rows], [c for _, c in rows], device)

    def __len__(self) -> int:
        return int(self.names.shape[0])

    def select(self, rows: Tensor) -> ChainStreams:
        """The streams of some rows (an index or boolean tensor)."""
        return ChainStreams.of_names(self.names[rows])

    def words(self, draw: int | Tensor, count: int, purpose: Purpose) -> Tensor:
        """(N, count) words in [0, 2^32) as int64."""
        device = self.names.device
        blocks = torch.arange((count + 3) // 4, device=device)[None, :]
        key0, key1, name = (self.names[:, i : i + 1] for i in range(3))
        zeros = torch.zeros_like(blocks)
        counter = [blocks, zeros + draw, zeros + int(purpose), name]
        out = philox4x32(counter, [key0, key1])
        return torch.cat(out, dim=1)[:, :count]

    def uniform(
        self, draw: int | Tensor, count: int = 1, purpose: Purpose = Purpose.ACCEPT
    ) -> Tensor:
        """(N, count) uniform in (0, 1), float64."""
        return (self.words(draw, count, purpose).double() + 0.5) * 2.0**-32

    def normal(
        self,
        draw: int | Tensor,
        count: int,
        purpose: Purpose = Purpose.STEP,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """(N, count) standard normal by Box and Muller's transform.

        Args:
            draw: number of the draw, for example the step; different draws are independent.
            count: numbers per chain.
            purpose: what they are for.
            dtype: floating type of the result.
        """
        n, rows = len(self), max(_IN_CACHE // max(count, 1), 1)
        if n <= rows or self.names.device.type != "cpu" or isinstance(draw, Tensor):
            return self._normal(draw, count, purpose, dtype)
        numbers = torch.empty(n, count, dtype=dtype)
        for i in range(0, n, rows):
            some = ChainStreams.of_names(self.names[i : i + rows])
            numbers[i : i + rows] = some._normal(draw, count, purpose, dtype)
        return numbers

    def _normal(
        self, draw: int | Tensor, count: int, purpose: Purpose, dtype: torch.dtype
    ) -> Tensor:
        half = (count + 1) // 2
        words = self.words(draw, 2 * half, purpose).to(dtype)
        uniform = (words[:, :half] + 0.5) * 2.0**-32
        radius = (-2 * elementwise(torch.log, uniform)).clamp(min=0).sqrt()
        angle = words[:, half:] * (2 * math.pi * 2.0**-32)
        cos, sin = elementwise(torch.cos, angle), elementwise(torch.sin, angle)
        return torch.cat([radius * cos, radius * sin], dim=1)[:, :count]
