"""Labelled sheets of pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["contact_sheet", "hatched", "thumbnail"]

INK, PAPER = (40, 40, 48), (255, 255, 255)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def thumbnail(array: np.ndarray, side: int) -> Image.Image:
    """A picture that fits a square of ``side`` pixels: small ones enlarged by a whole factor,
    pixel by pixel, large ones reduced with antialiasing.

    Args:
        array: uint8 ``(H, W)`` or ``(H, W, 1 to 4)``.
        side: of the square.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    image = Image.fromarray(array).convert("RGB")
    factor = side // max(image.size)
    if factor >= 1:
        size = (image.width * factor, image.height * factor)
        return image.resize(size, Image.Resampling.NEAREST)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def hatched(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture with its hole in grey checks, as editors show transparency.

    Args:
        image: uint8 ``(H, W, C)``.
        mask: float ``(H, W, 1)`` in [0, 1], 1 = fill.
    """
    rows, columns = np.indices(mask.shape[:2])
    checks = np.where((rows // 2 + columns // 2) % 2, 176, 208)[..., None]
    return np.rint(image * (1 - mask) + checks * mask).astype(np.uint8)


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]],
    captions: Sequence[str] = (),
    side: int = 128,
    title: str = "",
) -> Image.Image:
    """Pictures in rows with labels on their left and captions above the columns.

    Args:
        rows: (label, uint8 pictures ``(H, W, C)``) from top to bottom.
        captions: one per column, cut at their left where they are too wide.
        side: cell size in pixels; gaps and letters go with it.
        title: above it all.
    """
    gap = min(max(side // 20, 2), 12)
    size = min(max(side // 8, 11), 24)
    text, small = ImageFont.load_default(size), ImageFont.load_default(max(11, size - 3))
    left = 2 * gap + max((math.ceil(text.getlength(label)) for label, _ in rows), default=0)
    head = size + 3 * gap if title else 0
    top = head + gap + (size + gap if captions else 0)
    columns = max((len(pictures) for _, pictures in rows), default=0)
    width = left + gap + columns * (side + gap)
    width = max(width, math.ceil(text.getlength(title)) + 4 * gap)
    sheet = Image.new("RGB", (width, top + len(rows) * (side + gap)), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((2 * gap, 2 * gap), title, INK, text, anchor="lt")
    for column, caption in enumerate(captions):
        centre = left + gap + column * (side + gap) + side // 2
        draw.text((centre, top - gap), _shortened(caption, small, side), INK, small, anchor="ms")
    for row, (label, pictures) in enumerate(rows):
        y = top + row * (side + gap)
        draw.text((left - gap, y + side // 2), label, INK, text, anchor="rm")
        for column, picture in enumerate(pictures):
            cell = thumbnail(picture, side)
            x = left + gap + column * (side + gap)
            sheet.paste(cell, (x + (side - cell.width) // 2, y + (side - cell.height) // 2))
    return sheet


def _shortened(text: str, font: Font, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"
