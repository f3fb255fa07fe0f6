"""Classes of chains: the given ones, or draws from p(class | known pixels)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..noise import ChainStreams, Purpose
from ..protocols import GeneratorLike
from .bank import PriorBank
from .observation import Observation

__all__ = ["chain_labels", "class_posterior", "draw_classes"]


def chain_labels(
    batch: dict[str, Any],
    streams: ChainStreams,
    generator: GeneratorLike,
    bank: Callable[[], PriorBank],
) -> Tensor | None:
    """One class per chain (N * chains,), neighbouring rows a picture's; None where the generator has none.

    Args:
        batch: ``image``, ``mask`` (**1 = fill, 0 = known**) and ``label``; gets ``class_posterior``.
        streams: of the chains.
        generator: whose classes they are.
        bank: see :func:`class_posterior`.
    """
    classes, given = int(generator.num_classes), batch["label"]
    if not classes:
        return None
    posterior = class_posterior(given, batch["image"], batch["mask"], classes, bank)
    batch["class_posterior"] = posterior
    return draw_classes(posterior, given, streams, len(streams) // len(given))


def class_posterior(
    given: Tensor, image: Tensor, mask: Tensor, classes: int, bank: Callable[[], PriorBank]
) -> Tensor:
    """p(class) of each picture: 1 for a given class, else what its known pixels say.

    Args:
        given: (N,), -1 = unknown.
        image: uint8 (N, C, H, W).
        mask: (N, 1, H, W), **1 = fill, 0 = known**.
        classes: how many there are.
        bank: prior draws to compare with; made only where a class is unknown.

    Returns:
        (N, classes).
    """
    unknown = given < 0
    known = F.one_hot(given.clamp(min=0), classes).float()
    if not bool(unknown.any()):
        return known
    seen = Observation.of(image, mask, None, 1)
    inferred = bank().class_posterior(seen.target, seen.known)
    return torch.where(unknown[:, None], inferred, known)


def draw_classes(posterior: Tensor, given: Tensor, streams: ChainStreams, chains: int) -> Tensor:
    """One class per chain (N * chains,): the given one, or a draw of its own.

    Args:
        posterior: (N, classes) from :func:`class_posterior`.
        given: (N,), -1 = unknown.
        streams: of the chains.
        chains: chains per picture, neighbouring rows.
    """
    chances = posterior.repeat_interleave(chains, dim=0).cumsum(dim=1)
    draw = streams.uniform(0, 1, Purpose.LABEL).to(chances)
    drawn = (chances < draw).sum(dim=1).clamp(max=posterior.shape[1] - 1)
    labels = given.repeat_interleave(chains)
    return torch.where(labels < 0, drawn, labels)
