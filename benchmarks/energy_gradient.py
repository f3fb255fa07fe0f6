"""Energy gradients per second: NVIDIA's code as the seed drives it, and ours, on the same weights.

    python benchmarks/energy_gradient.py PATH_TO/stylegan2-ada-pytorch

NVIDIA's ``cifar`` configuration with channel_base 1536 and channel_max 192, random weights, right half
missing, noise inputs redrawn at each call, float32. One script times both in turn, so that the ratio
holds where the machine's speed drifts; on a busy machine take ``--threads 1 --clock cpu``, processor
time instead of wall time. Needs that repository on disk; nothing of it is part of this
project.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator
from lightning_inpaint.inference.compilation import StepCompiler
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.observation import Observation
from lightning_inpaint.inference.posterior import Posterior
from lightning_inpaint.noise import ChainStreams

CHANNELS = {"channel_base": 1536, "channel_max": 192}


def theirs(repository: str) -> torch.nn.Module:
    """NVIDIA's generator in eval mode, random weights."""
    sys.path.insert(0, repository)
    from training.networks import Generator  # type: ignore[import-not-found]

    torch.manual_seed(0)
    return Generator(512, 10, 512, 32, 3, {"num_layers": 2}, CHANNELS).eval().requires_grad_(False)


def ours(network: torch.nn.Module) -> StyleGAN2Generator:
    """The native generator with the same weights."""
    native = StyleGAN2Generator(512, 10, 512, 32, mapping_layers=2, **CHANNELS)
    weights = {k: v for k, v in network.state_dict().items() if "resample_filter" not in k}
    native.load_state_dict(weights)
    return native.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def seed_gradient(
    network: torch.nn.Module, target: Tensor, known: Tensor
) -> Callable[[Tensor], None]:
    """The gradient as the seed computes it."""
    one_hot = torch.eye(10)[torch.arange(len(target)) % 10]

    def evaluate(z: Tensor) -> None:
        leaf = z.detach().requires_grad_(True)
        picture = network(leaf, one_hot, force_fp32=True)
        energy = -((picture - target) ** 2 * known).sum()
        torch.autograd.grad(energy, leaf)

    return evaluate


def our_gradient(
    native: StyleGAN2Generator, target: Tensor, known: Tensor, compiled: bool
) -> Callable[[Tensor], None]:
    """The gradient as a sampler's closure computes it."""
    space = LatentSpace(native, "z")
    n = len(target)
    streams = ChainStreams.grid(0, [str(i) for i in range(n)], 1)
    evidence = Observation(target, known, torch.arange(n) % 10)
    compiler = StepCompiler() if compiled else None
    posterior = Posterior(space, evidence, streams, "random", compiler)

    def evaluate(z: Tensor) -> None:
        posterior.closure(torch.nn.Parameter(z.clone()))()

    return evaluate


def rate(
    evaluate: Callable[[Tensor], None], batch: int, repeats: int, now: Callable[[], float]
) -> float:
    """Pictures per second of the clock ``now``, the median of ``repeats`` evaluations."""
    z = torch.randn(batch, 512)
    seconds = []
    for _ in range(repeats):
        started = now()
        evaluate(z)
        seconds.append(now() - started)
    return batch / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("repository", help="clone of NVIDIA's stylegan2-ada-pytorch")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--threads", type=int, default=0, help="0 leaves them alone")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    given = parser.parse_args()
    now = time.process_time if given.clock == "cpu" else time.perf_counter
    if given.threads:
        torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    network = theirs(given.repository)
    native = ours(network)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, pictures per second")
    for batch in given.batches:
        target = torch.rand(batch, 3, 32, 32) * 2 - 1
        known = torch.ones(batch, 1, 32, 32)
        known[..., 16:] = 0
        forms = {
            "seed's": seed_gradient(network, target, known),
            "ours": our_gradient(native, target, known, False),
        }
        if not given.no_compile:
            forms["ours, compiled"] = our_gradient(native, target, known, True)
        rates: dict[str, list[float]] = {name: [] for name in forms}
        for evaluate in forms.values():
            rate(evaluate, batch, 1, now)  # warm-up
        for _ in range(given.rounds):
            for name, evaluate in forms.items():
                repeats = 3 if name != "seed's" else 1
                rates[name].append(rate(evaluate, batch, repeats, now))
        for name, values in rates.items():
            ratio = statistics.median(a / b for a, b in zip(values, rates["seed's"], strict=True))
            print(f"batch {batch:3}  {name:15} {statistics.median(values):8.1f}  x {ratio:5.1f}")


if __name__ == "__main__":
    main()
