"""Pictures and masks as people have them, made into one form.

Arrays, tensors and PIL pictures, one or many, with or without channel and batch dimension. A float picture
is in **[0, 1]**, as torchvision's ``ToTensor`` makes it; any other range is refused, since nobody can
tell [-1, 1] from a bright picture. Masks: **1, 255 or True = fill, 0 = known**.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..errors import UserError

__all__ = ["grey_or_colour", "masks_of", "pictures_of"]

_HALF_LEVEL = 0.5 / 255  # what resizing may overshoot by and still round to black or white
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as Pillow converts


def pictures_of(value: Any, name: str = "image") -> list[np.ndarray]:
    """Pictures as a list of uint8 arrays ``(H, W, C)``, C = 1 (grey) or 3; transparency over white.

    Args:
        value: a PIL picture, an array or tensor, or a list of them. Integers are in 0..255, floats in
            [0, 1]. ``(H, W)``, ``(H, W, C)``, ``(C, H, W)``, each with a batch dimension in front or
            without, C from 1 to 4; where two readings fit, an array's channels are last and a tensor's first.
        name: what the sentences call it.

    Raises:
        UserError: it is none of these, is empty, or is out of range.
    """
    if isinstance(value, list | tuple):
        if not value:
            raise UserError(f"{name} is an empty list: give one picture at least.")
        return [picture for each in value for picture in pictures_of(each, name)]
    if isinstance(value, Image.Image):
        value = _array_of(value)
        return [_opaque(_levels(value[..., None] if value.ndim == 2 else value, name))]
    array = _numbers(value, name, "picture")
    if array.ndim == 2:
        return [_levels(array, name)[..., None]]
    if array.ndim not in (3, 4):
        raise UserError(
            f"{name} has the shape {_shape(array)}: a picture is (H, W), (H, W, C) or (C, H, W), "
            "and a batch has one dimension more."
        )
    last = _channels_last(array.shape[-3:], first=isinstance(value, Tensor))
    if last is None and array.ndim == 3:  # (N, H, W): grey pictures
        return [_levels(each, name)[..., None] for each in array]
    if last is None:
        raise UserError(
            f"{name} has the shape {_shape(array)}, and neither end of a picture holds 1 to 4 channels."
        )
    batch = array if array.ndim == 4 else array[None]
    batch = batch if last else np.moveaxis(batch, 1, 3)
    if not batch.size:
        raise UserError(f"{name} has the shape {_shape(array)}: there is no picture in it.")
    return [_opaque(levels) for levels in _levels(batch, name)]


def masks_of(value: Any, pictures: int = 1, name: str = "mask") -> list[np.ndarray]:
    """Masks as a list of float32 arrays ``(H, W)`` in [0, 1], **1 = fill, 0 = known**.

    Args:
        value: a PIL picture, an array or tensor, or a list of them: bool, 0 and 1, 0 to 255, or floats in
            [0, 1]. ``(H, W)``, with or without channel and batch dimension; of several channels the mean.
        pictures: how many pictures there are, which tells ``(N, H, W)`` from ``(C, H, W)``.
        name: what the sentences call it.

    Raises:
        UserError: it is none of these, is empty, or is out of range.
    """
    if isinstance(value, list | tuple):
        if not value:
            raise UserError(f"{name} is an empty list: give one mask at least.")
        return [mask for each in value for mask in masks_of(each, 1, name)]
    if isinstance(value, Image.Image):
        return [_shares(np.asarray(value.convert("L")), name)]
    array = _numbers(value, name, "mask")
    if not array.size or array.ndim not in (2, 3, 4):
        raise UserError(
            f"{name} has the shape {_shape(array)}: a mask is (H, W) or (1, H, W), "
            "and a batch of masks (N, 1, H, W)."
        )
    if array.ndim == 2:
        batch = array[None]
    elif array.ndim == 3 and array.shape[0] == pictures and array.shape[2] != 1:
        batch = array
    else:
        last = _channels_last(array.shape[-3:], first=isinstance(value, Tensor))
        if last is None and array.ndim == 4:
            raise UserError(
                f"{name} has the shape {_shape(array)}: a batch of masks is (N, 1, H, W) or (N, H, W)."
            )
        if last is None:
            batch = array
        else:
            batch = array[None] if array.ndim == 3 else array
            batch = batch[..., :3].mean(axis=3) if last else batch[:, :3].mean(axis=1)
            if array.dtype == bool:
                batch = batch > 0.5
    return [_shares(each, name) for each in batch]


def grey_or_colour(picture: np.ndarray, channels: int) -> np.ndarray:
    """A uint8 picture ``(H, W, 1 or 3)`` with ``channels`` channels: repeated, or its luma."""
    if picture.shape[2] == channels or channels not in (1, 3):
        return picture
    if channels == 3:
        return np.repeat(picture, 3, axis=2)
    return np.rint(picture @ _GREY).astype(np.uint8)[..., None]


def _array_of(picture: Image.Image) -> np.ndarray:
    if picture.mode in ("L", "RGB", "LA", "RGBA", "F") or picture.mode.startswith("I"):
        return np.asarray(picture)
    see_through = "transparency" in picture.info or picture.mode in ("PA", "La", "RGBa")
    grey = picture.mode == "1"
    return np.asarray(picture.convert("RGBA" if see_through else "L" if grey else "RGB"))


def _numbers(value: Any, name: str, what: str) -> np.ndarray:
    if isinstance(value, Tensor):
        floating = value.is_floating_point()
        value = value.detach().cpu()
        return (value.float() if floating else value).numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind in "buif":
        return value
    kind = type(value).__name__
    if isinstance(value, np.ndarray):
        kind = f"array of {value.dtype}"
    raise UserError(
        f"{name} is a {kind}: give a {what} as a PIL picture, a NumPy array of numbers or a tensor, "
        "or a list of these."
    )


def _channels_last(shape: Sequence[int], first: bool) -> bool | None:
    """Whether the channels of a picture are its last dimension; None where neither end can be."""
    fits_first, fits_last = 1 <= shape[0] <= 4, 1 <= shape[2] <= 4
    if fits_first and fits_last:
        return not first
    return fits_last if fits_first or fits_last else None


def _levels(array: np.ndarray, name: str) -> np.ndarray:
    """Values as uint8 in 0..255."""
    if array.dtype == np.uint8 or not array.size:
        return array.astype(np.uint8)
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    low, high = _range(array, name)
    if array.dtype.kind in "ui":
        if low < 0 or high > 255:
            raise UserError(
                f"{name} holds whole numbers from {low:g} to {high:g}: they must be in 0 to 255."
            )
        return array.astype(np.uint8)
    if low < -_HALF_LEVEL:
        raise UserError(
            f"{name} holds values down to {low:.4g}: float pictures must be in [0, 1]; "
            "of one in [-1, 1] pass (image + 1) / 2."
        )
    if high > 1 + _HALF_LEVEL:
        raise UserError(
            f"{name} holds values up to {high:.4g}: float pictures must be in [0, 1]; "
            "of one in [0, 255] pass image / 255, or make it uint8."
        )
    return np.rint(array.astype(np.float64).clip(0, 1) * 255).astype(np.uint8)


def _shares(array: np.ndarray, name: str) -> np.ndarray:
    """Values of a mask as float32 in [0, 1]; what exceeds 1 is in 0..255."""
    low, high = _range(array, name)
    if low < -_HALF_LEVEL or high > 255:
        raise UserError(
            f"{name} holds values from {low:.4g} to {high:.4g}: a mask is 0 or False where known and "
            "1, 255 or True where to be filled."
        )
    top = 255 if high > 1 + _HALF_LEVEL else 1
    return (array.astype(np.float32) / np.float32(top)).clip(0, 1)


def _range(array: np.ndarray, name: str) -> tuple[float, float]:
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise UserError(f"{name} holds values that are not finite (NaN or infinity).")
    return low, high


def _opaque(picture: np.ndarray) -> np.ndarray:
    """``(H, W, 2 or 4)`` over white as ``(H, W, 1 or 3)``; others as they are."""
    if picture.shape[2] in (1, 3):
        return picture
    colour, alpha = picture[..., :-1].astype(np.float32), picture[..., -1:].astype(np.float32) / 255
    return np.rint(255 + (colour - 255) * alpha).astype(np.uint8)


def _shape(array: np.ndarray) -> str:
    return str(tuple(array.shape))
