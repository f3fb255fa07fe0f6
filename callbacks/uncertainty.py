"""Where the completions of a picture agree and where they do not."""

from __future__ import annotations

import io

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.atomic import write_bytes
from callbacks.drawing import heat
from callbacks.finish import writer_of
from callbacks.imaging import encode, to_array
from lightning_inpaint.completions import Completions
from lightning_inpaint.errors import UserError

__all__ = ["UncertaintyMaps", "posterior_spread"]


class UncertaintyMaps(Callback):
    """Writes each picture's posterior standard deviation over its chains, pixel by pixel.

    ``uncertainty/<id>.png`` shows it in colours, dark for agreement and pale yellow for the most
    difference; ``uncertainty/<id>.npz`` holds ``mean`` and ``std``, float32 (H, W, C) of the completions at
    the generator's resolution in units of the data range (0 = black, 1 = white). Known pixels have a
    standard deviation of 0. With one chain per picture there is nothing to write.

    Args:
        scale: Standard deviation that gets the last colour, the same for all pictures.
    """

    def __init__(self, scale: float = 0.4) -> None:
        if not scale > 0:
            raise UserError(f"UncertaintyMaps' scale is {scale}: it must be greater than 0.")
        self.scale = scale

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "predict":
            writer_of(trainer, needed_by=self)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Completions | None,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the maps of a batch."""
        if outputs is None or outputs.chains < 2:
            return
        folder = writer_of(trainer).folder
        for picture, completions in zip(outputs.id, outputs.composite, strict=True):
            if not folder.usable(picture):
                continue
            mean, std = posterior_spread(completions)
            overall = np.sqrt(np.square(std).mean(axis=2))
            colours = heat((overall / self.scale).clip(0, 1))
            arrays = io.BytesIO()
            np.savez_compressed(arrays, mean=mean, std=std)
            write_bytes(folder.file("uncertainty", picture, ".png"), encode(colours))
            write_bytes(folder.file("uncertainty", picture, ".npz"), arrays.getvalue())


def posterior_spread(completions: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the chains (the unbiased one, over K - 1).

    Args:
        completions: uint8 ``(K, C, H, W)``, K > 1.

    Returns:
        Two float32 arrays ``(H, W, C)`` in units of the data range.
    """
    pixels = np.stack([to_array(each) for each in completions]).astype(np.float64) / 255
    mean, std = pixels.mean(axis=0), pixels.std(axis=0, ddof=1)
    return mean.astype(np.float32), std.astype(np.float32)
