"""Do chains arrive? Own samples, where a perfect completion exists, on any generator, mask and sampler.

    python benchmarks/arrival.py --generator cifar10 --latents z --noise_std 0.1 --truncation 1
    PYTHONPATH=benchmarks python benchmarks/arrival.py --generator tiny_generators:Digits@tiny/Digits.pt
    python benchmarks/arrival.py --generator package.module:Class@weights.pt --masks right_half,center

Pictures are the generator's, from known latents, with noise of standard deviation ``--noise_std`` added and
neither rounded nor clipped: what is known of each is a draw of the model that the sampler assumes. One row
per mask:

- ``chains``, ``pictures``: share of chains that have arrived, and of pictures whose completion of lowest
  energy has (chi2 below 1 + 3 sqrt(2 / known values), ``inference/observation.py``); ``chi2``, its median;
- ``to truth``, ``between``: mean root-mean-square distance in the hole of a draw to the truth, and of two
  independent draws to each other, on [-1, 1]; ``ratio``, the first over the second: 1 where the truth looks
  like one more draw, with its standard error over pictures; ``mode``, the distance to the truth of a chain
  that started there;
- ``R-hat``: median over pictures, of the chains, and of the chains with the truth's; - where a sampler keeps
  no draws;
- ``evals`` of a chain; and per picture whose best completion has arrived: evaluations of all chains, and
  seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import torch
from presets import hardware
from torch import Tensor
from torchvision.utils import make_grid, save_image

from lightning_inpaint import LatentInpainter
from lightning_inpaint.completing import inpainter
from lightning_inpaint.datamodules import resolve_masks
from lightning_inpaint.datamodules.pairing import MaskVariant
from lightning_inpaint.inference.agreement import agreement
from lightning_inpaint.noise import ChainStreams, Purpose


class Trial:
    """Own samples of a generator, one mask each, and a batch for ``predict_step``.

    Args:
        module: its generator, latents and truncation are taken.
        pictures: how many.
        noise_std: sigma of what is added.
        mask: name of a mask; several of a kind differ from picture to picture.
    """

    def __init__(self, module: LatentInpainter, pictures: int, noise_std: float, mask: str) -> None:
        space, ids = module.space, [f"own {i}" for i in range(pictures)]
        streams = ChainStreams(17, ids, [0] * pictures)
        classes = int(module.generator.num_classes)
        labels = torch.arange(pictures) % classes if classes else None
        self.truth = streams.normal(0, space.dim, Purpose.START)
        provider = resolve_masks(mask, 0)
        size = int(module.generator.resolution)
        masks = [torch.from_numpy(provider.load(MaskVariant(), name, size)) for name in ids]
        self.mask = (torch.stack(masks)[:, None] > 0).float()
        with torch.no_grad():
            self.picture = space(self.truth, labels, "const", 1 - self.mask)
        noise = streams.normal(0, self.picture[0].numel(), Purpose.OBSERVATION)
        observed = self.picture + noise_std * noise.view_as(self.picture)
        self.batch = {"image": observed, "mask": self.mask, "id": ids, "label": labels}


class Unrounded(LatentInpainter):
    """Takes pictures as they are, in [-1, 1], and keeps the draws and latents of its walk.

    Attributes:
        start_at: latents (N, D) that chains start at; None = as ever.
    """

    start_at: Tensor | None = None

    def _prepared(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        levels = ((batch["image"] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return {**super()._prepared({**batch, "image": levels}, batch_idx), "image": batch["image"]}

    def _start(self, posterior: Any) -> Tensor:
        """Chosen starts, if there are such."""
        if self.start_at is None:
            return super()._start(posterior)
        rows = torch.arange(len(posterior.streams)) % len(self.start_at)
        return self.start_at[rows].clone()

    def _walk(self, *args: Any, **options: Any) -> Any:
        self.walked = super()._walk(*args, **options)
        return self.walked


def in_hole(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """Root-mean-square difference (...,) of pictures (..., C, H, W) where the mask is 1."""
    squares = ((a - b).square() * mask).sum(dim=(-3, -2, -1))
    return (squares / (mask.sum(dim=(-3, -2, -1)) * a.shape[-3])).sqrt()


def made(given: argparse.Namespace, chains: int, truth: bool) -> Unrounded:
    """The module; ``truth``: one whose chains can start somewhere, in the same posterior."""
    options = {"chains": chains, "seed": given.seed, "noise_std": given.noise_std}
    for name in ("latents", "truncation", "slack"):
        if getattr(given, name) is not None:
            options[name] = getattr(given, name)
    sampler: Any = given.sampler
    if truth:
        sampler = "hmc"
        options["sampler_options"] = {"steps": 60}
    elif given.options:
        options["sampler_options"] = given.options
    built = inpainter(None if truth else given.config, given.generator, sampler, **options)
    built.__class__ = Unrounded
    return built  # type: ignore[return-value]


def rhat(draws: Tensor | None, chains: int) -> str:
    """Median over pictures, or a dash."""
    if draws is None or chains < 2:
        return "-"
    return f"{float(agreement(draws, chains)['rhat'].nanmedian()):.2f}"


def ratio_of(above: Tensor, below: Tensor) -> tuple[float, float]:
    """mean(above) / mean(below), each (n,), and its standard error by the delta method."""
    ratio = above.mean() / below.mean()
    error = (above - ratio * below).std() / below.mean() / len(above) ** 0.5
    return float(ratio), float(error)


def row(given: argparse.Namespace, mask: str) -> str:
    """One line of the table."""
    n, k = given.pictures, given.chains
    module = made(given, k, False)
    trial = Trial(module, n, given.noise_std, mask)
    began = time.perf_counter()
    result = module.predict_step(trial.batch)
    seconds = time.perf_counter() - began
    assert result is not None
    pictures = module.walked.pictures.unflatten(0, (n, k))
    hole = trial.mask[:, None]
    to_truth = in_hole(pictures, trial.picture[:, None], hole)
    pairs = [
        in_hole(pictures[:, i], pictures[:, j], trial.mask) for i in range(k) for j in range(i)
    ]
    apart = torch.stack(pairs).mean(dim=0) if pairs else torch.full((n,), torch.nan)
    ratio, error = ratio_of(to_truth.mean(dim=1), apart)
    mode = torch.nan
    together = "-"
    if not given.no_truth:
        held = made(given, 2, True)  # two of a picture, or no draws are kept
        held.start_at, held.warm_start = trial.truth.repeat_interleave(2, 0), 1
        own = held.predict_step(trial.batch)
        assert own is not None
        mode = float(
            in_hole(
                held.walked.pictures.unflatten(0, (n, 2)), trial.picture[:, None], hole
            ).median()
        )
        a, b = module.walked.draws, held.walked.draws
        if a is not None and b is not None:
            length = min(len(a), len(b))
            both = [x[-length:].unflatten(1, (n, -1)) for x in (a, b)]
            both[1] = both[1][:, :, :1]
            together = rhat(torch.cat(both, dim=2).flatten(1, 2), k + 1)
    if given.figure:
        hidden = torch.where(trial.mask > 0, 0.0, trial.batch["image"])
        known = trial.picture[:, None] * (1 - hole) + pictures * hole
        shown = torch.cat([trial.picture[:, None], hidden[:, None], known], dim=1)[:8]
        tiles = (shown.transpose(0, 1).flatten(0, 1) + 1) / 2
        save_image(make_grid(tiles.clamp(0, 1), len(shown), 2), f"{given.figure}_{mask}.png")
    arrived = result.diagnostics["arrived"]
    spent = result.diagnostics["gradient_evaluations"]
    successes = max(float(arrived[:, 0].sum()), 1e-9)
    chi2 = result.diagnostics["chi2"]
    return (
        f"{mask:18} {float(arrived.mean()):6.2f} {float(arrived[:, 0].mean()):8.2f} "
        f"{float(chi2.median()):8.2f} {float(to_truth.mean()):8.3f} {float(apart.mean()):8.3f} "
        f"{ratio:6.2f} {error:5.2f} {mode:7.3f} "
        f"{rhat(module.walked.draws, k):>6} {together:>6} {float(spent.mean()):8.0f} "
        f"{float(spent.sum()) / successes:8.0f} {seconds / successes:8.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--generator", default="cifar10")
    parser.add_argument("--config", help="a preset; left out: the defaults")
    parser.add_argument("--sampler", help="its short name; left out: the default")
    parser.add_argument("--options", type=json.loads, help="of the sampler, as JSON")
    parser.add_argument("--latents")
    parser.add_argument("--truncation", type=float)
    parser.add_argument("--slack", type=float)
    parser.add_argument("--noise_std", type=float, default=0.05)
    parser.add_argument("--masks", default="right_half,center,random_pixels:0.8")
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no_truth", action="store_true", help="no chains from the truth")
    parser.add_argument(
        "--figure", help="first letters of PNG files: truth, known part, completions"
    )
    given = parser.parse_args()
    torch.set_flush_denormal(True)
    shown = made(given, given.chains, False)
    print(
        f"{given.generator}: {shown.space.name}, D {shown.space.dim}, {shown.sampler.name}, sigma "
        f"{given.noise_std}; {given.pictures} own samples x {given.chains} chains; {hardware()}"
    )
    print(
        f"{'mask':18} chains pictures     chi2 to truth  between  ratio   +/-    mode  R-hat  truth    "
        "evals  per arrived picture, s"
    )
    for mask in given.masks.split(","):
        print(row(given, mask), flush=True)


if __name__ == "__main__":
    main()
