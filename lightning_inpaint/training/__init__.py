"""Training of generators: the LightningModule, its discriminator and its callbacks."""

from .augment import diff_augment
from .average import AverageGenerator
from .checkpoints import WholeCheckpoints
from .discriminator import Discriminator
from .export import ExportGenerator, with_average_style
from .guard import DivergenceGuard
from .module import GeneratorTraining
from .progress import Throughput
from .samples import SampleGrid, draw_grid
from .stopping import GentleStop

__all__ = [
    "AverageGenerator",
    "Discriminator",
    "DivergenceGuard",
    "ExportGenerator",
    "GeneratorTraining",
    "GentleStop",
    "SampleGrid",
    "Throughput",
    "WholeCheckpoints",
    "diff_augment",
    "draw_grid",
    "with_average_style",
]
