"""A batch as it comes from any loader, checked and completed to what the sampler works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, did_you_mean
from ..images.inputs import grey_or_colour, masks_of, pictures_of
from ..images.source import Source
from ..protocols import GeneratorLike

__all__ = ["PictureNumbers", "class_index", "labels_of", "named_batch", "prepared_batch"]


def named_batch(batch: Any) -> dict[str, Any]:
    """A batch as a dict with ``image`` and ``mask``; a tuple is (image, mask) or (image, mask, label).

    Raises:
        UserError: pictures or masks are missing.
    """
    if isinstance(batch, list | tuple) and len(batch) in (2, 3):
        batch = dict(zip(("image", "mask", "label"), batch, strict=False))
    if not isinstance(batch, Mapping):
        raise UserError(
            f"the batch is a {type(batch).__name__}: it must be a dict with image and mask, "
            "or a tuple (image, mask) or (image, mask, label)."
        )
    for key in ("image", "mask"):
        if batch.get(key) is None:
            there = ", ".join(map(str, batch)) or "nothing"
            raise UserError(f"the batch holds {there} and no {key}: give it image and mask.")
    return dict(batch)


class PictureNumbers:
    """Numbers pictures without an id through the data set, whichever of several devices they are on.

    Attributes:
        seen: pictures of this process so far.
    """

    def __init__(self) -> None:
        self.seen = 0

    def next(self, trainer: Any, batch_idx: int) -> tuple[int, int, str]:
        """Number of the next picture, from one to the next, and the prefix of their ids.

        Without a trainer there is no data set, and the number of the batch keeps ids apart.
        """
        if trainer is None:
            return 0, 1, f"{batch_idx}/" if batch_idx else ""
        rank, world = trainer.global_rank, trainer.world_size
        return rank + world * self.seen, world, ""


def prepared_batch(
    batch: Mapping[str, Any],
    generator: GeneratorLike,
    name: str,
    device: torch.device,
    first: int = 0,
    stride: int = 1,
    prefix: str = "",
) -> dict[str, Any]:
    """The batch as tensors, with its defaults filled in.

    Args:
        batch: ``image`` and ``mask`` (**1 = fill, 0 = known**) as :mod:`..images.inputs` takes them, and
            what there is of ``label``, ``id``, ``index`` and ``source``.
        generator: its ``img_channels``, ``resolution``, ``num_classes`` and ``class_names`` decide.
        name: of the generator, for messages.
        device: where tensors go.
        first: number of the batch's first picture in the data set, where ``index`` does not say so.
        stride: between the numbers of neighbours (with several devices, their number).
        prefix: of the ids of pictures that have none; their number follows.

    Returns:
        A dict: ``image`` uint8 (N, C, R, R), ``mask`` float32 (N, 1, R, R), ``label`` int64 (N,), and
        lists ``id``, ``index``, ``source`` of N; further entries as they were.

    Raises:
        UserError: pictures, masks or labels do not fit the generator or each other.
    """
    image, mask, source = _fitting(batch, generator, name)
    n = len(image)
    index = _entries(batch, "index", n) or [first + stride * k for k in range(n)]
    ids = _entries(batch, "id", n) or [f"{prefix}{number}" for number in index]
    ids = [str(each) for each in ids]
    if len(set(ids)) < n:
        twice = next(each for each in ids if ids.count(each) > 1)
        raise UserError(
            f"the id {twice!r} is there twice in a batch: ids name files and key random streams, "
            "so each picture needs its own (leave id out, and pictures are numbered)."
        )
    classes, names = int(generator.num_classes), getattr(generator, "class_names", None) or ()
    labels = labels_of(batch.get("label"), n, classes, names, f"the generator {name}")
    return {
        **batch,
        "image": image.to(device),
        "mask": mask.to(device),
        "label": torch.tensor(labels, device=device),
        "id": ids,
        "index": [int(each) for each in index],
        "source": source,
    }


def labels_of(
    value: Any, pictures: int, classes: int, names: Sequence[str] = (), owner: str = "the generator"
) -> list[int]:
    """Class of each picture, -1 = unknown.

    Args:
        value: None, one label for all, or a list, array or tensor of one per picture: names, numbers, or
            None and -1 for an unknown one.
        pictures: how many there are.
        classes: how many classes there are; 0 = none, and a number given is then ignored.
        names: of the classes.
        owner: of the classes, for messages.

    Raises:
        UserError: a class is unknown, or their number is not that of the pictures.
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, str | int | float):
        value = [value] * pictures
    if not isinstance(value, list | tuple):
        raise UserError(
            f"label is a {type(value).__name__}: give names or numbers of classes, one per picture."
        )
    if len(value) != pictures:
        raise UserError(f"there are {len(value)} labels for {pictures} pictures.")
    return [_class_of(each, classes, names, owner) for each in value]


