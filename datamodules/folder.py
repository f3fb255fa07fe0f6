"""Pictures and masks of one's own: folders, zips, single files, lists."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ..errors import ArgumentError
from .base import BatchSize, MaskedPictures
from .collate import Sample
from .fitting import FITS, Fit
from .jobs import Job, find_jobs
from .labels import CIFAR10_CLASSES, label_index
from .originals import Original
from .pictures import picture_size, read_with_info

__all__ = ["FolderMasks"]


class FolderMasks(MaskedPictures):
    """Masked pictures from a folder, a zip, a single file or a list. Masks: white = fill.

    Sub-folders are searched; one named after a class gives the label. Pictures of another size than
    the generator's are fitted to it, and the completion is carried back to the original.

    Args:
        images: Folder, zip, single picture, or CSV/JSONL list with columns image, mask, label.
        masks: Mask by name (right_half, left_half, top_half, bottom_half, center, random_box,
            strokes, random_pixels, checkerboard, all, none; with a number as in random_pixels:0.8),
            a mask file for every picture, or a folder or zip of masks paired by name
            (cat/a.png or cat/a_mask001.png for cat/a.jpg), or alpha for the transparent part of
            each picture. White = fill.
        batch_size: Pictures completed at the same time; changes memory and speed, never results.
            auto takes as many as the device should hold, 64 on a CPU, with all their chains.
        limit: Take only this many pictures, from the first; null for all.
        image_size: Resolution of the generator in pixels (set by the CLI).
        class_names: Names of the generator's classes in their order; default: CIFAR-10's.
        label: Class (name or number) of the pictures that have none of their own; default: unknown.
        fit: How a picture of another size meets the generator: resize (the whole picture squeezed
            into the square), crop (the largest centred square; nothing outside it is filled) or around (a
            square around each hole, with context, as near to the generator's scale as the hole allows).
        invert_mask: Take black for fill instead of white.
        seed: Seed of the random masks; each picture has a random stream of its own.
        num_workers: Processes that read pictures ahead; 0 reads in the main process.
        shard: Part k of n of the pictures as k/n, from 1/n to n/n, for array jobs; null for all.
    """

    def __init__(
        self,
        images: str,
        masks: str = "right_half",
        batch_size: BatchSize = 8,
        limit: int | None = None,
        image_size: int = 32,
        class_names: list[str] | None = None,
        label: int | str | None = None,
        fit: Fit = "resize",
        invert_mask: bool = False,
        seed: int = 0,
        num_workers: int = 0,
        shard: str | None = None,
    ) -> None:
        super().__init__(batch_size, limit, seed, num_workers)
        if fit not in FITS:
            raise ArgumentError(
                f"`fit` is {fit!r}, and must be {', '.join(FITS[:-1])} or {FITS[-1]}.", "data"
            )
        self.images = Path(images).expanduser()
        self.masks = masks
        self.image_size = image_size
        self.class_names = tuple(class_names or CIFAR10_CLASSES)
        self.label = label
        self.fit: Fit = fit
        self.invert_mask = invert_mask
        self.shard = shard
        self._jobs: list[Job] = []

    def setup(self, stage: str | None = None) -> None:
        """List the pictures and their masks; decodes none.

        Raises:
            UserError: if there are none that could be completed.
        """
        self._default_label = label_index(self.label, self.class_names)
        self._jobs, skipped = find_jobs(
            self.images, self.masks, self.class_names, self.seed, self.limit
        )
        self.begin([job.id for job in self._jobs], skipped)
        self.keep_shard(self.shard)

    def digest(self, position: int) -> str:
        """SHA-256 of the files of picture and mask, and of the label."""
        job = self._jobs[position]
        label = self._default_label if job.label < 0 else job.label
        digest = hashlib.sha256(job.file.read())
        if job.variant.file not in (None, job.file):
            digest.update(hashlib.sha256(job.variant.file.read()).digest())
        digest.update(f"label {label}".encode())
        return digest.hexdigest()

    def absent(self, pictures: Sequence[str]) -> list[str]:
        """Those of some ids that name no picture of the input, whatever limit there is."""
        known = set(self.ids)
        if self.limit is not None and not known.issuperset(pictures):
            jobs, _ = find_jobs(self.images, self.masks, self.class_names, self.seed, None)
            known.update(job.id for job in jobs)
        return sorted(set(pictures) - known)

    def original_size(self, position: int) -> tuple[int, int]:
        """Width and height of the picture's file."""
        return picture_size(self._jobs[position].file)

    def sample(self, position: int) -> Sample:
        """Read picture and mask and fit them to the generator."""
        job = self._jobs[position]
        picture, info = read_with_info(job.file)
        return self.mask_picture(
            position,
            picture,
            job.masks,
            job.variant,
            self.image_size,
            self._default_label if job.label < 0 else job.label,
            fit=self.fit,
            invert=self.invert_mask,
            name=str(job.file),
            info=info,
            load=Original(
                job.file,
                job.masks,
                job.variant,
                job.id,
                self.image_size,
                self.fit,
                self.invert_mask,
            ),
        )
