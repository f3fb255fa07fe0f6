"""Training of generators: the LightningModule, its adversaries and its callbacks."""

from .adversaries import ProjectedAdversary, StyleGAN2Adversary
from .augment import diff_augment
from .average import AverageGenerator
from .discriminator import StyleGAN2Discriminator
from .export import ExportGenerator, with_average_style
from .guard import DivergenceGuard
from .module import GeneratorTraining
from .progress import Throughput
from .projected import ProjectedHeads
from .samples import SampleGrid, draw_grid

__all__ = [
    "AverageGenerator",
    "DivergenceGuard",
    "ExportGenerator",
    "GeneratorTraining",
    "ProjectedAdversary",
    "ProjectedHeads",
    "SampleGrid",
    "StyleGAN2Adversary",
    "StyleGAN2Discriminator",
    "Throughput",
    "diff_augment",
    "draw_grid",
    "with_average_style",
]
