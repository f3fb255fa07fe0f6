"""Speed of the step loop: every preset, batch size, precision, eager and compiled, in one table.

    python benchmarks/sampler.py                                    # a few minutes on two cores
    python benchmarks/sampler.py --batches 1 8 64 512 --precisions float32 bfloat16 --compiled
    python benchmarks/sampler.py --nvidia-repo CLONE --seed-repo CLONE   # against the seed's loop
    python benchmarks/sampler.py --device cuda --full --compiled --batches 8 256 512 1024

A picture-step is one gradient of the energy of one picture with everything that goes with it: noise,
clipping, update, Metropolis test. The generator is NVIDIA's ``cifar`` configuration with channel_base
1536 and channel_max 192 and random weights (``--full``: 512 channels, ``--generator``: any other), the
right half is missing. ``share`` is the generator's operation count times the rate, over the rate of a
large matrix product of the same type measured in this run. With clones of
github.com/unixpickle/inpaint-gan and github.com/NVlabs/stylegan2-ada-pytorch (nothing of them is part
of this project) the seed's own loop does the same on the same weights, all forms take turns, and ``x``
is the median of the ratios of neighbours.

On a busy machine use ``--threads 1 --clock cpu``: processor time instead of wall time.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor, nn

from lightning_inpaint import optim
from lightning_inpaint.configs import find_config, preset_names
from lightning_inpaint.generators import load_generator
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator
from lightning_inpaint.inference.compilation import StepCompiler
from lightning_inpaint.inference.float32 import whole_float32
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.observation import Observation
from lightning_inpaint.inference.posterior import Posterior
from lightning_inpaint.inference.walk import walk
from lightning_inpaint.noise import ChainStreams
from lightning_inpaint.optim import SamplerSpec

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Form(NamedTuple):
    """A way of doing the work: ``run()`` makes picture-steps and returns how many."""

    name: tuple[str, str, str]  # preset, precision, eager or compiled
    run: Callable[[], int]


def generator_of(args: argparse.Namespace) -> StyleGAN2Generator:
    """The generator under test, frozen."""
    if args.generator:
        network = load_generator(args.generator)
        if not isinstance(network, StyleGAN2Generator):
            sys.exit("--generator must be a StyleGAN2 generator")
    else:
        torch.manual_seed(0)
        base, top = (32768, 512) if args.full else (1536, 192)
        network = StyleGAN2Generator(
            512, 10, 512, 32, mapping_layers=2, channel_base=base, channel_max=top
        )
        for layer in network.synthesis.convolutions:
            layer.noise_strength.data.fill_(0.1)
    network = network.eval().requires_grad_(False).to(args.device)
    return network.to(memory_format=torch.channels_last)


def operations(network: StyleGAN2Generator) -> int:
    """Floating-point operations of one energy gradient of one picture, filters not counted."""
    total = 0
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor):
            pixels = 1
            if weight.ndim == 4:
                side = getattr(module, "resolution", None)
                if side is None:  # a picture output or a skip connection: its block knows
                    owner = [b for b in network.synthesis.blocks if module in set(b.modules())]
                    side = owner[0].resolution
                pixels = (side // (2 if getattr(module, "up", False) else 1)) ** 2
            total += 2 * weight.numel() * pixels
    return 2 * total


def evidence_of(network: StyleGAN2Generator, n: int, device: torch.device) -> Observation:
    """Random pictures with their right half missing."""
    side = network.resolution
    target = torch.rand(n, network.img_channels, side, side, device=device) * 2 - 1
    known = torch.ones(n, 1, side, side, device=device)
    known[..., side // 2 :] = 0
    labels = torch.arange(n, device=device) % network.num_classes if network.num_classes else None
    return Observation(target, known, labels)


def shortened(options: dict[str, Any], evaluations: int) -> dict[str, Any]:
    """A preset's options for a run of about so many evaluations, its parts in proportion."""
    steps, warm = options["steps"], options.get("warm_up", 0)
    whole = warm + (steps - warm) * options.get("leapfrog", 1)
    share = min(1.0, evaluations / whole)
    options = {**options, "steps": max(2, round(steps * share))}
    if warm:
        options["warm_up"] = max(1, round(warm * share))
        options["steps"] = options["warm_up"] + max(1, round((steps - warm) * share))
    if "trajectories" in options:
        options["trajectories"] = min(options["trajectories"], options["steps"])
    return options


