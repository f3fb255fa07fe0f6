"""Writes the averaged generator in the form that ``predict`` loads."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from ...errors import UserError
from ...generators.checkpoints.native import save_generator
from ...generators.stylegan2 import StyleGAN2Generator
from ...training import GeneratorTraining
from ...training.start import discriminator_path, save_discriminator

__all__ = ["ExportGenerator", "with_average_style"]


@torch.no_grad()
def with_average_style(generator: StyleGAN2Generator, count: int = 10_000) -> StyleGAN2Generator:
    """A float32 CPU copy whose ``w_avg`` is the mean style of ``count`` latents (fixed seed).

    Classes are drawn evenly. The mean serves truncation and samplers that start from it.
    """
    generator = copy.deepcopy(generator).cpu().float().eval()
    generator.set_compute(None)
    stream = torch.Generator().manual_seed(0)
    z = torch.randn(count, generator.z_dim, generator=stream)
    classes = generator.num_classes
    labels = torch.arange(count) % classes if classes else None
    generator.mapping.w_avg.copy_(generator.mapping.single(z, labels).mean(dim=0))
    return generator


class ExportGenerator(pl.Callback):
    """Writes the averaged generator at intervals and at the end of training.

    Args:
        path: File to write, replaced as a whole; relative to the trainer's root directory. With
            ``{steps}`` or ``{pictures}`` in it, of which the number takes the place, every file is kept:
            the last generator is not always the best.
        dtype: Type of the weights on disk: float16 or float32.
        every_n_steps: Steps from one file to the next; 0 = at the end only.
        discriminator: Write the discriminator too, beside the generator, for --model.start_discriminator.
    """

    def __init__(
        self,
        path: str = "generator.safetensors",
        dtype: str = "float16",
        every_n_steps: int = 2000,
        discriminator: bool = False,
    ) -> None:
        self.path, self.dtype, self.every_n_steps = path, dtype, every_n_steps
        self.discriminator = discriminator

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write at intervals; training goes on where that fails."""
        assert isinstance(pl_module, GeneratorTraining)
        if self.every_n_steps and pl_module.steps % self.every_n_steps == 0:
            try:
                self.write(trainer, pl_module)
            except UserError as error:
                warnings.warn(str(error), stacklevel=1)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the last state, after the last checkpoint."""
        assert isinstance(pl_module, GeneratorTraining)
        self.write(trainer, pl_module)

    def write(self, trainer: pl.Trainer, module: GeneratorTraining) -> None:
        """Write the file, on the first device only.

        Raises:
            UserError: the disk is full or the folder cannot be written; what was there is kept.
        """
        if not trainer.is_global_zero:
            return
        name = self.path.replace("{steps}", str(module.steps))
        name = name.replace("{pictures}", str(module.seen))
        path = Path(trainer.default_root_dir, name)
        generator: nn.Module = module.averaged
        assert isinstance(generator, StyleGAN2Generator)
        try:
            save_generator(with_average_style(generator), path, self.dtype)
            if self.discriminator:
                save_discriminator(module.discriminator, discriminator_path(path))
        except OSError as error:
            raise UserError(
                f"{path}: the generator cannot be written ({error.strerror or error}); the file "
                "of before, if any, and the checkpoints are kept."
            ) from None
