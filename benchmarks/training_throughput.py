"""Pictures per second of a training step, as a share of what the device's convolutions allow.

    python benchmarks/training_throughput.py --batch_size 64 --steps 5

The operation count is taken from the network itself by torch's FlopCounterMode; the device's rate is
measured on 3x3 convolutions of the generator's own shapes, in the type that training uses. Below it
stand the operators that take the time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from lightning_inpaint.training import GeneratorTraining

SHAPES = ((64, 32), (128, 16), (192, 8))  # channels and pixels per side of the standard network


def seconds(function: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median time of a call after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[repeats // 2]


def convolution_rate(batch: int, device: torch.device, dtype: torch.dtype, repeats: int) -> float:
    """Measured floating-point operations per second of 3x3 convolutions, channels last."""
    work = spent = 0.0
    for channels, side in SHAPES:
        x = torch.randn(batch, channels, side, side, device=device, dtype=dtype)
        weight = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
        x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
        spent += seconds(lambda x=x, w=weight: F.conv2d(x, w, padding=1), device, repeats)
        work += 2 * batch * channels * channels * 9 * side * side
    return work / spent


def step_function(module: GeneratorTraining, batch: int) -> Callable[[], None]:
    """One whole step, forward and backward of both networks, without the optimizers' arithmetic."""
    device = next(module.parameters()).device
    network, adversary = module.generator, module.adversary
    classes = network.num_classes
    labels = torch.randint(classes, (batch,), device=device) if classes else None
    real = torch.rand(batch, 3, network.resolution, network.resolution, device=device) * 2 - 1
    real = real.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        z = torch.randn(batch, network.z_dim, device=device)
        noise = [torch.randn(batch, 1, *side, device=device) for side in network.noise_shapes]
        with torch.autocast(device.type, torch.bfloat16, enabled=module.half_precision):
            views = adversary.see(network(z, labels, noise), None)
            with torch.no_grad():
                real_views = adversary.see(real, None)
            on_real = adversary.judge(real_views, labels)
            on_fake = adversary.judge([v.detach() for v in views], labels)
            adversary.discriminator_loss(on_real, on_fake).backward()
            adversary.generator_loss(adversary.judge(views, labels)).backward()
        module.zero_grad()

    return step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--adversary", default="projected", choices=("projected", "stylegan2"))
    parser.add_argument("--channel_base", type=int, default=2048)
    parser.add_argument("--channel_max", type=int, default=192)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_flush_denormal(True)
    module = GeneratorTraining(
        num_classes=10,
        adversary=options.adversary,
        channel_base=options.channel_base,
        channel_max=options.channel_max,
        convolution_dtype=options.dtype,
        compile=options.compile,
    ).to(device)
    step = step_function(module, options.batch_size)
    with FlopCounterMode(display=False) as counter:
        step()
    work = counter.get_total_flops()
    module.on_fit_start()
    taken = seconds(step, device, options.steps)
    dtype = getattr(torch, options.dtype)
    rate = convolution_rate(options.batch_size, device, dtype, options.steps)
    print(f"device: {device}, {torch.get_num_threads()} threads, {options.dtype}")
    print(f"operations per picture: {work / options.batch_size / 1e9:.2f} G")
    print(f"measured convolution rate: {rate / 1e9:.0f} GFLOP/s")
    print(f"pictures per second: {options.batch_size / taken:.1f}")
    print(f"share of what that rate allows: {100 * work / taken / rate:.0f} %")
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as record:
        step()
    order = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    print(record.key_averages().table(sort_by=order, row_limit=12, max_name_column_width=40))


if __name__ == "__main__":
    main()
