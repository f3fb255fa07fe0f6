"""Training of generators: the LightningModule, its discriminator, its checkpoints.

The callbacks of a training are in :mod:`lightning_inpaint.callbacks.training`.
"""

from .augment import diff_augment
from .checkpoints import WholeCheckpoints
from .discriminator import Discriminator
from .module import GeneratorTraining

__all__ = ["Discriminator", "GeneratorTraining", "WholeCheckpoints", "diff_augment"]
