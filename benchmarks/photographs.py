"""Photographs as phones take them, completed with ``--data.fit around``: what is kept, and the memory it takes.

    python benchmarks/photographs.py photographs/

Makes a folder of photographs of 12 to 48 megapixels (Display P3, every EXIF orientation), two holes in
each, completes them at several batch sizes, and prints for each run the peak memory, and whether the known
pixels are the input's bit for bit and profile, EXIF and resolution are there.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

ROOT = Path(__file__).parents[1]
SIZES = ((4032, 3024), (5712, 4284), (8064, 6048))  # 12, 24 and 48 megapixels


@cache
def display_p3() -> bytes:
    """A profile that says Display P3 (its primaries are sRGB's: only its bytes matter here)."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"s\0R\0G\0B", b"D\0i\0s\0p")


def photograph(size: tuple[int, int], seed: int) -> Image.Image:
    """Soft shapes in colours, with grain."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
    grain = random.integers(-6, 7, (size[1], size[0], 1), dtype=np.int16)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def make(folder: Path, count: int) -> None:
    """Write the photographs and their masks."""
    for number in range(count):
        size, orientation = SIZES[number % len(SIZES)], number % 8 + 1
        picture = photograph(size, number)
        exif = Image.Exif()
        exif[0x0112], exif[0x010F], exif[0x0110] = orientation, "Phone", f"Model {number}"
        path = folder / "photographs" / f"p{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=92, exif=exif, icc_profile=display_p3(), dpi=(72, 72))
        width, height = ImageOps.exif_transpose(Image.open(path)).size
        mask = np.zeros((height, width), np.uint8)
        mask[height // 4 : height // 4 + 40, width // 3 : width // 3 + 44] = 255
        mask[height // 2 : height // 2 + 90, width // 2 : width // 2 + 30] = 255
        target = folder / "masks" / f"p{number:02d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(target)


def check(folder: Path, out: Path) -> dict[str, int]:
    """How many composites are as they should be."""
    kept = dict.fromkeys(
        ("pictures", "known pixels", "profile", "EXIF", "upright", "resolution"), 0
    )
    for path in sorted((folder / "photographs").iterdir()):
        given = ImageOps.exif_transpose(Image.open(path))
        mask = np.asarray(Image.open(folder / "masks" / f"{path.stem}.png"))
        written = Image.open(out / "composites" / f"{path.stem}.png")
        same = np.asarray(written)[mask == 0] == np.asarray(given)[mask == 0]
        exif = written.getexif()
        kept["pictures"] += 1
        kept["known pixels"] += bool(same.all())
        kept["profile"] += written.info.get("icc_profile") == display_p3()
        kept["EXIF"] += exif.get(0x010F) == "Phone"
        kept["upright"] += exif.get(0x0112, 1) == 1 and written.size == given.size
        kept["resolution"] += round(written.info.get("dpi", (0, 0))[0]) == 72
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 3, 6])
    given = parser.parse_args()
    make(given.folder, given.count)
    for size in given.batch_sizes:
        out = given.folder / f"out_{size}"
        command = [sys.executable, str(ROOT / "cli.py"), "predict", "--data", "FolderMasks"]
        command += ["--data.images", str(given.folder / "photographs"), "--data.fit", "around"]
        command += ["--data.masks", str(given.folder / "masks"), "--data.batch_size", str(size)]
        command += ["--output_dir", str(out), "--overwrite", "true", "--model.sampler", "map"]
        command += ["--model.sampler.steps", "60", "--trainer.enable_progress_bar", "false"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        kept = ", ".join(f"{key} {value}" for key, value in check(given.folder, out).items())
        print(f"batch {size}: peak {peak:.0f} MiB (largest so far); {kept}", flush=True)


if __name__ == "__main__":
    main()
