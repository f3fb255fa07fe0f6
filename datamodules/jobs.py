"""Which picture is completed with which mask, for a folder, a zip, a single picture or a list.

Only names are looked at here; nothing is decoded. Masks: white = fill.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .labels import label_from_path, label_index
from .listing import Listing, list_pictures, number_repeats, stem, unique_ids
from .lists import LIST_SUFFIXES, read_list
from .masks import MASK_KINDS, resolve_masks
from .pairing import (
    MaskProvider,
    MaskVariant,
    PictureKey,
    SingleMask,
    common_root,
    split_mask_suffix,
)
from .references import FileRef, PictureError

__all__ = ["Job", "find_jobs"]


class Job(NamedTuple):
    """One picture with one of its masks.

    Attributes:
        id: unique name for streams and output.
        file: the picture.
        masks: where the mask comes from.
        variant: which of the masks it is.
        label: class index, -1 = unknown.
    """

    id: str
    file: FileRef
    masks: MaskProvider
    variant: MaskVariant
    label: int


class _Picture(NamedTuple):
    id: str
    key: PictureKey
    file: FileRef
    masks: MaskProvider
    label: int


def find_jobs(
    images: Path, masks: str, class_names: Sequence[str], seed: int, limit: int | None
) -> tuple[list[Job], list[tuple[str, str]]]:
    """Find the jobs of a folder, zip, picture or list, in the order of names (of lines, in a list).

    Args:
        images: the folder, zip, picture or list.
        masks: see `resolve_masks`; in a list, a mask of the line's own comes first.
        class_names: names by which folders and lines give the class.
        seed: seed of the random masks.
        limit: stop after this many jobs.

    Returns:
        The jobs, and the (id, reason) of what had to be left out on the way.

    Raises:
        UserError: if there is nothing to complete.
    """
    skipped: list[tuple[str, str]] = []
    if images.suffix.lower() in LIST_SUFFIXES and images.is_file():
        pictures = _of_list(images, masks, class_names, seed)
    else:
        pictures = _of_folder(images, masks, class_names, seed, skipped)
    jobs: list[Job] = []
    for picture in pictures:
        if limit is not None and len(jobs) >= limit:
            break
        try:
            for variant in picture.masks.variants(picture.key):
                name = picture.id + variant.suffix
                jobs.append(Job(name, picture.file, picture.masks, variant, picture.label))
        except PictureError as error:
            skipped.append((picture.id, str(error)))
    if not jobs:
        reason = f" ({skipped[0][1].rstrip('.')})" if skipped else ""
        raise UserError(f"{images}: holds no pictures that could be completed{reason}.")
    jobs = jobs[:limit]
    ids = number_repeats([job.id for job in jobs])
    return [job._replace(id=name) for job, name in zip(jobs, ids, strict=True)], skipped


def _of_folder(
    images: Path,
    masks: str,
    class_names: Sequence[str],
    seed: int,
    skipped: list[tuple[str, str]],
) -> Iterator[_Picture]:
    provider = resolve_masks(masks, seed)
    mask_path = Path(masks).expanduser() if provider.from_files else None
    listing = list_pictures(images, "images", exclude=mask_path)
    if mask_path is not None and mask_path.resolve() == images.resolve():
        listing = _without_masks(listing)
    skipped += listing.skipped
    names = [name for name, _ in listing.files]
    root = common_root(names)
    for name_id, (name, file) in zip(unique_ids(names), listing.files, strict=True):
        label = label_from_path(str(file) if images.is_file() else name, class_names)
        yield _Picture(name_id, PictureKey(stem(name), root, file), file, provider, label)


def _without_masks(listing: Listing) -> Listing:
    """Leave out `a_mask001.png` where there is an `a`, for pictures and masks in one folder."""
    stems = {stem(name) for name, _ in listing.files}

    def is_mask(name: str) -> bool:
        base, suffix = split_mask_suffix(stem(name))
        return bool(suffix) and base in stems

    return Listing([item for item in listing.files if not is_mask(item[0])], listing.skipped)


def _of_list(path: Path, masks: str, class_names: Sequence[str], seed: int) -> Iterator[_Picture]:
    rows = read_list(path)
    default = resolve_masks(masks, seed) if any(not row.mask for row in rows) else None
    named: dict[str, MaskProvider] = {}
    for name_id, row in zip(unique_ids([row.name for row in rows]), rows, strict=True):
        if row.label:
            label = label_index(row.label, class_names, row.where)
        else:  # the same as without a list
            label = label_from_path(row.name, class_names)
        provider: MaskProvider
        if not row.mask:
            assert default is not None
            provider = default
        elif row.mask.partition(":")[0] in MASK_KINDS:
            provider = named.setdefault(row.mask, resolve_masks(row.mask, seed))
        else:  # a file, missing or not: one bad line must not stop the job
            provider = SingleMask(Path(row.mask))
        key = PictureKey(stem(row.name), "", row.file)
        yield _Picture(name_id, key, row.file, provider, label)
