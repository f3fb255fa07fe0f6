"""Drawing with Pillow alone: labelled contact sheets, line charts, colour maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Chart", "contact_sheet", "hatched", "heat", "line_chart", "thumbnail"]

INK, FAINT, PAPER = (40, 40, 48), (222, 222, 228), (255, 255, 255)
PALE, STRONG = (150, 180, 214), (196, 60, 40)

#: Magma-like: dark violet, purple, red, orange, pale yellow (perceived lightness rises evenly).
_HEAT = ((2, 2, 12), (60, 16, 110), (142, 42, 128), (218, 70, 104), (250, 146, 98), (252, 246, 190))

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font(size: int) -> Font:
    """Pillow's built-in font."""
    return ImageFont.load_default(size)


def thumbnail(array: np.ndarray, side: int) -> Image.Image:
    """A picture that fits a square of ``side`` pixels: small ones enlarged by a whole factor,
    pixel by pixel, large ones reduced with antialiasing."""
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


def heat(values: np.ndarray) -> np.ndarray:
    """``(H, W)`` in [0, 1] to colours, uint8 ``(H, W, 3)``: dark is low, pale yellow is high."""
    stops = np.linspace(0, 1, len(_HEAT))
    channels = [np.interp(values, stops, [colour[c] for colour in _HEAT]) for c in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[np.ndarray]]],
    captions: Sequence[str] = (),
    side: int = 128,
) -> Image.Image:
    """Pictures in rows with labels on their left and captions above the columns.

    Args:
        rows: (label, uint8 pictures ``(H, W, C)``) from top to bottom.
        captions: One per column.
        side: Cell size in pixels.
    """
    gap, text = 6, font(15)
    left = 2 * gap + max((math.ceil(text.getlength(label)) for label, _ in rows), default=0)
    top = gap + (20 if captions else 0)
    columns = max((len(pictures) for _, pictures in rows), default=0)
    size = (left + gap + columns * (side + gap), top + len(rows) * (side + gap))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, caption in enumerate(captions):
        centre = left + gap + column * (side + gap) + side // 2
        short = _shortened(caption, font(13), side)
        draw.text((centre, top - 4), short, INK, font(13), anchor="ms")
    for row, (label, pictures) in enumerate(rows):
        y = top + row * (side + gap)
        draw.text((left - gap, y + side // 2), label, INK, text, anchor="rm")
        for column, picture in enumerate(pictures):
            cell = thumbnail(picture, side)
            x = left + gap + column * (side + gap)
            sheet.paste(cell, (x + (side - cell.width) // 2, y + (side - cell.height) // 2))
    return sheet


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
    """Draw at three times the size and reduce it, which smooths the lines."""
    return _ChartDrawing(chart, size, scale=3).image()


class _ChartDrawing:
    def __init__(self, chart: Chart, size: tuple[int, int], scale: int) -> None:
        self.chart, self.size, self.scale = chart, size, scale
        self.canvas = Image.new("RGB", (size[0] * scale, size[1] * scale), PAPER)
        self.draw = ImageDraw.Draw(self.canvas)
        self.box = (78, 62, size[0] - 24, size[1] - 54)  # left, top, right, bottom of the plot
        every = [*chart.lines, chart.highlight]
        self.x_range = _extent([x for xs, _ in every for x in xs], (0, 1))
        ys = [y for _, ys in every for y in ys if _plottable(y)]
        low, high = _extent([math.log10(y) for y in ys], (0, 1))
        margin = max(0.04 * (high - low), 0.02)
        self.y_range = (low - margin, high + margin)

    def image(self) -> Image.Image:
        self._grid()
        for xs, ys in self.chart.lines:
            self._line(xs, ys, PALE, 1.2)
        self._line(*self.chart.highlight, STRONG, 2.4)
        self._words()
        return self.canvas.resize(self.size, Image.Resampling.LANCZOS)

    def _place(self, x: float, log_y: float) -> tuple[float, float]:
        left, top, right, bottom = self.box
        across = (x - self.x_range[0]) / (self.x_range[1] - self.x_range[0])
        up = (log_y - self.y_range[0]) / (self.y_range[1] - self.y_range[0])
        return left + across * (right - left), bottom - up * (bottom - top)

    def _grid(self) -> None:
        left, top, right, bottom = self.box
        for x in _ticks(*self.x_range):
            at = self._place(x, self.y_range[0])[0]
            self._segment([(at, top), (at, bottom)], FAINT, 1)
            self._text((at, bottom + 8), f"{x:g}", 13, "mt")
        for y in _log_ticks(*self.y_range):
            at = self._place(self.x_range[0], math.log10(y))[1]
            self._segment([(left, at), (right, at)], FAINT, 1)
            self._text((left - 8, at), f"{y:g}", 13, "rm")
        self._segment([(left, top), (left, bottom), (right, bottom)], INK, 1.4)

    def _line(self, xs: Sequence[float], ys: Sequence[float], colour: tuple, width: float) -> None:
        run: list[tuple[float, float]] = []
        for x, y in zip(xs, ys, strict=True):
            if _plottable(y):
                run.append(self._place(x, math.log10(y)))
            elif run:  # a gap where a chain was not finite
                self._segment(run, colour, width)
                run = []
        self._segment(run, colour, width)

    def _words(self) -> None:
        left, top, right, bottom = self.box
        self._text((left, 12), self.chart.title, 18, "lt")
        self._text((left, top - 10), self.chart.y_label, 13, "lb")
        self._text(((left + right) / 2, bottom + 30), self.chart.x_label, 14, "mt")
        x = float(right)
        for name, colour, width in (
            (self.chart.legend[1], STRONG, 2.4),
            (self.chart.legend[0], PALE, 1.6),
        ):
            self._text((x, top - 10), name, 13, "rb")
            x -= font(13).getlength(name) + 8
            self._segment([(x - 24, top - 17), (x, top - 17)], colour, width)
            x -= 44

    def _segment(self, points: Sequence[tuple[float, float]], colour: tuple, width: float) -> None:
        if points:
            scaled = [(x * self.scale, y * self.scale) for x, y in points]
            self.draw.line(scaled, colour, round(width * self.scale), joint="curve")

    def _text(self, at: tuple[float, float], text: str, size: int, anchor: str) -> None:
        place = (at[0] * self.scale, at[1] * self.scale)
        self.draw.text(place, text, INK, font(size * self.scale), anchor=anchor)


def _plottable(y: float | None) -> bool:
    return y is not None and math.isfinite(y) and y > 0


def _extent(values: Sequence[float], default: tuple[float, float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else default
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """About seven round numbers in a range."""
    rough = (high - low) / 7
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 between them where the range is short."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    for multiples in ((1,), (1, 2, 5), tuple(range(1, 10))):
        ticks = [m * 10.0**d for d in decades for m in multiples]
        ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(ticks) >= 3:
            return ticks
    return [float(f"{10**y:.4g}") for y in np.linspace(low, high, 4)[1:-1]]


def _shortened(text: str, of: Font, width: int) -> str:
    if of.getlength(text) <= width:
        return text
    while text and of.getlength(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"
