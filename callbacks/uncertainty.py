"""Where the completions of a picture agree and where they do not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.atomic import write_bytes
from callbacks.drawing import heat
from callbacks.finish import writer_of
from callbacks.imaging import encode, to_array
from lightning_inpaint.completions import Completions, Source
from lightning_inpaint.compositing import Blend, paste_into_source
from lightning_inpaint.errors import UserError

__all__ = ["UncertaintyMaps", "pasted_spread", "posterior_spread", "spread_view"]


class UncertaintyMaps(Callback):
    """Writes each picture's posterior standard deviation over its chains, pixel by pixel.

    ``uncertainty/<id>.png`` shows it in colours, dark for agreement and pale yellow for the most
    difference; ``uncertainty/<id>.npz`` holds ``mean`` and ``std``, float32 (H, W, C) of the completions in
    units of the data range (0 = black, 1 = white), and ``scale``. Known pixels have a standard deviation of 0.
    Both have the size of the completions: that of the original, where it is larger than the generator's;
    there ``mean`` and ``std`` are float16, and ``fitted_std`` is the one at the generator's resolution.
    With one chain per picture there is nothing to write.

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
        writer = writer_of(trainer)
        for n, picture in enumerate(outputs.id):
            if not writer.folder.usable(picture):
                continue
            arrays = _arrays(outputs, n, writer.blend)
            colours = _colours(arrays["std"], self.scale)
            packed = io.BytesIO()
            np.savez_compressed(packed, scale=np.float32(self.scale), **arrays)
            write_bytes(writer.folder.file("uncertainty", picture, ".png"), encode(colours))
            write_bytes(writer.folder.file("uncertainty", picture, ".npz"), packed.getvalue())


def spread_view(path: Path) -> np.ndarray:
    """The map in colours at the generator's resolution, uint8 ``(H, W, 3)``, from its ``.npz``."""
    with np.load(path) as arrays:
        std = arrays["fitted_std"] if "fitted_std" in arrays else arrays["std"]
        return _colours(std, float(arrays["scale"]))


def _arrays(completions: Completions, n: int, blend: Blend) -> dict[str, np.ndarray]:
    mean, std = posterior_spread(completions.composite[n])
    source = completions.source[n]
    if source is None:
        return {"mean": mean, "std": std}
    full_mean, full_std = pasted_spread(source, completions.raw[n], blend)
    halved = {"mean": full_mean.astype(np.float16), "std": full_std.astype(np.float16)}
    return {**halved, "fitted_std": std}


def _colours(std: np.ndarray, scale: float) -> np.ndarray:
    overall = np.sqrt(np.square(std.astype(np.float32)).mean(axis=2))
    return heat((overall / scale).clip(0, 1))


def pasted_spread(source: Source, raw: Tensor, blend: Blend) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the chains at the size of the original, without its alpha.

    Args:
        source: The original.
        raw: uint8 ``(K, C, h, w)``, K > 1, the generated pictures.
        blend: How they get back into it.

    Returns:
        Two float32 arrays ``(H, W, C)`` in units of the data range. One completion is held at a time.
    """
    count, mean, squares = 0, np.float32(0), np.float32(0)
    for each in raw:  # Welford's recursion
        pasted = paste_into_source(source, to_array(each), blend)
        pixels = pasted[..., None] if pasted.ndim == 2 else pasted
        pixels = pixels[..., : 1 if pixels.shape[2] < 3 else 3].astype(np.float32) / 255
        count, before = count + 1, pixels - mean
        mean = mean + before / count
        squares = squares + before * (pixels - mean)
    return np.asarray(mean), np.sqrt(np.asarray(squares) / (count - 1))


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
