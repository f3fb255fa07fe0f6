"""What about a mask deserves a warning (1 or 255 = fill)."""

from __future__ import annotations

import numpy as np

from .fitting import Fitted

__all__ = ["inspect_mask"]


def inspect_mask(
    mask: np.ndarray, fitted: Fitted, drawn_by_hand: bool
) -> tuple[tuple[str, str], ...]:
    """List what may not be as meant, as (kind, sentence).

    Args:
        mask: uint8 (H, W) as given, 255 = fill.
        fitted: the picture and mask at the generator's resolution.
        drawn_by_hand: whether to look at the polarity (not of masks by name).
    """
    notes = []
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
                "border. White = fill; for the opposite pass --data.invert_mask true.",
            )
        )
    if fitted.source is not None:
        left, top, right, bottom = fitted.source.box
        inside = np.count_nonzero(fitted.source.mask[top:bottom, left:right])
        outside = np.count_nonzero(fitted.source.mask) - inside
        if outside:
            share = 100 * outside / (outside + inside)
            notes.append(
                (
                    "outside",
                    f"{share:.0f} % of the hole lies outside the centre crop and stays unfilled; "
                    "--data.fit resize fills all of it.",
                )
            )
    return tuple(notes)


def _looks_inverted(mask: np.ndarray) -> bool:
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return bool((border > 127).mean() > 0.85 and (mask > 127).mean() > 0.5)
