"""The walk from noise to completion, as a moving picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from ..completions import Completions
from ..errors import UserError
from ..images.compositing import composite
from ..images.levels import to_uint8
from ..images.sheet import contact_sheet, hatched
from ..inference.state import SamplerState
from .explaining import write_bytes
from .finish import Follower, writer_of
from .imaging import to_array

__all__ = ["WalkAnimation"]


class WalkAnimation(Follower):
    """Writes ``animations/<id>.gif`` (or .webp): masked, generated and completed, step by step.

    Shows the chain with the lowest final energy, at each report of the sampler (``report_every`` steps), and
    holds the last frame. Each frame costs one more evaluation of the generator.

    Args:
        pictures: How many pictures of each process to animate, from its first one on.
        every: Take every so manieth report of the sampler as a frame.
        format: File type: gif (256 colours) or webp.
        milliseconds: Time per frame.
        side: Size of each picture in the animation, in pixels.
    """

    def __init__(
        self,
        pictures: int = 8,
        every: int = 1,
        format: Literal["gif", "webp"] = "gif",
        milliseconds: int = 80,
        side: int = 128,
    ) -> None:
        options = {"pictures": pictures, "every": every, "milliseconds": milliseconds, "side": side}
        for name, value in options.items():
            if value < 1:
                raise UserError(f"WalkAnimation's {name} is {value}: it must be at least 1.")
        self.pictures, self.every, self.format = pictures, every, format
        self.milliseconds, self.side = milliseconds, side
        self._left = 0
        self._reports = 0
        self._frames: dict[str, list[Tensor]] = {}
        self._step = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "predict":
            self._left = self.pictures
            self._reports, self._step, self._frames = 0, 0, {}

    def on_sampler_step(
        self, trainer: Trainer, pl_module: LightningModule, state: SamplerState
    ) -> None:
        """Keep a frame, small and on the device."""
        names = state.batch["id"]
        if state.step <= self._step:  # another walk: the batch did not fit into memory as a whole
            self._reports = 0
            self._frames = {n: f for n, f in self._frames.items() if n not in names}
        self._step, self._reports = state.step, self._reports + 1
        room = self._left - len(self._frames.keys() - set(names))
        if room > 0 and (self._reports % self.every == 0 or state.step == state.steps):
            # all chains of the batch are decoded, as in the walk: labels belong to whole batches
            walks = to_uint8(state.decode(state.latents)).unflatten(0, (len(names), -1))
            for name, frame in zip(names[:room], walks, strict=False):
                self._frames.setdefault(name, []).append(frame)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Completions | None,
        batch: object,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the animations of a batch."""
        frames, self._frames, self._reports, self._step = self._frames, {}, 0, 0
        if outputs is None:
            return
        folder = writer_of(trainer).folder
        for n, name in enumerate(outputs.id):
            if name not in frames:
                continue
            self._left -= 1
            if folder.usable(name):
                walk = torch.stack(frames[name])[:, int(outputs.chain[n, 0])].cpu()
                path = folder.file("animations", name, f".{self.format}")
                write_bytes(path, self._encode(walk, outputs.image[n], outputs.mask[n]))

    def _encode(self, walk: Tensor, image: Tensor, mask: Tensor) -> bytes:
        masked = hatched(to_array(image), mask.permute(1, 2, 0).numpy())
        completed = composite(image[None], mask[None], walk[None])[0]
        frames = [
            _frame((masked, to_array(raw), to_array(done)), self.side)
            for raw, done in zip(walk, completed, strict=True)
        ]
        durations = [self.milliseconds] * (len(frames) - 1) + [20 * self.milliseconds]
        buffer = io.BytesIO()
        frames[0].save(
            buffer, self.format, save_all=True, append_images=frames[1:], duration=durations, loop=0
        )
        return buffer.getvalue()


def _frame(pictures: Sequence[np.ndarray], side: int) -> Image.Image:
    return contact_sheet([("", pictures)], ("masked", "generated", "completed"), side)
