"""Generators: native networks, readers for published checkpoints, and the registry that finds both.

``load_generator`` is the one entry point; it never executes code stored in a checkpoint.
"""

from .checkpoints.native import save_generator
from .modules import adapt_generator
from .priors import LatentPrior
from .published import CIFAR10_CLASSES
from .registry import convert, generator_name, list_generators, load_generator
from .sheet import sample_grid

__all__ = [
    "CIFAR10_CLASSES",
    "LatentPrior",
    "adapt_generator",
    "convert",
    "generator_name",
    "list_generators",
    "load_generator",
    "sample_grid",
    "save_generator",
]
