"""The chart of a run and the colours of a map, by matplotlib, which is imported when it is used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

__all__ = ["Chart", "heat", "line_chart"]

INK, PALE, STRONG = "#28282f", "#96b4d6", "#c43c28"


def heat(values: np.ndarray) -> np.ndarray:
    """``(H, W)`` in [0, 1] to colours, uint8 ``(H, W, 3)``: dark is low, pale yellow is high."""
    from matplotlib import colormaps

    return colormaps["magma"](values, bytes=True)[..., :3]


class Chart(NamedTuple):
    """A line chart with a logarithmic y axis.

    Attributes:
        title: Above the chart.
        x_label: Below the x axis.
        y_label: Above the y axis.
        lines: Each (xs, ys), drawn pale.
        highlight: (xs, ys) of the line drawn strong and on top.
        legend: Names of a pale line and of the strong one.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[tuple[Sequence[float], Sequence[float]]]
    highlight: tuple[Sequence[float], Sequence[float]]
    legend: tuple[str, str]


def line_chart(chart: Chart, size: tuple[int, int] = (900, 520)) -> Image.Image:
    """The chart as a picture of ``size`` (width, height). Values that have no logarithm leave gaps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((size[0] / 100, size[1] / 100), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for xs, ys in chart.lines:
        axes.plot(xs, _with_gaps(ys), color=PALE, linewidth=0.9)
    axes.plot([], [], color=PALE, label=chart.legend[0])
    xs, ys = chart.highlight
    axes.plot(xs, _with_gaps(ys), color=STRONG, linewidth=2, label=chart.legend[1])
    axes.set_yscale("log")
    axes.set_title(chart.title, loc="left", color=INK)
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    axes.grid(color="#e4e4ea")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper right", frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _with_gaps(ys: Sequence[float]) -> list[float]:
    return [y if math.isfinite(y) and y > 0 else math.nan for y in ys]
