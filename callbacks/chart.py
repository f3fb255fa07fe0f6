"""The chart of a run and the colours of a map, by matplotlib, which is imported when it is used."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image

__all__ = ["energy_chart", "heat"]

INK, PALE, STRONG = "#28282f", "#96b4d6", "#c43c28"

#: Chains drawn in one chart; more cannot be told apart.
MOST_LINES = 64


def heat(values: np.ndarray) -> np.ndarray:
    """``(H, W)`` in [0, 1] to colours, uint8 ``(H, W, 3)``: dark is low, pale yellow is high."""
    from matplotlib import colormaps

    return colormaps["magma"](values, bytes=True)[..., :3]


def energy_chart(
    energies: np.ndarray,
    xs: Sequence[float],
    x_label: str,
    burn_in: float | None = None,
    floor: float | None = None,
    size: tuple[int, int] = (900, 520),
) -> Image.Image:
    """Energies on a logarithmic axis as a picture of ``size`` (width, height).

    Args:
        energies: (chains, points); what has no logarithm leaves a gap.
        xs: one per point.
        x_label: what they count.
        burn_in: where draws begin; None = nowhere.
        floor: the energy that a draw has; None = unknown.
        size: in pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with np.errstate(invalid="ignore"):
        energies = np.where(np.isfinite(energies) & (energies > 0), energies, np.nan)
    count = len(energies)
    drawn = energies[
        np.unique(np.linspace(0, count - 1, min(count, MOST_LINES)).round().astype(int))
    ]
    figure = Figure((size[0] / 100, size[1] / 100), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(xs, drawn.T, color=PALE, linewidth=0.8)
    axes.plot([], [], color=PALE, label="one chain")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # points where no chain is finite
        low, middle, high = np.nanquantile(energies, [0.1, 0.5, 0.9], axis=0)
    if count > 2:
        axes.fill_between(
            xs, low, high, color=STRONG, alpha=0.12, linewidth=0, label="80 % of them"
        )
    axes.plot(xs, middle, color=STRONG, linewidth=2, label="median")
    if floor:  # nothing known, no energy
        words = "noise_std$^2$ times known values (a draw's)"
        axes.axhline(floor, color=INK, linestyle="--", linewidth=1.2, label=words)
    if burn_in is not None:
        axes.axvspan(xs[0], burn_in, color=INK, alpha=0.05, linewidth=0, label="burn-in, no draws")
    if np.isfinite(energies).any() or floor:
        axes.set_yscale("log")
    chains = "1 chain" if count == 1 else f"{count:,} chains"
    shown = f", {len(drawn)} of them drawn" if len(drawn) < count else ""
    axes.set_title(f"Energy of {chains}{shown}", loc="left", color=INK)
    axes.set_xlabel(x_label)
    axes.set_ylabel("squared error on the known pixels, summed")
    axes.margins(x=0.01)
    axes.grid(color="#e4e4ea")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper right", frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
