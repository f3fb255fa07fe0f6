"""Known pixels back into the result, bit for bit; the seam removed by a gradient-domain blend.

Masks have the user's polarity everywhere in this file: **1 (or 255) = fill, 0 = known**.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image
from torch import Tensor

from .membrane import membrane
from .source import Source

__all__ = ["Blend", "composite", "gradient_blend", "paste_into_source", "put_back"]

Blend = Literal["gradient", "none"]


def composite(image: Tensor, mask: Tensor, raw: Tensor) -> Tensor:
    """Completions with the known pixels put back.

    Args:
        image: uint8 ``(N, C, H, W)``, the input.
        mask: float ``(N, 1, H, W)`` in [0, 1]; 1 = fill, 0 = known, between: blended.
        raw: uint8 ``(N, C, H, W)`` or ``(N, K, C, H, W)``, the generated pictures.

    Returns:
        uint8, the shape of ``raw``. Where ``mask`` is 0 it equals ``image`` and where ``mask`` is 1
        it equals ``raw``, bit for bit.
    """
    if raw.ndim == image.ndim + 1:
        image, mask = image.unsqueeze(1), mask.unsqueeze(1)
    blended = (image + (raw.float() - image.float()) * mask).round().clamp(0, 255).byte()
    return blended.where(mask > 0, image)


def put_back(source: Source, raw: Tensor, k: int, blend: Blend = "gradient") -> np.ndarray:
    """The ``k``-th completion of a picture, all of its holes, at the size of the original.

    Args:
        source: The original, with the completions of its other holes.
        raw: uint8 ``(K, C, h, w)``, the full generated pictures of the first hole.
        k: which of them.
        blend: see :func:`paste_into_source`.

    Returns:
        uint8, shape of ``source.image``; pixels with mask 0 are the original's, bit for bit.
    """
    result = paste_into_source(source, _array(raw[k]), blend)
    for patch in source.patches:
        result = paste_into_source(patch.source, _array(patch.raw[k]), blend, onto=result)
    return result


def _array(picture: Tensor) -> np.ndarray:
    return np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy())


def paste_into_source(
    source: Source, raw: np.ndarray, blend: Blend = "gradient", onto: np.ndarray | None = None
) -> np.ndarray:
    """Carry a generated picture back to the size of the original, inside the hole only.

    Args:
        source: The original; its mask has 255 = fill. Hole pixels outside ``source.box`` were never
            shown to the generator and stay as they are.
        raw: uint8 ``(h, w, c)``, the *full* generated picture (not the composite, whose seam the
            gradient-domain blend would take for an edge of the picture).
        blend: ``"gradient"`` keeps the generated picture's gradients and takes its values at the
            rim of the hole from the original (:func:`gradient_blend`); ``"none"`` pastes.
        onto: The original with other holes filled, to go on from; it is changed.

    Returns:
        uint8, shape of ``source.image``; pixels with mask 0 are the original's, bit for bit.
    """
    shape = source.image.shape
    result = source.image.copy() if onto is None else onto
    result = result if result.ndim == 3 else result[..., None]
    left, top, right, bottom = source.box
    height, width = result.shape[:2]
    # One pixel around the box takes part, so that a hole that ends at the box still meets its rim.
    pad = (int(top > 0), int(bottom < height), int(left > 0), int(right < width))
    window = np.s_[top - pad[0] : bottom + pad[1], left - pad[2] : right + pad[3]]
    weight = source.mask[window].astype(np.float32) / 255
    view = result[window]
    known = view[..., : _colours(result)]
    fitted = _enlarged(_match_channels(raw, known.shape[2]), (right - left, bottom - top))
    fitted = np.pad(fitted, (pad[:2], pad[2:], (0, 0)), mode="edge")
    hole = np.pad(np.ones((bottom - top, right - left), bool), (pad[:2], pad[2:])) & (weight > 0)
    if source.holes is not None:
        hole &= source.holes.within(window)
    if blend == "gradient":
        fitted = gradient_blend(known, hole, fitted, ignore=~hole & (weight > 0))
    weight = np.where(hole, weight, 0)[..., None]
    mixed = np.rint(known + (fitted - known) * weight).clip(0, 255).astype(np.uint8)
    view[..., : known.shape[2]] = np.where(hole[..., None], mixed, known)
    if view.shape[2] in (2, 4):  # what has been filled in can be seen
        view[..., -1] = np.where(hole, 255, view[..., -1])
    return result.reshape(shape)


def gradient_blend(
    image: np.ndarray, hole: np.ndarray, guide: np.ndarray, ignore: np.ndarray | None = None
) -> np.ndarray:
    """Seamless cloning: the picture in the hole with ``guide``'s gradients and ``image``'s rim.

    Solves ``laplace(f) = laplace(guide)`` in the hole with ``f = image`` on the known pixels that
    touch it and no flux through the picture's border (Pérez, Gangnet and Blake, "Poisson image
    editing", SIGGRAPH 2003, eq. 4), as ``f = guide + membrane(image - guide)``.

    Args:
        image: ``(H, W, C)``, values in 0..255; only its known pixels are read.
        hole: bool ``(H, W)``, True = fill.
        guide: float ``(H, W, C)``, values in 0..255.
        ignore: bool ``(H, W)``, pixels that are neither known nor to be filled.

    Returns:
        float32 ``(H, W, C)``: the blend in the hole, ``image`` elsewhere. Not clamped.
    """
    fixed = ~hole if ignore is None else ~hole & ~ignore
    result = image.astype(np.float32)
    for c in range(image.shape[2]):
        correction = membrane(result[..., c] - guide[..., c], hole, fixed)
        result[..., c] = np.where(hole, guide[..., c] + correction, result[..., c])
    return result


def _enlarged(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``(h, w, c)`` uint8 to float32 at ``size`` (width, height), Lanczos, channel by channel."""
    channels = [
        Image.fromarray(picture[..., c].astype(np.float32)) for c in range(picture.shape[2])
    ]
    resized = [np.asarray(channel.resize(size, Image.Resampling.LANCZOS)) for channel in channels]
    return np.stack(resized, axis=-1).clip(0, 255)


def _match_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """Grey to colour by repetition, colour to grey by the mean."""
    if picture.shape[2] == channels:
        return picture
    grey = np.rint(picture.mean(axis=2, keepdims=True)).astype(np.uint8)
    return np.repeat(grey, channels, axis=2)


def _colours(image: np.ndarray) -> int:
    """Channels that hold colour: all but a trailing alpha channel."""
    return int(image.shape[2] - (image.shape[2] in (2, 4)))
