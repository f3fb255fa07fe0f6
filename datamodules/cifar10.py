"""CIFAR-10's own pictures, masked."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..errors import ArgumentError, UserError
from .base import BatchSize, MaskedPictures
from .collate import Sample
from .masks import resolve_masks
from .pairing import PictureKey

__all__ = ["CIFAR10Masks"]


class CIFAR10Masks(MaskedPictures):
    """Masked pictures of CIFAR-10 (Krizhevsky 2009) through torchvision. Masks: white = fill.

    Args:
        root: Folder that holds `cifar-10-batches-py`, or into which it is downloaded.
        split: Which part of the data set: test (10,000 pictures) or train (50,000).
        download: Download the data set (163 MB) if it is not there.
        masks: Mask by name (right_half, left_half, top_half, bottom_half, center, random_box,
            strokes, random_pixels, checkerboard, all, none; with a number as in random_pixels:0.8),
            a mask file for every picture, or a folder or zip of masks paired by id
            (test/00000.png). White = fill.
        batch_size: Pictures completed at the same time; changes memory and speed, never results.
            auto takes as many as the device should hold, 64 on a CPU, with all their chains.
        limit: Take only this many pictures, from the first; null for all.
        image_size: Resolution of the generator in pixels (set by the CLI).
        invert_mask: Take black for fill instead of white.
        seed: Seed of the random masks; each picture has a random stream of its own.
        num_workers: Processes that read pictures ahead; 0 reads in the main process.
    """

    def __init__(
        self,
        root: str = "data",
        split: Literal["test", "train"] = "test",
        download: bool = False,
        masks: str = "right_half",
        batch_size: BatchSize = 8,
        limit: int | None = None,
        image_size: int = 32,
        invert_mask: bool = False,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, limit, seed, num_workers)
        if split not in ("test", "train"):
            raise ArgumentError(f"`split` is {split!r}, and must be test or train.", "data")
        self.root = root
        self.split = split
        self.download = download
        self.masks = masks
        self.image_size = image_size
        self.invert_mask = invert_mask

    def prepare_data(self) -> None:
        """Download if asked to; Lightning calls this on one process only."""
        if self.download:
            self._open(download=True)

    def setup(self, stage: str | None = None) -> None:
        """Open the data set.

        Raises:
            UserError: if it is not there.
        """
        data = self._open(download=False)
        self._pictures: np.ndarray = data.data
        self._labels: list[int] = data.targets
        self._provider = resolve_masks(self.masks, self.seed)
        count = len(self._labels) if self.limit is None else min(self.limit, len(self._labels))
        self.begin([f"{self.split}/{number:05d}" for number in range(count)])

    def sample(self, position: int) -> Sample:
        """Mask the picture at a position."""
        variant = self._provider.variants(PictureKey(self.ids[position]))[0]
        return self.mask_picture(
            position,
            self._pictures[position],
            self._provider,
            variant,
            self.image_size,
            int(self._labels[position]),
            invert=self.invert_mask,
        )

    def _open(self, download: bool) -> Any:
        try:
            # Imported here: torchvision takes a second to load, and only this class needs it.
            from torchvision.datasets import CIFAR10
        except ImportError as error:
            raise UserError(
                f"CIFAR10Masks needs torchvision (pip install torchvision): {error}."
            ) from None
        try:
            return CIFAR10(self.root, train=self.split == "train", download=download)
        except RuntimeError:
            raise ArgumentError(
                f"{self.root}: CIFAR-10 is not there, or damaged: pass `download=True` to "
                "download it (163 MB), or complete pictures of your own with `data=FolderMasks`.",
                "data",
            ) from None
        except OSError as error:
            raise UserError(f"CIFAR-10 could not be downloaded to {self.root}: {error}.") from None
