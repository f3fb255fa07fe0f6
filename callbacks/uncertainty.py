"""Where the completions of a picture agree and where they do not."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..completions import Completions
from ..errors import UserError
from .chart import heat
from .explaining import write_bytes
from .finish import Follower
from .imaging import encode, to_array, without_alpha
from .layout import OutputFolder

if TYPE_CHECKING:
    from .writer import CompletionWriter

__all__ = ["RunningSpread", "UncertaintyMaps", "posterior_spread", "spread_view", "spread_colours"]

#: Standard deviation, of the data range, that is shown lightest.
SCALE = 0.4


class UncertaintyMaps(Follower):
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

    def __init__(self, scale: float = SCALE) -> None:
        if not scale > 0:
            raise UserError(f"UncertaintyMaps' scale is {scale}: it must be greater than 0.")
        self.scale = scale
        self._spread = RunningSpread()

    def on_composite(
        self,
        writer: CompletionWriter,
        completions: Completions,
        n: int,
        k: int,
        composite: np.ndarray,
    ) -> None:
        """Take in one completion, as it is written; the last one of a picture completes its maps."""
        if completions.chains < 2:
            return
        if k == 0:
            self._spread = RunningSpread()
        if completions.source[n] is not None:
            self._spread.add(without_alpha(composite).astype(np.float32) / 255)
        if k + 1 == completions.chains:
            self._write(writer.folder, completions, n)

    def _write(self, folder: OutputFolder, completions: Completions, n: int) -> None:
        mean, std = posterior_spread(completions.composite[n])
        arrays = {"mean": mean, "std": std}
        if completions.source[n] is not None:
            large = {"mean": self._spread.mean, "std": self._spread.std}
            arrays = {key: value.astype(np.float16) for key, value in large.items()}
            arrays["fitted_std"] = std
        packed = io.BytesIO()
        np.savez_compressed(packed, scale=np.float32(self.scale), **arrays)
        colours = spread_colours(arrays["std"], self.scale)
        picture = completions.id[n]
        write_bytes(folder.file("uncertainty", picture, ".png"), encode(colours))
        write_bytes(folder.file("uncertainty", picture, ".npz"), packed.getvalue())


class RunningSpread:
    """Mean and standard deviation of arrays that come one by one (Welford's recursion).

    Attributes:
        count: arrays so far.
        mean: of them, entry by entry.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = np.zeros((), np.float32)
        self._squares = np.zeros((), np.float32)

    def add(self, values: np.ndarray) -> None:
        """Take in one more."""
        before = values - self.mean
        self.count += 1
        self.mean = self.mean + before / self.count
        self._squares = self._squares + before * (values - self.mean)

    @property
    def std(self) -> np.ndarray:
        """Over ``count - 1``."""
        return np.sqrt(self._squares / (self.count - 1))


def spread_view(path: Path) -> np.ndarray:
    """The map in colours at the generator's resolution, uint8 ``(H, W, 3)``, from its ``.npz``."""
    with np.load(path) as arrays:
        std = arrays["fitted_std"] if "fitted_std" in arrays else arrays["std"]
        return spread_colours(std, float(arrays["scale"]))


def spread_colours(std: np.ndarray, scale: float = SCALE) -> np.ndarray:
    """A standard deviation ``(H, W, C)`` in colours, uint8 ``(H, W, 3)``; ``scale`` is the lightest."""
    overall = np.sqrt(np.square(std.astype(np.float32)).mean(axis=2))
    return heat((overall / scale).clip(0, 1))


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