def our_form(
    preset: str, precision: str, compiled: bool, n: int, network: StyleGAN2Generator, args: Any
) -> Form:
    """A shortened walk of a preset."""
    settings = yaml.safe_load(find_config(preset).read_text())["model"]
    space = LatentSpace(network, settings["latents"], settings.get("slack"), settings["truncation"])
    # A preset may name one sampler for few latents and one for many.
    named = getattr(optim, settings["sampler"]["class_path"].rpartition(".")[2])
    shapes = [part.shape for part in space.parts]
    spec = SamplerSpec.of(named, optim.SAMPLERS, shapes, **settings["sampler"]["init_args"])
    make, options = spec.cls, shortened(spec.options, args.steps)
    evidence = evidence_of(network, n, args.device)
    compiler = StepCompiler() if compiled else None
    inputs = settings.get("noise_inputs", "const")
    streams = ChainStreams.grid(0, [str(i) for i in range(n)], 1, args.device)

    def run() -> int:
        posterior = Posterior(space, evidence, streams, inputs, compiler)
        network.set_compute(None if precision == "float32" else TYPES[precision])
        walked = walk(posterior, lambda u, seated: make([seated.group(u)], **options))
        network.set_compute(None)
        return n * walked.evaluations[-1]

    return Form((preset, precision, "compiled" if compiled else "eager"), run)


def seeds_form(n: int, network: StyleGAN2Generator, args: argparse.Namespace) -> Form:
    """The seed's loop on NVIDIA's code with our weights."""
    theirs = nvidia_network(network, args)
    sys.path.insert(0, args.seed_repo)
    from diffusion_inpaint import (  # type: ignore[import-not-found]
        Diffusion,
        create_alpha_schedule,
    )

    evidence = evidence_of(network, n, args.device)
    classes = max(network.num_classes, 1)
    one_hot = torch.eye(classes, device=args.device)[torch.arange(n) % classes]

    def decode(z: Tensor) -> Tensor:
        return theirs(z, one_hot[:, : network.num_classes], force_fp32=True)

    def run() -> int:
        diffusion = Diffusion(create_alpha_schedule(num_steps=args.seed_steps))
        with contextlib.redirect_stderr(io.StringIO()):
            diffusion.ddpm_sample_inpaint(
                torch.randn(n, network.z_dim, device=args.device),
                decode,
                evidence.target,
                evidence.known,
                xstart_temp=0.0,
                clip_std=5.0,
            )
        return n * args.seed_steps

    return Form(("the seed's loop", "float32", "eager"), run)


def nvidia_network(network: StyleGAN2Generator, args: argparse.Namespace) -> nn.Module:
    """NVIDIA's generator with our weights."""
    sys.path.insert(0, args.nvidia_repo)
    from training.networks import Generator  # type: ignore[import-not-found]

    c = network.config
    theirs = Generator(
        c["z_dim"],
        c["num_classes"],
        c["w_dim"],
        c["resolution"],
        c["img_channels"],
        {"num_layers": c["mapping_layers"]},
        {k: c[k] for k in ("channel_base", "channel_max", "architecture", "conv_clamp")},
    )
    theirs.load_state_dict(network.state_dict(), strict=False)
    return theirs.eval().requires_grad_(False).to(args.device)


