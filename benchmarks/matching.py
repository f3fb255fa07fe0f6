"""How well presets match the known pixels, on real pictures and on the generator's own samples.

    python benchmarks/matching.py --images pictures.zip --limit 16 --masks right_half,center

Prints one row per (pictures, mask, preset): median PSNR on the known pixels and in the hole of the
raw output, |u|^2 / D (1 for prior draws), gradient evaluations, seconds per picture, and the processor.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser
from torch import Tensor

from datamodules import FolderMasks, GeneratedMasks, MaskedPictures
from lightning_inpaint import Completions, LatentInpainter

CONFIGS = Path(__file__).parents[1] / "configs"


def preset(name: str, generator: str) -> LatentInpainter:
    """The module that ``configs/NAME.yaml`` describes; ``default`` is no file but the defaults."""
    parser = ArgumentParser()
    parser.add_class_arguments(LatentInpainter, "model")
    settings = {"model": {}} if name == "default" else _settings(CONFIGS / f"{name}.yaml")
    settings["model"]["generator"] = generator
    made = parser.instantiate_classes(parser.parse_object(settings))
    module: LatentInpainter = made.model
    return module


def _settings(path: Path) -> dict[str, Any]:
    return {"model": yaml.safe_load(path.read_text())["model"]}


def hole_psnr(result: Completions) -> Tensor:
    """PSNR (N,) in dB of the best chain's raw output in the hole (mask 1 = fill)."""
    error = (result.raw[:, 0].float() - result.image.float()).square() * result.mask
    values = result.mask.sum(dim=(1, 2, 3)) * result.image.shape[1]
    return 10 * torch.log10(255**2 * values / error.sum(dim=(1, 2, 3)))


def row(module: LatentInpainter, pictures: MaskedPictures) -> str:
    """Complete all pictures and put the medians into one line."""
    pictures.setup("predict")
    started = time.monotonic()
    results = [r for b in pictures.predict_dataloader() if (r := module.predict_step(b))]
    seconds = time.monotonic() - started
    known = torch.cat([r.psnr[:, 0] for r in results]).median()
    hole = torch.cat([hole_psnr(r) for r in results]).median()
    radius = torch.cat([r.diagnostics["u2_over_d"][:, 0] for r in results]).median()
    count = sum(map(len, results))
    return f"{known:8.1f} {hole:8.1f} {radius:8.2f} {seconds / count:12.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generator", default="cifar10")
    parser.add_argument("--images", help="folder or zip of real pictures; none = own samples only")
    parser.add_argument("--presets", default="seed,fast,default,map")
    parser.add_argument("--masks", default="right_half,center,strokes,random_pixels:0.8")
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=32)
    given = parser.parse_args()
    processor = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    print(f"{given.limit} pictures, medians; {processor}")
    print(f"{'pictures':8} {'mask':18} {'preset':10} known dB  hole dB  |u|^2/D  s a picture")
    options = {"batch_size": given.batch_size, "limit": given.limit}
    for mask in given.masks.split(","):
        own = GeneratedMasks(given.generator, given.limit, None, masks=mask, **options)
        sets: dict[str, MaskedPictures] = {"own": own}
        if given.images:
            # every n-th picture, so that all classes are there
            sets["real"] = FolderMasks(given.images, masks=mask, shard="1/78", **options)
        for name in given.presets.split(","):
            module = preset(name, given.generator)
            for kind, pictures in sets.items():
                print(f"{kind:8} {mask:18} {name:10} {row(module, pictures)}", flush=True)


if __name__ == "__main__":
    main()
