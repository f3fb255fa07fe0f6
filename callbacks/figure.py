"""``completions.png`` and ``energies.png``: the run at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from pytorch_lightning import Trainer

from ..errors import UserError
from ..images.compositing import composite
from ..images.sheet import contact_sheet, hatched
from .chart import energy_chart
from .explaining import write_bytes
from .finish import Finisher
from .imaging import encode, split_masked
from .layout import OutputFolder
from .result import RunResult

__all__ = ["CompletionFigure", "completions_figure", "energies_figure", "load_views"]


class CompletionFigure(Finisher):
    """Draws ``completions.png`` and ``energies.png`` when all pictures are done.

    The first has the rows original, masked, completions and full generated images, and one column
    per picture; its title says so where there are more pictures. The second has the energies of the chains of
    all pictures against gradient evaluations: the median, the middle 80 %, and up to 64 single chains.

    Args:
        pictures: How many pictures to show, from the first one on.
        chains: How many completions to show of each, from the best one on.
        side: Size of each picture in the figure, in pixels.
    """

    def __init__(self, pictures: int = 8, chains: int = 4, side: int = 128) -> None:
        for name, value in (("pictures", pictures), ("chains", chains), ("side", side)):
            if value < 1:
                raise UserError(f"CompletionFigure's {name} is {value}: it must be at least 1.")
        self.pictures = pictures
        self.chains = chains
        self.side = side

    def finish(self, trainer: Trainer, run: RunResult) -> None:
        records = run.records
        if not records:
            return
        first = records[: self.pictures]
        title = f"The first {len(first)} of {len(records):,} pictures"
        title = title if len(first) < len(records) else ""
        figure = completions_figure(run.folder, first, self.chains, self.side, title)
        write_bytes(run.folder.root / "completions.png", encode(np.asarray(figure)))
        write_bytes(run.folder.root / "energies.png", encode(np.asarray(energies_figure(records))))


class Views:
    """What there is to see of one picture, at the generator's resolution, as uint8 ``(H, W, C)``.

    Attributes:
        original: The input.
        masked: The input with its hole hatched.
        completions: Known pixels from the input, the rest generated; best first.
        generated: The full generated pictures, in the same order.
        mask: float ``(H, W, 1)`` in [0, 1], 1 = fill.
    """

    def __init__(self, masked_input: np.ndarray, generated: Sequence[np.ndarray]) -> None:
        self.original, self.mask = split_masked(masked_input)
        self.masked = hatched(self.original, self.mask)
        self.generated = list(generated)
        image, mask = (
            torch.from_numpy(a).permute(2, 0, 1)[None] for a in (self.original, self.mask)
        )
        raw = torch.from_numpy(np.stack(self.generated)).permute(0, 3, 1, 2)[None]
        self.completions = list(composite(image, mask, raw)[0].permute(0, 2, 3, 1).numpy())


def load_views(folder: OutputFolder, record: dict[str, Any], chains: int | None = None) -> Views:
    """The pictures behind a record, read from the output folder."""
    names = [each["raw"] for each in record["completions"][:chains]]
    masked = np.array(Image.open(folder.root / record["input"]))
    return Views(masked, [_channels_last(Image.open(folder.root / name)) for name in names])


def completions_figure(
    folder: OutputFolder,
    records: Sequence[dict[str, Any]],
    chains: int = 4,
    side: int = 128,
    title: str = "",
) -> Image.Image:
    """Rows *original, masked, completions, full generated images*; one column per record."""
    views = [load_views(folder, record, chains) for record in records]
    count = max(len(view.completions) for view in views)
    rows = [("original", [v.original for v in views]), ("masked", [v.masked for v in views])]
    for kind, name in (("completions", "completion"), ("generated", "full generated image")):
        for k in range(count):
            label = f"{name} {k + 1}" if count > 1 else f"{name}s" if len(views) > 1 else name
            rows.append((label, [getattr(view, kind)[k] for view in views]))
    return contact_sheet(rows, [record["id"] for record in records], side, title)


def energies_figure(records: Sequence[dict[str, Any]]) -> Image.Image:
    """Energies against gradient evaluations: all chains counted, some of them drawn.

    The burn-in and the energy of a draw, noise_std^2 times the known values, are marked: a draw is noisier
    than the mode that a descent ends in, so energies rise where the descent goes over into draws.
    """
    curves = [record["curve"] for record in records]
    longest = max(curves, key=lambda curve: len(curve["steps"]))
    alike = [curve["energies"] for curve in curves if curve["steps"] == longest["steps"]]
    energies = np.array([line for lines in alike for line in lines], dtype=float)  # None is NaN
    evaluations = longest.get("evaluations")
    floors = [curve["floor"] for curve in curves if curve.get("floor")]
    return energy_chart(
        energies,
        evaluations or longest["steps"],
        "gradient evaluations of a chain" if evaluations else "step of the sampler",
        burn_in=longest.get("burn_in"),
        floor=median(floors) if floors else None,
    )


def _channels_last(image: Image.Image) -> np.ndarray:
    array = np.array(image)
    return array if array.ndim == 3 else array[..., None]
