"""LightningDataModules: where masked pictures come from (mask 1 = fill, 0 = known)."""

from datamodules.base import MaskedPictures
from datamodules.cifar10 import CIFAR10Masks
from datamodules.collate import Sample, collate
from datamodules.folder import FolderMasks
from datamodules.generated import GeneratedMasks
from datamodules.masks import MASK_KINDS, resolve_masks

__all__ = [
    "MASK_KINDS",
    "CIFAR10Masks",
    "FolderMasks",
    "GeneratedMasks",
    "MaskedPictures",
    "Sample",
    "collate",
    "resolve_masks",
]
