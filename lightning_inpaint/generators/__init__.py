"""Generators: native networks, readers for published checkpoints, and the registry that finds both.

``load_generator`` is the one entry point; it never executes code stored in a checkpoint.
"""

from lightning_inpaint.generators.checkpoints.native import save_generator
from lightning_inpaint.generators.modules import adapt_generator
from lightning_inpaint.generators.published import CIFAR10_CLASSES
from lightning_inpaint.generators.registry import convert, list_generators, load_generator
from lightning_inpaint.generators.sheet import sample_grid

__all__ = [
    "CIFAR10_CLASSES",
    "adapt_generator",
    "convert",
    "list_generators",
    "load_generator",
    "sample_grid",
    "save_generator",
]
