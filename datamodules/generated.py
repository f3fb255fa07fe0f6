"""A generator's own samples, masked: the seed's experiment, and the one without any data."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ArgumentError
from ..generators.identity import weights_digest
from ..generators.sampling import drawing, noise_maps
from ..images.levels import to_uint8
from .base import BatchSize, MaskedPictures
from .collate import Sample
from .labels import label_index
from .masks import resolve_masks
from .pairing import PictureKey
from .streams import torch_stream

__all__ = ["GeneratedMasks", "draw_picture"]


class GeneratedMasks(MaskedPictures):
    """Pictures that a generator made itself, masked: there is a perfect completion to be found.

    The seed's notebook completes eight pictures of class 8 (ships) with the right half missing.

    Args:
        generator: Bundled name (cifar10), checkpoint or class of the generator that makes the pictures.
        num: Number of pictures.
        label: Class (name or number) of all pictures, or a list of classes to be repeated; null for
            all the classes in turn. Ignored by a generator without classes.
        masks: Mask by name (right_half, left_half, top_half, bottom_half, center, random_box,
            strokes, random_pixels, checkerboard, all, none; with a number as in random_pixels:0.8),
            a mask file for every picture, or a folder or zip of masks paired by id
            (0000.png). White = fill.
        batch_size: Pictures completed at the same time; changes memory and speed, never results.
            auto takes as many as the device should hold, 64 on a CPU, with all their chains.
        limit: Take only this many pictures, from the first; null for all.
        invert_mask: Take black for fill instead of white.
        seed: Seed of the pictures and of the random masks; each picture has a stream of its own.
        num_workers: Processes that make pictures ahead; 0 makes them in the main process.
        weights: Which weights of a checkpoint make them, as the model's.
        latent_prior: Of the generator's latents, as the model's.
        value_range: Of its pictures, as the model's.
    """

    def __init__(
        self,
        generator: str | dict[str, Any] = "cifar10",
        num: int = 8,
        label: int | str | list[int | str] | None = 8,
        masks: str = "right_half",
        batch_size: BatchSize = 8,
        limit: int | None = None,
        invert_mask: bool = False,
        seed: int = 0,
        num_workers: int = 0,
        weights: str = "G_ema",
        latent_prior: str | None = None,
        value_range: list[float] | None = None,
    ) -> None:
        super().__init__(batch_size, limit, seed, num_workers)
        if num < 1:
            raise ArgumentError(f"`num` is {num}, and must be at least 1.", "data")
        self.generator = generator
        self.reading = {
            "weights": weights,
            "latent_prior": latent_prior,
            "value_range": value_range,
        }
        self.num = num
        self.label = label
        self.masks = masks
        self.invert_mask = invert_mask

    def setup(self, stage: str | None = None) -> None:
        """Load the generator; pictures are made as they are asked for.

        Raises:
            UserError: if there is no such generator, class or mask.
        """
        # Imported here: the other data modules need no checkpoint readers.
        from ..generators import load_generator

        self._network: Any = load_generator(self.generator, **self.reading)
        self._weights: str | None = None
        self._labels = self._classes()
        self._provider = resolve_masks(self.masks, self.seed)
        count = self.num if self.limit is None else min(self.num, self.limit)
        self.begin([f"{number:04d}" for number in range(count)])

    def _classes(self) -> Sequence[int]:
        classes = int(self._network.num_classes)
        if not classes:
            return [-1]
        if self.label is None:
            return range(classes)
        names = self._network.class_names or [str(number) for number in range(classes)]
        wanted = self.label if isinstance(self.label, list) else [self.label]
        if not wanted:
            raise ArgumentError(
                "`label` is an empty list; pass null for all the classes in turn.", "data"
            )
        labels = [label_index(label, names) for label in wanted]
        if min(labels) < 0:
            raise ArgumentError(
                "`label` -1: a generator with classes needs one to make a picture.", "data"
            )
        return labels

    def digest(self, position: int) -> str:
        """SHA-256 of the generator's weights, the label and the mask's file."""
        if self._weights is None:
            self._weights = weights_digest(self._network)
        label = self._labels[position % len(self._labels)]
        digest = hashlib.sha256(f"{self._weights} label {label}".encode())
        variant = self._provider.variants(PictureKey(self.ids[position]))[0]
        if variant.file is not None:
            digest.update(variant.file.read())
        return digest.hexdigest()

    def absent(self, pictures: Sequence[str]) -> list[str]:
        """None: every number names a picture."""
        return []

    def sample(self, position: int) -> Sample:
        """Make and mask the picture at a position."""
        name, resolution = self.ids[position], int(self._network.resolution)
        label = self._labels[position % len(self._labels)]
        picture = draw_picture(self._network, label, torch_stream(self.seed, "generated", name))
        variant = self._provider.variants(PictureKey(name))[0]
        return self.mask_picture(
            position, picture, self._provider, variant, resolution, label, invert=self.invert_mask
        )


def draw_picture(network: Any, label: int, stream: torch.Generator) -> np.ndarray:
    """One picture of a generator with z and noise drawn from a stream: uint8 (R, R, C).

    Pictures are made one at a time: in a batch they would differ in the last bit with its size.

    Args:
        network: a generator (see `lightning_inpaint.generators`), in eval mode.
        label: class index, or -1 for a generator without classes.
        stream: CPU random stream of this picture.
    """
    z = torch.randn(1, int(network.z_dim), generator=stream)
    labels = torch.tensor([label]) if label >= 0 else None
    with torch.inference_mode():
        image = _with_noise(network, z, labels, stream)[0]
    return to_uint8(image).permute(1, 2, 0).numpy()


def _with_noise(network: Any, z: Tensor, labels: Tensor | None, stream: torch.Generator) -> Tensor:
    noise = noise_maps(network, 1, stream)
    if noise is not None:
        return drawing(network)(z, labels, noise)
    # A generator that draws noise of its own takes it from the global stream.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=stream)))
        image: Tensor = network(z, labels)
        return image
