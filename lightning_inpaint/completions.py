"""What one batch of pictures comes back as: the value of ``LatentInpainter.predict_step``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Completions", "Source"]


class Source(NamedTuple):
    """The full-size original of a picture that was fitted to the generator's resolution.

    Attributes:
        path: Where the picture was read from, for messages.
        image: uint8 array ``(H, W, C)`` at the original size.
        mask: uint8 array ``(H, W)``, 255 = fill, 0 = known, values between blend.
        box: ``(left, top, right, bottom)``: the region of the original, in its pixels, that was
            fitted to the generator.
    """

    path: str
    image: np.ndarray
    mask: np.ndarray
    box: tuple[int, int, int, int]


@dataclass
class Completions:
    """Completions of ``N`` pictures with ``K`` chains each, on the CPU.

    Chains are ordered by final energy, lowest first. The energy of a chain is the sum over the
    known values of ``(G(u) - y)^2`` with pictures in [-1, 1].

    Attributes:
        id: ``N`` stable, unique names; ``/`` separates folders (``"cat/0001"``).
        index: ``N`` positions in the data set.
        label: int64 ``(N,)``, class index, -1 = unknown.
        image: uint8 ``(N, C, H, W)``, the input at the generator's resolution.
        mask: float32 ``(N, 1, H, W)`` in [0, 1]; **1 = fill (missing), 0 = known**.
        source: ``N`` entries: the full-size original, or None where ``image`` is the original.
        raw: uint8 ``(N, K, C, H, W)``, the full generated images.
        composite: uint8 ``(N, K, C, H, W)``: ``raw`` in the hole, ``image`` bit for bit elsewhere.
        energy: float32 ``(N, K)``, energy of the final latents.
        first_energy: float32 ``(N, K)``, energy before the first step.
        psnr: float32 ``(N, K)`` in dB, of ``raw`` on the known pixels.
        trace: float32 ``(T, N, K)``, energies along the walk.
        trace_steps: the ``T`` steps at which ``trace`` was recorded.
        latents: float32 ``(N, K, D)``, the final latents.
        chain: int64 ``(N, K)``, the number of each chain (it keys the random stream).
        seed: Seed of the random streams.
        steps: Steps of each walk.
        status: ``(N, K)`` of ``"ok"``, ``"restarted"`` or ``"failed: reason"``.
        diagnostics: Further figures by name, each ``(N, K)``: acceptance, step_size, rhat, ...
        class_posterior: float32 ``(N, classes)``, p(class | known pixels), where the label is known
            1 at the label; None for an unconditional generator.
        chain_label: int64 ``(N, K)``, the class that each chain walked in: the label, or a draw from
            ``class_posterior``; None for an unconditional generator.
        class_names: Names of the classes; empty where the generator names none.
    """

    id: list[str]
    index: list[int]
    label: Tensor
    image: Tensor
    mask: Tensor
    source: list[Source | None]
    raw: Tensor
    composite: Tensor
    energy: Tensor
    first_energy: Tensor
    psnr: Tensor
    trace: Tensor
    trace_steps: list[int]
    latents: Tensor
    chain: Tensor
    seed: int
    steps: int
    status: list[list[str]]
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    class_posterior: Tensor | None = None
    chain_label: Tensor | None = None
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of pictures ``N``."""
        return len(self.id)

    @property
    def chains(self) -> int:
        """Number of chains ``K`` per picture."""
        return int(self.raw.shape[1])

    def rows(self) -> Iterator[tuple[int, int]]:
        """All pairs (picture, completion), picture by picture."""
        return ((n, k) for n in range(len(self)) for k in range(self.chains))

    @classmethod
    def joined(cls, parts: Sequence[Completions]) -> Completions:
        """Parts of one batch, completed with the same settings, as one."""
        if len(parts) == 1:
            return parts[0]
        columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(cls)}
        return cls(**{name: _joined(name, values) for name, values in columns.items()})


_SHARED = ("seed", "steps", "trace_steps", "class_names")


def _joined(name: str, values: list[Any]) -> Any:
    first = values[0]
    if first is None or name in _SHARED:
        return first
    if isinstance(first, Tensor):
        return torch.cat(values, dim=1 if name == "trace" else 0)
    if isinstance(first, dict):
        return {key: torch.cat([value[key] for value in values]) for key in first}
    return [item for value in values for item in value]
