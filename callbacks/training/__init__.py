"""Callbacks of a generator's training: its average, files, sample grids, guard, gentle stop."""

from .average import AverageGenerator
from .export import ExportGenerator, with_average_style
from .guard import DivergenceGuard
from .samples import SampleGrid, draw_grid
from .stopping import GentleStop
from .throughput import Throughput

__all__ = [
    "AverageGenerator",
    "DivergenceGuard",
    "ExportGenerator",
    "GentleStop",
    "SampleGrid",
    "Throughput",
    "draw_grid",
    "with_average_style",
]