def class_index(label: int | str | None, names: Sequence[str], where: str = "label") -> int:
    """Class index of a name or number; None, "" and -1 mean unknown and give -1.

    Raises:
        UserError: if there is no such class; ``where`` says who asked for it.
    """
    text = "" if label is None else str(label).strip()
    if text in ("", "-1"):
        return -1
    folded = [name.casefold() for name in names]
    if text.casefold() in folded:
        return folded.index(text.casefold())
    try:
        number = int(text)
    except ValueError:
        hint = did_you_mean(text.casefold(), folded)
        raise UserError(
            f"{where}: unknown class {text!r}{f' ({hint})' if hint else ''}; "
            f"the classes are {', '.join(names)}."
        ) from None
    if not 0 <= number < len(names):
        raise UserError(f"{where}: class {number} is not in 0 to {len(names) - 1}.")
    return number


def _class_of(value: Any, classes: int, names: Sequence[str], owner: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is not None and not isinstance(value, str | int | np.integer):
        raise UserError(f"label {value!r} is neither the name nor the number of a class.")
    if isinstance(value, str) and not value.strip().lstrip("-").isdecimal():
        if not names and value.strip():
            raise UserError(
                f"label {value!r}: {owner} has no names of classes"
                + (f"; give a number from 0 to {classes - 1}." if classes else ", nor any classes.")
            )
        return class_index(value, names)
    number = -1 if value is None else int(value)
    if number < -1 or 0 < classes <= number:
        raise UserError(
            f"class {number} is unknown to {owner}, "
            + (f"which has classes 0 to {classes - 1}" if classes else "which has no classes")
        )
    return number


def _fitting(
    batch: Mapping[str, Any], generator: GeneratorLike, name: str
) -> tuple[Tensor, Tensor, list[Source | None]]:
    """Pictures and masks at the generator's size and channels, and their originals."""
    channels, side = int(generator.img_channels), int(generator.resolution)
    image, originals = batch["image"], None
    if not (_is_batch(image, channels, side) and image.dtype == torch.uint8):
        originals = pictures_of(image)
        image = _stacked(originals, channels, side, name)
    n, mask = len(image), batch["mask"]
    if not (_is_batch(mask, 1, side) and len(mask) == n and _is_share(mask)):
        mask = _stacked_masks(masks_of(mask, n), n, side)
    sources = _entries(batch, "source", n) or [None] * n
    if originals is not None and channels == 1:  # known pixels keep their colours
        for i, original in enumerate(originals):
            if sources[i] is None and _coloured(original):
                levels = (mask[i, 0] * 255).round().byte().cpu().numpy()
                sources[i] = Source(f"picture {i}", original, levels, (0, 0, side, side))
    return image, mask.float(), sources


def _coloured(picture: np.ndarray) -> bool:
    return picture.shape[2] == 3 and bool((picture != picture[..., :1]).any())


def _is_batch(value: Any, channels: int, side: int) -> bool:
    return isinstance(value, Tensor) and value.shape[1:] == (channels, side, side)


def _is_share(mask: Tensor) -> bool:
    if mask.dtype == torch.bool:
        return True
    return mask.is_floating_point() and bool(((mask >= 0) & (mask <= 1)).all())


def _stacked(pictures: list[np.ndarray], channels: int, side: int, name: str) -> Tensor:
    for picture in pictures:
        height, width, given = picture.shape
        if (height, width) != (side, side):
            raise UserError(
                f"the batch's pictures are {given}x{height}x{width}, but the generator "
                f"{name} draws {channels}x{side}x{side}; resize them (complete and FolderMasks do)"
            )
    matched = [grey_or_colour(picture, channels) for picture in pictures]
    if any(picture.shape[2] != channels for picture in matched):
        raise UserError(
            f"the batch's pictures have {matched[0].shape[2]} channels, but the generator {name} draws "
            f"{channels}: only grey and colour are known to each other."
        )
    return torch.from_numpy(np.stack(matched)).permute(0, 3, 1, 2).contiguous()


def _stacked_masks(masks: list[np.ndarray], pictures: int, side: int) -> Tensor:
    if len(masks) == 1 < pictures:
        masks = masks * pictures
    if len(masks) != pictures:
        raise UserError(f"there are {len(masks)} masks for {pictures} pictures.")
    for mask in masks:
        if mask.shape != (side, side):
            raise UserError(
                f"the batch's mask has shape {(1, *mask.shape)}; it must be {(1, side, side)}, "
                "the size of the pictures"
            )
    return torch.from_numpy(np.stack(masks))[:, None]


def _entries(batch: Mapping[str, Any], key: str, pictures: int) -> list[Any]:
    """One entry per picture; empty where there are none."""
    value = batch.get(key)
    if value is None:
        return []
    if isinstance(value, str | int):
        value = [value]
    value = value.tolist() if isinstance(value, Tensor | np.ndarray) else list(value)
    if len(value) != pictures:
        raise UserError(f"the batch has {len(value)} entries of {key} for {pictures} pictures.")
    return value