class Clock:
    """Seconds of a call, and the memory it needed at most."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.cuda = args.device.type == "cuda"
        self.now = time.process_time if args.clock == "cpu" else time.perf_counter

    def measure(self, run: Callable[[], Any]) -> tuple[float, Any]:
        """Seconds, and what ``run`` returned."""
        if self.cuda:
            torch.cuda.synchronize()
        started = self.now()
        result = run()
        if self.cuda:
            torch.cuda.synchronize()
        return self.now() - started, result

    def forget_peak(self) -> None:
        """Begin a new peak of memory."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")

    def peak(self) -> float:
        """Peak memory in MiB: of the device, or of the whole process on a CPU."""
        if self.cuda:
            return torch.cuda.max_memory_allocated() / 2**20
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) / 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def machine_rates(args: argparse.Namespace, clock: Clock) -> dict[str, float]:
    """Operations per second of a large matrix product of each type; prints them and a copy's rate."""
    side = 8192 if clock.cuda else 1536
    rates = {}
    for name in args.precisions:
        a = torch.randn(side, side, device=args.device).to(TYPES[name])
        seconds = [clock.measure(lambda a=a: a @ a)[0] for _ in range(4)]
        rates[name] = 2 * side**3 / min(seconds[1:])
        print(f"matrix product {side}x{side} {name}: {rates[name] / 1e9:.0f} GFLOP/s")
    values = torch.empty(2**28 if clock.cuda else 2**25, device=args.device)
    other = torch.empty_like(values)
    seconds = [clock.measure(lambda: other.copy_(values))[0] for _ in range(4)]
    print(f"copy: {2 * values.nbytes / min(seconds[1:]) / 1e9:.1f} GB/s read and written")
    return rates


def compare(n: int, network: StyleGAN2Generator, args: Any, rates: dict[str, float]) -> None:
    """All forms at one batch size, taking turns; prints their rows."""
    clock, work = Clock(args), operations(network)
    forms = [seeds_form(n, network, args)] if args.seed_repo and args.nvidia_repo else []
    reference = bool(forms)
    for preset in args.presets:
        for precision in args.precisions:
            for compiled in [False, True] if args.compiled else [False]:
                forms.append(our_form(preset, precision, compiled, n, network, args))
    memory, speeds = [], [[] for _ in forms]
    for form in forms:  # warm-up, and compilation
        clock.forget_peak()
        form.run()
        memory.append(clock.peak())
    for _ in range(args.rounds):
        for form, speed in zip(forms, speeds, strict=True):
            seconds, count = clock.measure(form.run)
            speed.append(count / seconds)
    for form, speed, peak in zip(forms, speeds, memory, strict=True):
        rate = statistics.median(speed)
        share = rate * work / rates[form.name[1]] if form.name[1] in rates else float("nan")
        ratio = statistics.median(a / b for a, b in zip(speed, speeds[0], strict=True))
        times = f"{ratio:.1f}" if reference else ""
        print(
            f"| {' | '.join(form.name)} | {n} | {rate:.1f} | {peak:.0f} | {share:.0%} | {times} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument(
        "--presets",
        nargs="+",
        default=["plugin", "fast", "default"],
        choices=[name for name in preset_names() if not name.startswith("train")],
    )
    parser.add_argument("--precisions", nargs="+", default=["float32"], choices=list(TYPES))
    parser.add_argument("--compiled", action="store_true", help="compiled forms as well")
    parser.add_argument("--steps", type=int, default=16, help="evaluations per measurement")
    parser.add_argument("--seed-steps", type=int, default=2, help="steps of the seed's loop")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--generator", help="a name or file, in place of random weights")
    parser.add_argument("--full", action="store_true", help="512 channels, as NVIDIA published")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--threads", type=int, default=0, help="0 leaves them alone")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--seed-repo", help="clone of unixpickle/inpaint-gan")
    parser.add_argument("--nvidia-repo", help="clone of NVlabs/stylegan2-ada-pytorch")
    args = parser.parse_args()
    if bool(args.seed_repo) != bool(args.nvidia_repo):
        parser.error("the seed's loop needs both --seed-repo and --nvidia-repo")
    if args.clock == "cpu" and args.device.type != "cpu":
        parser.error("--clock cpu counts the host's time; on a GPU take wall time")
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    network = generator_of(args)
    name = torch.cuda.get_device_name() if args.device.type == "cuda" else "CPU"
    print(
        f"torch {torch.__version__}, {name}, {torch.get_num_threads()} threads, {args.clock} time"
    )
    print(f"one picture-step: {operations(network) / 1e6:.0f} million operations")
    rates = machine_rates(args, Clock(args))
    print("\n| loop | precision | mode | batch | picture-steps/s | peak MiB | share | x |")
    print("|---|---|---|--:|--:|--:|--:|--:|")
    with whole_float32():  # as predict does; the rates above are the device's own defaults
        for n in args.batches:
            compare(n, network, args, rates)


if __name__ == "__main__":
    main()
