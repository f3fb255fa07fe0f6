"""Time until a preset matches the known pixels as well as another one does in the end.

    PYTHONPATH=. python benchmarks/time_to_error.py --images pictures.zip --limit 16

The reference (``--reference seed``) completes the pictures; each preset then does, and the moment is
noted at which its median PSNR on the known pixels first reaches the reference's final one. Real test
pictures where ``--images`` is given, the generator's own samples too.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import pytorch_lightning as pl
import torch
from presets import hardware, picture_sets, preset

from lightning_inpaint import SamplerState
from lightning_inpaint.datamodules import MaskedPictures
from lightning_inpaint.inference.observation import known_psnr, known_weight


class Watch(pl.Callback):
    """Median PSNR on the known pixels against seconds since the first batch was at hand.

    Attributes:
        curve: (seconds, steps, dB), a point per step.
    """

    def __init__(self) -> None:
        self.curve: list[tuple[float, int, float]] = []
        self.started = 0.0

    def on_predict_batch_start(self, *args: Any) -> None:
        self.started = time.monotonic()

    def on_sampler_step(self, trainer: Any, module: Any, state: SamplerState) -> None:
        psnr = known_psnr(state.energy, known_weight(state.batch["mask"]), 3)
        seconds = time.monotonic() - self.started
        self.curve.append((seconds, state.step, float(psnr.median())))


def watched(name: str, generator: str, pictures: MaskedPictures) -> list[tuple[float, int, float]]:
    """The curve of one preset over one batch."""
    module, watch = preset(name, generator, report_every=1), Watch()
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[watch],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.predict(module, pictures.predict_dataloader(), return_predictions=False)
    return watch.curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generator", default="cifar10")
    parser.add_argument("--images", help="folder or zip of real pictures; none = own samples only")
    parser.add_argument("--reference", default="seed")
    parser.add_argument("--presets", default="default,fast")
    parser.add_argument("--mask", default="right_half")
    parser.add_argument("--limit", type=int, default=16, help="pictures, in one batch")
    given = parser.parse_args()
    torch.set_flush_denormal(True)
    print(f"{given.limit} pictures, {given.mask}; {hardware()}")
    sets = picture_sets(given.generator, given.images, given.mask, given.limit, given.limit)
    for kind, pictures in sets.items():
        seconds, steps, final = watched(given.reference, given.generator, pictures)[-1]
        print(f"{kind}: {given.reference} ends at {final:.1f} dB, {steps} steps, {seconds:.1f} s")
        for name in given.presets.split(","):
            curve = watched(name, given.generator, pictures)
            there = [point for point in curve if point[2] >= final]
            if not there:
                print(f"{kind}: {name} does not get there ({curve[-1][2]:.1f} dB)")
                continue
            own, step, _ = there[0]
            print(f"{kind}: {name} is there after {step} steps, {own:.2f} s: x {seconds / own:.1f}")


if __name__ == "__main__":
    main()
