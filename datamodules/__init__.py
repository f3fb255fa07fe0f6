"""LightningDataModules: where masked pictures come from (mask 1 = fill, 0 = known)."""

from .base import MaskedPictures
from .cifar10 import CIFAR10Masks
from .collate import Sample, collate
from .folder import FolderMasks
from .generated import GeneratedMasks
from .masks import MASK_KINDS, resolve_masks
from .memory import GivenMask, GivenPictures

__all__ = [
    "MASK_KINDS",
    "CIFAR10Masks",
    "FolderMasks",
    "GeneratedMasks",
    "GivenMask",
    "GivenPictures",
    "MaskedPictures",
    "Sample",
    "collate",
    "resolve_masks",
]
