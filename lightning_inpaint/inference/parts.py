"""Pictures with several holes, each completed on its own: their completions put together."""

from __future__ import annotations

from typing import Any

import torch

from ..completions import Completions
from ..images.source import Patch

__all__ = ["PART", "join_parts"]

PART = "//hole"
"""Stands between a picture's id and the number of a further hole, from 2 on."""


def join_parts(completions: Completions) -> Completions:
    """One entry per picture: that of its first hole, the others in its source's patches.

    The energies of a picture's holes are summed, completion by completion, lowest first; the PSNR is that
    of the worst hole, and so are chi2 and the status.
    """
    whole = [name.partition(PART)[0] for name in completions.id]
    if whole == completions.id:
        return completions
    first = {name: n for n, name in enumerate(completions.id)}
    rows: dict[int, list[int]] = {first[name]: [] for name in whole if name in first}
    for n, name in enumerate(whole):
        if completions.id[n] != name and name in first:  # a hole alone may have run out of memory
            rows[first[name]].append(n)
    joined = completions[list(rows)]
    for place, (n, others) in enumerate(rows.items()):
        if not others:
            continue
        every = [n, *others]
        joined.energy[place] = completions.energy[every].sum(0)
        joined.first_energy[place] = completions.first_energy[every].sum(0)
        joined.trace[:, place] = completions.trace[:, every].sum(1)
        joined.psnr[place] = completions.psnr[every].nan_to_num(torch.inf).amin(0)
        if "arrived" in joined.diagnostics:
            found = completions.diagnostics
            joined.diagnostics["chi2"][place] = found["chi2"][every].nan_to_num(0.0).amax(0)
            joined.diagnostics["arrived"][place] = found["arrived"][every].nan_to_num(1.0).amin(0)
        status = (completions.status[m] for m in every)
        joined.status[place] = [_worst(column) for column in zip(*status, strict=True)]
        patches = [(completions.source[m], completions.raw[m]) for m in others]
        source = completions.source[n]
        if source is not None:
            holes = tuple(Patch(other, raw) for other, raw in patches if other is not None)
            joined.source[place] = source.with_patches(holes)
    return joined


def _worst(status: Any) -> str:
    return max(status, key=lambda text: (text.startswith("failed"), text != "ok"))
