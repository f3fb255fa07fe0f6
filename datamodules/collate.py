"""Masked pictures, one by one, become the batch that `LatentInpainter` takes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ..images.inputs import grey_or_colour
from ..images.source import LateOriginal, Source
from ..protocols import MaskedPictures

__all__ = ["Sample", "Skipped", "collate"]


@dataclass(frozen=True)
class Sample:
    """One masked picture.

    Attributes:
        id: stable, unique name; keys the random stream and the output file.
        index: position in the data set.
        image: uint8 (R, R, C) at the generator's resolution R.
        mask: float32 (R, R) in [0, 1], **1 = fill**.
        label: class index, -1 = unknown.
        source: the full-size original, or None if `image` is the original.
        notes: (kind, sentence) for each thing about the picture that deserves a warning.
        others: the further holes of the same picture.
        sha256: of what the picture was made from; see `MaskedPictures.digest`.
    """

    id: str
    index: int
    image: np.ndarray
    mask: np.ndarray
    label: int = -1
    source: Source | None = None
    notes: tuple[tuple[str, str], ...] = ()
    others: tuple[Sample, ...] = ()
    sha256: str = ""

    def digest(self) -> str:
        """SHA-256 of pixels, mask and label, of all holes and of an original that is in memory."""
        digest = hashlib.sha256(f"{self.label}".encode())
        arrays = [self.image, self.mask]
        if self.source is not None and not isinstance(self.source, LateOriginal):
            arrays += [self.source.image, self.source.mask]
        for array in arrays:
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        for other in self.others:
            digest.update(other.digest().encode())
        return digest.hexdigest()


class Skipped(NamedTuple):
    """Stands in for a picture that turned out unreadable; `collate` takes it out of the batch."""

    id: str
    reason: str


def collate(items: Sequence[Sample | Skipped]) -> MaskedPictures:
    """Make a batch of samples.

    Returns:
        A dict: `image` uint8 (N, C, R, R); `mask` float32 (N, 1, R, R), **1 = fill**; `label`
        int64 (N,); `id`, `index`, `source` lists of N; `skipped`, a list of (id, reason); `notes`,
        a list of (id, kind, sentence); `digests`, SHA-256 by id. N is 0 if every picture of the
        batch was skipped.
    """
    pictures = [item for item in items if isinstance(item, Sample)]
    samples = [part for picture in pictures for part in (picture, *picture.others)]
    channels = max((s.image.shape[2] for s in samples), default=3)
    arrays = [
        grey_or_colour(s.image, channels) for s in samples
    ]  # grey among colour turns to colour
    images = [torch.from_numpy(np.ascontiguousarray(each)).permute(2, 0, 1) for each in arrays]
    masks = [torch.from_numpy(np.ascontiguousarray(s.mask))[None] for s in samples]
    return {
        "image": torch.stack(images) if images else torch.empty(0, 3, 0, 0, dtype=torch.uint8),
        "mask": torch.stack(masks) if masks else torch.empty(0, 1, 0, 0),
        "label": torch.tensor([s.label for s in samples], dtype=torch.int64),
        "id": [s.id for s in samples],
        "index": [s.index for s in samples],
        "source": [s.source for s in samples],
        "skipped": [(item.id, item.reason) for item in items if isinstance(item, Skipped)],
        "digests": {s.id: s.sha256 for s in pictures if s.sha256},
        "notes": [(s.id, kind, text) for s in samples for kind, text in s.notes],
    }
