"""What modules, data and callbacks expect of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NotRequired, Protocol, TypedDict, runtime_checkable

import numpy as np
from torch import Tensor

__all__ = ["GeneratorLike", "MaskedPictures", "WatchesCompletions", "WatchesSampler"]


class GeneratorLike(Protocol):
    """A generator, as :func:`.generators.load_generator` returns them.

    Attributes:
        z_dim: values of z ~ N(0, I).
        num_classes: how many classes it is conditioned on; 0 = none.
        resolution: side of its pictures, pixels.
        img_channels: 1 or 3.
    """

    z_dim: int
    num_classes: int
    resolution: int
    img_channels: int

    def __call__(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, z_dim), and classes (N,) where it has such, to pictures (N, C, H, W) in about [-1, 1]."""
        ...


class MaskedPictures(TypedDict):
    """A batch of the data modules. ``mask``: **1 = fill, 0 = known**.

    ``image`` is uint8 (N, C, H, W), ``mask`` (N, 1, H, W). ``label`` (N,) holds classes, -1 = unknown;
    ``id`` the names that key random streams and files; ``index`` places in the data set; ``source`` the
    originals that composites are made of; ``skipped`` (id, reason) of pictures that could not be read;
    ``digests`` SHA-256 of the inputs by id; ``notes`` (id, kind, sentence) of what a user should know.
    """

    image: Tensor
    mask: Tensor
    label: NotRequired[Tensor]
    id: NotRequired[Sequence[str]]
    index: NotRequired[Sequence[int]]
    source: NotRequired[Sequence[Any]]
    skipped: NotRequired[list[tuple[str, str]]]
    digests: NotRequired[dict[str, str]]
    notes: NotRequired[list[tuple[str, str, str]]]


@runtime_checkable
class WatchesCompletions(Protocol):
    """A callback that sees each completion as it is written."""

    def on_composite(
        self, writer: Any, completions: Any, n: int, k: int, composite: np.ndarray
    ) -> None:
        """Called by the :class:`.callbacks.CompletionWriter` ``writer``.

        Args:
            writer: whose ``folder`` knows where files go.
            completions: the batch's :class:`.completions.Completions`.
            n: number of the picture in it.
            k: number of its completion, from the best one on.
            composite: uint8 (H, W, C), known pixels put back; of the original's size where that is known.
        """


@runtime_checkable
class WatchesSampler(Protocol):
    """A callback that sees chains walk."""

    def on_sampler_step(self, trainer: Any, pl_module: Any, state: Any) -> None:
        """Called every ``report_every`` steps with a :class:`.inference.state.SamplerState`."""
        ...
