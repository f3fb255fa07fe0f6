"""``completions.png`` and ``energies.png``: the run at a glance."""

from __future__ import annotations

import math
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
from .atomic import write_bytes
from .chart import Chart, line_chart
from .finish import Finisher, RunResult
from .imaging import encode, split_masked
from .layout import OutputFolder

__all__ = ["CompletionFigure", "completions_figure", "energies_figure", "load_views"]

#: Chains drawn in one chart; more cannot be told apart.
MAX_LINES = 256


class CompletionFigure(Finisher):
    """Draws ``completions.png`` and ``energies.png`` when all pictures are done.

    The first has the rows original, masked, completions and full generated images, and one column
    per picture. The second has the energy of each chain against the Langevin step, on a logarithmic
    axis, with the median highlighted.

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
        shown = run.pictures[: self.pictures]
        if not shown:
            return
        records = [run.folder.read_record(picture) for picture in shown]
        figure = completions_figure(run.folder, records, self.chains, self.side)
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
    folder: OutputFolder, records: Sequence[dict[str, Any]], chains: int = 4, side: int = 128
) -> Image.Image:
    """Rows *original, masked, completions, full generated images*; one column per record."""
    views = [load_views(folder, record, chains) for record in records]
    count = max(len(view.completions) for view in views)
    rows = [("original", [v.original for v in views]), ("masked", [v.masked for v in views])]
    for kind, name in (("completions", "completion"), ("generated", "full generated image")):
        for k in range(count):
            label = f"{name} {k + 1}" if count > 1 else f"{name}s" if len(views) > 1 else name
            rows.append((label, [getattr(view, kind)[k] for view in views]))
    return contact_sheet(rows, [record["id"] for record in records], side)


def energies_figure(records: Sequence[dict[str, Any]]) -> Image.Image:
    """Energy against Langevin step, one line per chain, the median on top."""
    curves = [
        (record["curve"]["steps"], energies)
        for record in records
        for energies in record["curve"]["energies"]
    ][:MAX_LINES]
    longest = max((steps for steps, _ in curves), key=len)
    alike = [energies for steps, energies in curves if steps == longest]
    middle = [_median(values) for values in zip(*alike, strict=True)]
    chart = Chart(
        title=f"Energy of {len(curves)} {'chain' if len(curves) == 1 else 'chains'}",
        x_label="Langevin step",
        y_label="squared error on the known pixels, summed",
        lines=[
            (steps, [math.nan if e is None else e for e in energies]) for steps, energies in curves
        ],
        highlight=(longest, middle),
        legend=("one chain", "median"),
    )
    return line_chart(chart)


def _median(values: Sequence[float | None]) -> float:
    finite = [value for value in values if value is not None]
    return median(finite) if finite else math.nan


def _channels_last(image: Image.Image) -> np.ndarray:
    array = np.array(image)
    return array if array.ndim == 3 else array[..., None]
