"""What about a mask deserves a warning (1 or 255 = fill)."""

from __future__ import annotations

import numpy as np

from .fitting import Fit, Fitted, full_mask
from .holes import squares_around

__all__ = ["ENLARGED", "inspect_mask"]

ENLARGED = 2.0
"""Enlargement of the hole above which there is a warning."""


def inspect_mask(
    mask: np.ndarray, parts: list[Fitted], drawn_by_hand: bool, fit: Fit = "resize"
) -> tuple[tuple[str, str], ...]:
    """List what may not be as meant, as (kind, sentence).

    Args:
        mask: uint8 (H, W) as given, 255 = fill.
        parts: the picture and mask at the generator's resolution, one for each square.
        fit: how it got there.
        drawn_by_hand: whether to look at the polarity (not of masks by name).
    """
    fitted, notes = parts[0], []
    if not fitted.mask.any():
        notes.append(("all known", "the mask hides nothing, so the picture stays as it is."))
    elif fitted.mask.min() >= 1:
        notes.append(
            ("all hidden", "the mask hides everything, so completions are draws from the prior.")
        )
    elif drawn_by_hand and _looks_inverted(mask):
        notes.append(
            (
                "inverted",
                "the mask looks inverted: it hides most of the picture and nearly all of its "
                "border. White = fill; for the opposite pass `invert_mask=True`.",
            )
        )
    notes += _enlarged(mask, parts, fit)
    if fitted.source is not None and fit == "crop":
        left, top, right, bottom = fitted.source.box
        inside = np.count_nonzero(fitted.source.mask[top:bottom, left:right])
        outside = np.count_nonzero(fitted.source.mask) - inside
        if outside:
            share = 100 * outside / (outside + inside)
            notes.append(
                (
                    "outside",
                    f"{share:.0f} % of the hole lies outside the centre crop and stays unfilled; "
                    "`fit=resize` fills all of it.",
                )
            )
    return tuple(notes)


def _enlarged(mask: np.ndarray, parts: list[Fitted], fit: Fit) -> list[tuple[str, str]]:
    """Whether what is filled comes from far fewer pixels than the hole has."""
    factor = max(part.enlargement for part in parts)
    if factor <= ENLARGED or not mask.any():
        return []
    side, source = len(parts[0].mask), parts[0].source
    advice = "take a generator of more pixels."
    if fit != "around" and source is not None:
        width, height = source.size
        squares = squares_around(full_mask(mask, height, width), side)
        closer = max(max(r - left, b - top) for (left, top, r, b), _ in squares) / side
        if closer < 0.8 * factor:
            advice = f"`fit=around` brings it down to {closer:.1f}-fold."
    return [
        (
            "enlarged",
            f"the generator draws {side} x {side} pixels, so what fills the hole is enlarged "
            f"{factor:.1f}-fold and will look soft, whatever its PSNR; {advice}",
        )
    ]


def _looks_inverted(mask: np.ndarray) -> bool:
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return bool((border > 127).mean() > 0.85 and (mask > 127).mean() > 0.5)
