"""How well presets match the known pixels, on real pictures and on the generator's own samples.

    PYTHONPATH=. python benchmarks/matching.py --images pictures.zip --limit 16 --masks right_half,center

Prints one row per (pictures, mask, preset): median PSNR on the known pixels and in the hole of the
raw output, |u|^2 / D (1 for prior draws), gradient evaluations and seconds per picture, and the hardware.
"""

from __future__ import annotations

import argparse
import time

import torch
from presets import hardware, picture_sets, preset
from torch import Tensor

from lightning_inpaint import Completions, LatentInpainter
from lightning_inpaint.datamodules import MaskedPictures


def hole_psnr(result: Completions) -> Tensor:
    """PSNR (N,) in dB of the best chain's raw output in the hole (mask 1 = fill)."""
    error = (result.raw[:, 0].float() - result.image.float()).square() * result.mask
    values = result.mask.sum(dim=(1, 2, 3)) * result.image.shape[1]
    return 10 * torch.log10(255**2 * values / error.sum(dim=(1, 2, 3)))


def row(module: LatentInpainter, pictures: MaskedPictures) -> str:
    """Complete all pictures and put the medians into one line."""
    started = time.monotonic()
    results = [r for b in pictures.predict_dataloader() if (r := module.predict_step(b))]
    seconds = time.monotonic() - started
    known = torch.cat([r.psnr[:, 0] for r in results])
    hole = torch.cat([hole_psnr(r) for r in results])
    radius = torch.cat([r.diagnostics["u2_over_d"][:, 0] for r in results])
    each = seconds / sum(map(len, results))
    return (
        f"{known.median():8.1f} {known.quantile(0.1):7.1f} {hole.median():8.1f} "
        f"{radius.median():8.2f} {each:11.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generator", default="cifar10")
    parser.add_argument("--images", help="folder or zip of real pictures; none = own samples only")
    parser.add_argument("--presets", default="seed,fast,default,map")
    parser.add_argument("--masks", default="right_half,center,strokes,random_pixels:0.8")
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=64)
    given = parser.parse_args()
    print(f"{given.limit} pictures, medians (and worst tenth) in dB; {hardware()}")
    columns = "known dB   tenth  hole dB  |u|^2/D  s a picture"
    print(f"{'pictures':8} {'mask':18} {'preset':10} {columns}")
    for mask in given.masks.split(","):
        sets = picture_sets(given.generator, given.images, mask, given.limit, given.batch_size)
        for name in given.presets.split(","):
            module = preset(name, given.generator)
            for kind, pictures in sets.items():
                print(f"{kind:8} {mask:18} {name:10} {row(module, pictures)}", flush=True)


if __name__ == "__main__":
    main()
