"""Pictures and masks of one's own: folders, zips, single files, lists."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.base import MaskedPictures
from datamodules.collate import Sample
from datamodules.fitting import Fit, fit_picture
from datamodules.inspection import inspect_mask
from datamodules.labels import CIFAR10_CLASSES, label_from_path, label_index
from datamodules.listing import FileRef, Listing, list_pictures, number_repeats, stem, unique_ids
from datamodules.lists import LIST_SUFFIXES, read_list
from datamodules.masks import resolve_masks
from datamodules.pairing import MaskProvider, MaskVariant, split_mask_suffix
from datamodules.pictures import PictureError, read_picture
from lightning_inpaint.errors import UserError

__all__ = ["FolderMasks"]


class _Entry(NamedTuple):
    """One job: a picture with one of its masks."""

    id: str
    file: FileRef
    provider: MaskProvider
    variant: MaskVariant
    label: int


class FolderMasks(MaskedPictures):
    """Masked pictures from a folder, a zip, a single file or a list. Masks: white = fill.

    Sub-folders are searched; one named after a class gives the label. Pictures of another size than
    the generator's are fitted to it, and the completion is carried back to the original.

    Args:
        images: Folder, zip, single picture, or CSV/JSONL list with columns image, mask, label.
        masks: Mask by name (right_half, left_half, top_half, bottom_half, center, random_box, strokes,
            random_pixels, checkerboard, all, none; with a number as in random_pixels:0.8), or a mask
            file for every picture, or a folder or zip paired by name (cat/a.png or cat/a_mask001.png
            for cat/a.jpg). White = fill.
        batch_size: Pictures completed at the same time; changes memory and speed, never results.
        limit: Take only this many pictures, from the first; null for all.
        image_size: Resolution of the generator in pixels (set by the CLI).
        class_names: Names of the generator's classes in their order; default: CIFAR-10's.
        label: Class (name or number) of the pictures that have none of their own; default: unknown.
        fit: How a picture of another size meets the generator: resize (the whole picture squeezed
            into the square) or crop (the largest centred square; nothing outside it is filled).
        invert_mask: Take black for fill instead of white.
        seed: Seed of the random masks; each picture has a random stream of its own.
        num_workers: Processes that read pictures ahead; 0 reads in the main process.
    """

    def __init__(
        self,
        images: str,
        masks: str = "right_half",
        batch_size: int = 8,
        limit: int | None = None,
        image_size: int = 32,
        class_names: list[str] | None = None,
        label: int | str | None = None,
        fit: Fit = "resize",
        invert_mask: bool = False,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__(batch_size, limit, seed, num_workers)
        if fit not in ("resize", "crop"):
            raise UserError(f"--data.fit is {fit!r}, and must be resize or crop.")
        self.images = Path(images).expanduser()
        self.masks = masks
        self.image_size = image_size
        self.class_names = tuple(class_names or CIFAR10_CLASSES)
        self.label = label
        self.fit: Fit = fit
        self.invert_mask = invert_mask
        self._entries: list[_Entry] = []

    def setup(self, stage: str | None = None) -> None:
        """List the pictures and their masks; decodes none.

        Raises:
            UserError: if there are none that could be completed.
        """
        default = label_index(self.label, self.class_names)
        entries: list[_Entry] = []
        skipped: list[tuple[str, str]] = []
        if self.images.suffix.lower() in LIST_SUFFIXES and self.images.is_file():
            jobs = self._jobs_of_list(skipped)
        else:
            jobs = self._jobs_of_folder(skipped)
        for name, key, file, provider, label in jobs:
            if self.limit is not None and len(entries) >= self.limit:
                break
            label = default if label < 0 else label
            try:
                variants = provider.variants(key)
            except PictureError as error:
                skipped.append((name, str(error)))
                continue
            for variant in variants:
                entries.append(_Entry(name + variant.suffix, file, provider, variant, label))
        self._entries = entries[: self.limit]
        if not self._entries:
            reason = f" ({skipped[0][1]})" if skipped else ""
            raise UserError(f"{self.images}: holds no pictures that could be completed{reason}.")
        self.begin(number_repeats([entry.id for entry in self._entries]), skipped)

    def _jobs_of_folder(
        self, skipped: list[tuple[str, str]]
    ) -> list[tuple[str, str, FileRef, MaskProvider, int]]:
        provider = resolve_masks(self.masks, self.seed)
        mask_path = Path(self.masks).expanduser() if provider.from_files else None
        listing = list_pictures(self.images, exclude=mask_path)
        if mask_path is not None and mask_path.resolve() == self.images.resolve():
            listing = _without_masks(listing)
        skipped += listing.skipped
        names = [name for name, _ in listing.files]
        return [
            (name_id, stem(name), file, provider, label_from_path(name, self.class_names))
            for name_id, (name, file) in zip(unique_ids(names), listing.files, strict=True)
        ]

    def _jobs_of_list(
        self, skipped: list[tuple[str, str]]
    ) -> list[tuple[str, str, FileRef, MaskProvider, int]]:
        rows = read_list(self.images)
        ids = unique_ids([row.name for row in rows])
        specs = {row.mask or self.masks for row in rows}
        providers = {spec: resolve_masks(spec, self.seed) for spec in specs}
        return [
            (
                name_id,
                stem(row.name),
                row.file,
                providers[row.mask or self.masks],
                label_index(row.label, self.class_names, row.where),
            )
            for name_id, row in zip(ids, rows, strict=True)
        ]

    def sample(self, position: int) -> Sample:
        """Read picture and mask and fit them to the generator."""
        entry, name = self._entries[position], self.ids[position]
        image = read_picture(entry.file)
        mask = entry.provider.load(entry.variant, name, self.image_size)
        if self.invert_mask:
            mask = np.uint8(255) - mask
        fitted = fit_picture(
            image,
            mask,
            self.image_size,
            self.fit,
            name=str(entry.file),
            mask_name=f"its mask {entry.variant.file or ''}".strip(),
        )
        notes = inspect_mask(mask, fitted, drawn_by_hand=entry.provider.from_files)
        return Sample(name, position, *fitted[:2], entry.label, fitted.source, notes)


def _without_masks(listing: Listing) -> Listing:
    """Leave out `a_mask001.png` where there is an `a`, for pictures and masks in one folder."""
    stems = {stem(name) for name, _ in listing.files}

    def is_mask(name: str) -> bool:
        base, suffix = split_mask_suffix(stem(name))
        return bool(suffix) and base in stems

    return Listing([item for item in listing.files if not is_mask(item[0])], listing.skipped)
