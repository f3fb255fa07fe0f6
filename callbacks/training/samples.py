"""Sample grids of the averaged generator, to disk and to loggers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchvision.utils import make_grid, save_image

from ...files import whole_file
from ...generators.sampling import drawing, noise_maps
from ...training import GeneratorTraining

__all__ = ["SampleGrid", "draw_grid"]


@torch.no_grad()
def draw_grid(generator: nn.Module, rows: int = 10, seed: int = 7) -> Tensor:
    """Uncurated samples as one picture (3, H, W) in [0, 1]: a class per column, or just samples.

    Noise maps are drawn too, as in training; latents and noise are a function of ``seed``.
    """
    device = next(generator.parameters()).device
    classes = int(generator.num_classes)  # type: ignore[arg-type]
    columns = classes or rows
    stream = torch.Generator().manual_seed(seed)
    z = torch.randn(rows * columns, int(generator.z_dim), generator=stream)  # type: ignore[arg-type]
    labels = torch.arange(classes).repeat(rows).to(device) if classes else None
    noise = noise_maps(generator, len(z), stream)
    draw = drawing(generator)
    parts = []
    for i in range(0, len(z), 100):
        part = slice(i, i + 100)
        maps = None if noise is None else [n[part] for n in noise]
        picked = None if labels is None else labels[part]
        parts.append(draw(z[part].to(device), picked, maps).float().clamp(-1, 1).cpu())
    return make_grid(torch.cat(parts), columns, 2, normalize=True, value_range=(-1, 1))


class SampleGrid(pl.Callback):
    """Writes a grid of samples of the averaged generator at intervals.

    Args:
        every_n_steps: Steps from one grid to the next.
        folder: Where to, relative to the trainer's root directory.
        rows: Samples of each class.
    """

    def __init__(self, every_n_steps: int = 1000, folder: str = "samples", rows: int = 10) -> None:
        self.every_n_steps, self.folder, self.rows = every_n_steps, folder, rows

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Draw, save, and hand the picture to every logger that takes pictures."""
        assert isinstance(pl_module, GeneratorTraining)
        step = pl_module.steps
        if step % self.every_n_steps or not trainer.is_global_zero:
            return
        grid = draw_grid(pl_module.averaged, self.rows)
        path = Path(trainer.default_root_dir, self.folder, f"step{step:07d}.png")
        try:
            with whole_file(path) as temporary:
                save_image(grid, temporary, format="PNG")
        except OSError as error:  # no reason to stop training
            warnings.warn(f"{path}: cannot be written ({error.strerror or error})", stacklevel=1)
        for logger in trainer.loggers:
            if isinstance(logger, pl.loggers.TensorBoardLogger):
                logger.experiment.add_image("samples", grid, step)
            elif hasattr(logger, "log_image"):
                logger.log_image("samples", [grid], step)
