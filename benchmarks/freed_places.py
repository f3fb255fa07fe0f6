"""What it brings that finished chains leave their places to waiting ones.

    PYTHONPATH=. python benchmarks/freed_places.py --images pictures.zip --limit 128 --slots 32

The preset ``matched`` completes the same pictures twice: in one batch, of which ``--slots`` chains walk at
once, and in batches of ``--slots`` whose last chains walk on alone. Real pictures where ``--images`` is
given, the generator's own samples too.
"""

from __future__ import annotations

import argparse
import time

import torch
from presets import hardware, picture_sets, preset

from lightning_inpaint import LatentInpainter
from lightning_inpaint.datamodules import MaskedPictures


def completed(
    module: LatentInpainter, pictures: MaskedPictures
) -> tuple[float, list[float], float]:
    """Seconds, evaluations of each chain, and the lowest PSNR on the known pixels."""
    batches = list(pictures.predict_dataloader())
    start = time.monotonic()
    parts = [module.predict_step(batch) for batch in batches]
    seconds = time.monotonic() - start
    done = [part for part in parts if part is not None]
    evaluations = [float(x) for p in done for x in p.diagnostics["gradient_evaluations"].flatten()]
    return seconds, evaluations, min(float(p.psnr.min()) for p in done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generator", default="cifar10")
    parser.add_argument("--images", help="folder or zip of real pictures; none = own samples only")
    parser.add_argument("--preset", default="matched")
    parser.add_argument("--mask", default="right_half")
    parser.add_argument("--limit", type=int, default=128)
    parser.add_argument("--slots", type=int, default=32)
    given = parser.parse_args()
    torch.set_flush_denormal(True)
    print(f"{given.limit} pictures, {given.mask}; {hardware()}")
    sets = [
        picture_sets(given.generator, given.images, given.mask, given.limit, size)
        for size in (given.limit, given.slots)
    ]
    module = preset(given.preset, given.generator, slots=given.slots)
    for kind in sets[0]:
        freed, evaluations, least = completed(module, sets[0][kind])
        apart, _, _ = completed(module, sets[1][kind])
        mean = sum(evaluations) / len(evaluations)
        print(
            f"{kind}: {mean:.1f} evaluations a picture ({min(evaluations):.0f} to {max(evaluations):.0f}), "
            f"{least:.1f} dB or more; {freed:.1f} s with freed places, {apart:.1f} s in batches "
            f"(x {apart / freed:.2f})"
        )


if __name__ == "__main__":
    main()
