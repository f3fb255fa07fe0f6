"""Between tensors, arrays and picture files."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
from PIL import Image
from torch import Tensor

from ..images.source import PictureInfo, metadata

__all__ = [
    "PictureFormat",
    "encode",
    "masked_picture",
    "split_masked",
    "suffix",
    "to_array",
    "without_alpha",
]

PictureFormat = Literal["png", "jpeg", "webp"]


def to_array(picture: Tensor) -> np.ndarray:
    """uint8 ``(C, H, W)`` tensor to an ``(H, W, C)`` array."""
    return np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy())


def without_alpha(array: np.ndarray) -> np.ndarray:
    """Picture ``(H, W)`` or ``(H, W, 1 to 4)`` as ``(H, W, 1 or 3)``."""
    array = array[..., None] if array.ndim == 2 else array
    return array[..., : 1 if array.shape[2] < 3 else 3]


def suffix(picture_format: PictureFormat) -> str:
    """File name ending, with its dot."""
    return ".jpg" if picture_format == "jpeg" else f".{picture_format}"


def encode(
    array: np.ndarray,
    picture_format: PictureFormat = "png",
    quality: int = 90,
    info: PictureInfo | None = None,
) -> bytes:
    """File contents of a uint8 picture ``(H, W)`` or ``(H, W, 1 to 4)``; JPEG drops alpha.

    Args:
        array: the picture.
        picture_format: of the file.
        quality: of jpeg and webp.
        info: colour profile, EXIF and resolution that go into the file; WebP has no place for the last.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    image = Image.fromarray(array)
    if picture_format == "jpeg" and image.mode in ("LA", "RGBA"):
        image = image.convert(image.mode.removesuffix("A"))
    buffer = io.BytesIO()
    options: dict[str, Any] = {} if picture_format == "png" else {"quality": quality}
    image.save(buffer, picture_format, **options, **metadata(info))
    return buffer.getvalue()


def masked_picture(image: Tensor, mask: Tensor) -> np.ndarray:
    """A picture and its mask in one: transparent where masked, its colours still underneath.

    Args:
        image: uint8 ``(C, H, W)``.
        mask: float ``(1, H, W)`` in [0, 1], 1 = fill.

    Returns:
        uint8 ``(H, W, C + 1)``; the last channel is 255 where known, 0 where to be filled.
    """
    known = ((1 - mask) * 255).round().byte()
    return np.concatenate([to_array(image), to_array(known)], axis=2)


def split_masked(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo :func:`masked_picture`: uint8 ``(H, W, C)`` and float ``(H, W, 1)``, 1 = fill."""
    return array[..., :-1], 1 - array[..., -1:].astype(np.float32) / 255
