"""What one batch of pictures comes back as: the value of ``LatentInpainter.predict_step``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .errors import UserError
from .images.compositing import Blend, put_back
from .images.source import Source, metadata

__all__ = ["Completions", "Source"]


@dataclass
class Completions:
    """Completions of ``N`` pictures with ``K`` chains each, on the CPU.

    ``result[3]``, ``result["cat/0001"]`` and ``result[2:5]`` are the completions of these pictures alone, and
    ``for one in result`` goes through them picture by picture. :attr:`images` has them as PIL pictures
    of the originals' sizes.

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
        trace_evaluations: ``T + 1`` counts: gradients that a chain had spent before each of those steps, and
            in the end; empty where unknown.
        draws_from: the step from which on a chain's states are draws; None = none of them is exactly.
        noise_std: Standard deviation of a known value in the posterior, pictures in [-1, 1]; None = unknown.
        latents: float32 ``(N, K, D)``, the final latents.
        draws: float32 ``(N, K, T, 1 + C * cells)``, of up to 64 draws of each chain its energy and the mean
            colours in [-1, 1] of 4 x 4 cells of the hole; None where a sampler makes none, or for one chain.
        chain: int64 ``(N, K)``, the number of each chain (it keys the random stream).
        seed: Seed of the random streams.
        steps: Steps of each walk.
        status: ``(N, K)`` of ``"ok"``, ``"restarted"`` or ``"failed: reason"``.
        diagnostics: Further figures by name, each ``(N, K)``: chi2 (squared residual of the known values over
            noise_std^2, per value), arrived (1 or 0), acceptance, step_size, rhat, ...
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
    trace_evaluations: list[int] = field(default_factory=list)
    draws_from: int | None = None
    noise_std: float | None = None
    draws: Tensor | None = None

    def __len__(self) -> int:
        """Number of pictures ``N``."""
        return len(self.id)

    @property
    def chains(self) -> int:
        """Number of chains ``K`` per picture."""
        return int(self.raw.shape[1])

    def __getitem__(self, which: int | str | slice | Sequence[int]) -> Completions:
        """The completions of some of the pictures: a position, an id, a slice or positions.

        Raises:
            IndexError: there is no such position.
            KeyError: there is no such id.
        """
        if isinstance(which, str):
            if which not in self.id:
                raise KeyError(which)
            which = self.id.index(which)
        if isinstance(which, slice):
            places = list(range(len(self)))[which]
        else:
            wanted = [which] if isinstance(which, int | np.integer) else list(which)
            places = [range(len(self))[int(place)] for place in wanted]
        columns = {f.name: _chosen(f.name, getattr(self, f.name), places) for f in fields(self)}
        return type(self)(**columns)

    def __iter__(self) -> Iterator[Completions]:
        """The pictures one by one."""
        return (self[n] for n in range(len(self)))

    def array(self, n: int, k: int = 0, blend: Blend = "gradient") -> np.ndarray:
        """One completion at the size of the original, known pixels bit for bit the original's.

        Args:
            n: the picture.
            k: which of its completions; 0 has the lowest energy.
            blend: how it gets into a larger original: see :func:`.images.compositing.paste_into_source`.

        Returns:
            uint8 ``(H, W, C)``.
        """
        source = self.source[n]
        if source is None or _same_picture(source, self.composite[n, k]):
            return np.ascontiguousarray(self.composite[n, k].permute(1, 2, 0).numpy())
        picture = put_back(source, self.raw[n], k, blend)
        return picture if picture.ndim == 3 else picture[..., None]

    @property
    def images(self) -> list[list[Image.Image]]:
        """For each picture its completions, lowest energy first, as PIL pictures of the original's size."""
        return [[self.picture(n, k) for k in range(self.chains)] for n in range(len(self))]

    def picture(self, n: int, k: int = 0, blend: Blend = "gradient") -> Image.Image:
        """:meth:`array` as a PIL picture."""
        array = self.array(n, k, blend)
        return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)

    @property
    def std(self) -> Tensor:
        """float32 ``(N, C, H, W)``: standard deviation of the completions, in units of the data range.

        It is over K - 1, and 0 where there is one chain.
        """
        pixels = self.composite.float() / 255
        return pixels.std(dim=1) if self.chains > 1 else torch.zeros_like(pixels[:, 0])

    def save(self, folder: str | Path, blend: Blend = "gradient") -> list[Path]:
        """Write all completions as PNG at the originals' sizes: ``<id>.png``, ``<id>_c01.png``, ...

        Args:
            folder: where to; made if missing.
            blend: see :meth:`array`.

        Returns:
            The files, picture by picture, lowest energy first.

        Raises:
            UserError: an id cannot be a file name.
        """
        paths = []
        for n, k in self.rows():
            name = self.id[n]
            if name.startswith("/") or ".." in name.split("/") or "\0" in name:
                raise UserError(f"the id {name!r} cannot be a file name: give another.")
            digits = max(2, len(str(self.chains)))
            number = f"_c{k + 1:0{digits}d}" if self.chains > 1 else ""
            paths.append(Path(folder) / f"{name}{number}.png")
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            source = self.source[n]
            kept = metadata(None if source is None else source.info)
            self.picture(n, k, blend).save(paths[-1], **kept)
        return paths

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


_SHARED = {"seed", "steps", "trace_steps", "trace_evaluations", "draws_from", "noise_std"}
_SHARED |= {"class_names"}


def _same_picture(source: Source, composite: Tensor) -> bool:
    """Whether the original is what the generator was shown, and is there for its profile alone."""
    channels, height, width = composite.shape
    return source.size == (width, height) and source.image.shape == (height, width, channels)


def _joined(name: str, values: list[Any]) -> Any:
    if name in ("trace_steps", "trace_evaluations"):
        return max(values, key=len)
    first = values[0]
    if first is None or name in _SHARED:
        return first
    if name == "trace":  # chains may stop early: their last energy stays
        longest = max(len(value) for value in values)
        values = [torch.cat([v, v[-1:].expand(longest - len(v), *v.shape[1:])]) for v in values]
        return torch.cat(values, dim=1)
    if isinstance(first, Tensor):
        return torch.cat(values)
    if isinstance(first, dict):
        return {key: torch.cat([value[key] for value in values]) for key in first}
    return [item for value in values for item in value]


def _chosen(name: str, value: Any, places: list[int]) -> Any:
    if value is None or name in _SHARED:
        return value
    if isinstance(value, Tensor):
        return value[:, places] if name == "trace" else value[places]
    if isinstance(value, dict):
        return {key: figures[places] for key, figures in value.items()}
    return [value[place] for place in places]
