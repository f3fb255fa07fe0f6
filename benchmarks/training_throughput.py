"""Pictures per second of training, as a share of what the device's arithmetic allows.

    python benchmarks/training_throughput.py --batch_size 32 --steps 3
    python benchmarks/training_throughput.py --dtype bfloat16 --compile --batch_size 512 \
        --channel_base 8192 --channel_max 256 --discriminator_base 8192     (one H200)

Whole steps are timed: draws, both networks forward and backward, the gradient penalty every 16th
step, Adam, the moving average; all but reading the pictures. The operation count comes from the
operators that run, by the formulas of torch's flop counter, in the form with the fewest operations
(the fused up-sampling of half precision does more and is not credited for it). The rate is measured
on the generator's own 3x3 convolutions, forward, in the type that training uses, and on a large
matrix product. Below stand the operators that take the time of a step. Half a minute on two idle cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lightning_inpaint.training import GeneratorTraining
from lightning_inpaint.training.draws import StepDraws


class Steps(GeneratorTraining):
    """Training steps without a trainer: nothing is logged, one device."""

    @property
    def draws(self) -> StepDraws:
        """The random streams of this step."""
        return StepDraws(0, self.steps, self.device)

    def log(self, *args: Any, **options: Any) -> None:
        """Nothing."""

    def prepare(self, batch: int) -> None:
        """Made-up pictures and the optimizer."""
        size = (batch, 3, self.generator.resolution, self.generator.resolution)
        real = torch.rand(size, device=self.device) * 2 - 1
        self.real = real.contiguous(memory_format=torch.channels_last)
        classes = max(self.generator.num_classes, 1)
        self.real_labels = torch.randint(classes, (batch,), device=self.device)
        self.optimizer = self.configure_optimizers()

    def step(self, penalty: bool = False) -> None:
        """One update, with or without the gradient penalty."""
        self.steps = 0 if penalty else 1
        self.optimizer.zero_grad()
        self.joint_loss(self.draws, self.real, self.real_labels).backward()
        self.optimizer.step()
        self._limit_noise()
        self.update_average(len(self.real))


def seconds(
    function: Callable[[], object], device: torch.device, repeats: int, best: bool = False
) -> float:
    """Median (or shortest) time of a call after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:]) if best else sorted(times[1:])[repeats // 2]


def convolution_rate(module: Steps, batch: int, dtype: torch.dtype, repeats: int) -> float:
    """Operations per second of forward 3x3 convolutions of the generator's shapes, channels last."""
    device, work, spent = module.device, 0.0, 0.0
    for layer in module.generator.synthesis.convolutions:
        if layer.resolution < 8:
            continue  # too small to be what a device can do
        o, i = layer.weight.shape[:2]
        side = layer.resolution // 2 if layer.up else layer.resolution
        x = torch.randn(batch, i, side, side, device=device, dtype=dtype)
        weight = torch.randn(o, i, 3, 3, device=device, dtype=dtype)
        x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
        with torch.no_grad():
            spent += seconds(
                lambda x=x, w=weight: F.conv2d(x, w, padding=1), device, 3 * repeats, best=True
            )
        work += 2 * batch * o * i * 9 * side * side
    return work / spent


def matrix_rate(device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    """Operations per second of a product of square matrices."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, device, 3 * repeats, best=True)


@contextmanager
def plain_convolutions(module: Steps) -> Iterator[None]:
    """Count the form with the fewest operations."""
    layers = module.generator.synthesis.convolutions
    before = [layer.fused for layer in layers]
    for layer in layers:
        layer.fused = False
    yield
    for layer, fused in zip(layers, before, strict=True):
        layer.fused = fused


class Counter(TorchDispatchMode):
    """Adds up floating-point operations; FlopCounterMode's hooks do not get on with autograd.grad."""

    total = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run an operator and count it."""
        out = function(*args, **(kwargs or {}))
        formula = flop_registry.get(function._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


def operations(module: Steps, function: Callable[[], object]) -> float:
    """Floating-point operations of a call."""
    with plain_convolutions(module), Counter() as counter:
        function()
    return counter.total


def forward_operations(module: Steps) -> dict[str, float]:
    """Floating-point operations of each network's forward pass over a batch."""
    stream = module.draws.stream(0)
    network, count = module.generator, len(module.real)
    z, noise = stream.normal(count, network.z_dim), stream.noise(count, network.noise_shapes)
    labels = module.real_labels if network.num_classes else None
    with torch.no_grad():
        return {
            "generator": operations(module, lambda: network(z, labels, noise)),
            "discriminator": operations(module, lambda: module.discriminator(module.real)),
        }


def where_time_goes(module: Steps, rows: int = 14) -> str:
    """The operators of a plain step by the time they take themselves."""
    cuda = module.device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    with profile(activities=activities) as record:
        module.step()
        if cuda:
            torch.cuda.synchronize()
    times = [
        (e.self_device_time_total if cuda else e.self_cpu_time_total, e.count, e.key)
        for e in record.key_averages()
    ]
    whole = sum(spent for spent, _, _ in times)
    lines = ["  share      ms  calls  operator"]
    for spent, count, key in sorted(times, reverse=True)[:rows]:
        lines.append(f"  {100 * spent / whole:4.1f} % {spent / 1e3:7.1f}  {count:5d}  {key[:60]}")
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3, help="of each kind, the median counts")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--num_classes", type=int, default=10)
    parser.add_argument("--channel_base", type=int, default=1536)
    parser.add_argument("--channel_max", type=int, default=192)
    parser.add_argument("--discriminator_base", type=int, default=1536)
    parser.add_argument("--discriminator_max", type=int, default=256)
    parser.add_argument("--group", type=int, default=0, help="as --model.group")
    parser.add_argument("--augment", default="", help="as --model.augment")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = vars(parsed())
    batch, repeats = options.pop("batch_size"), options.pop("steps")
    name = options.pop("dtype")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_flush_denormal(True)
    module = Steps(convolution_dtype=name, **options).to(device)
    module.prepare(batch)
    every = module.hparams.r1_interval
    plain, penalized = (operations(module, lambda p=p: module.step(p)) for p in (False, True))
    work, networks = ((every - 1) * plain + penalized) / every, forward_operations(module)
    module.on_fit_start()  # compiles
    once, with_penalty = (
        seconds(lambda p=p: module.step(p), device, repeats) for p in (False, True)
    )
    taken = ((every - 1) * once + with_penalty) / every
    dtype = getattr(torch, name)
    what = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    sizes = [
        sum(p.numel() for p in n.parameters()) for n in (module.generator, module.discriminator)
    ]
    print(f"{what}, {torch.get_num_threads()} threads, {name}, batch of {batch}")
    print(f"parameters: generator {sizes[0] / 1e6:.2f} M, discriminator {sizes[1] / 1e6:.2f} M")
    print(f"a step: {1e3 * once:.1f} ms, with the gradient penalty {1e3 * with_penalty:.1f} ms")
    print(
        f"operations per picture: {work / batch / 1e9:.3f} G, penalty every {every} steps included;"
    )
    forward = ", ".join(f"{k} {v / batch / 1e9:.3f} G" for k, v in networks.items())
    print(f"  of a forward pass: {forward} (the discriminator sees a real and a generated picture)")
    print(f"pictures per second: {batch / taken:.1f}")
    for kind, rate in (
        ("convolution", convolution_rate(module, batch, dtype, repeats)),
        ("matrix", matrix_rate(device, dtype, repeats)),
    ):
        share = 100 * work / taken / rate
        allowed = rate / (work / batch)
        print(
            f"measured {kind} rate: {rate / 1e9:.0f} GFLOP/s, which would allow {allowed:.0f} pictures "
            f"per second: {share:.0f} % reached"
        )
    print("where a step's time goes:")
    print(where_time_goes(module))


if __name__ == "__main__":
    main()
