"""What it costs that a picture alone has the bytes that it has in a batch.

Walks of one picture, filled up with copies as ``predict`` does and not filled up, in turns:

    python benchmarks/batch_of_one.py [--generator cifar10] [--steps 20] [--rounds 5]

Prints the ratio of processor times (median and range) for the bundled network and for a network of
linear and transposed layers at 64x64, with the hardware.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import torch
from torch import nn

from lightning_inpaint.generators import load_generator
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.observation import Observation
from lightning_inpaint.inference.posterior import Posterior
from lightning_inpaint.inference.walk import walk
from lightning_inpaint.noise import ChainStreams
from lightning_inpaint.optim import MAP


class Convolutional(nn.Module):
    """The shape of DCGAN (Radford et al. 2016, arXiv:1511.06434), 64x64, with random weights."""

    z_dim, num_classes, resolution, img_channels = 100, 0, 64, 3

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers: list[nn.Module] = [nn.ConvTranspose2d(100, 8 * width, 4), nn.ReLU()]
        for k in (8, 4, 2):
            layers += [nn.ConvTranspose2d(k * width, k * width // 2, 4, 2, 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh())

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Latents (N, 100) to pictures (N, 3, 64, 64)."""
        pictures: torch.Tensor = self.layers(z[:, :, None, None])
        return pictures


def seconds(posterior: Posterior, steps: int, fill: bool) -> float:
    """Processor time of one walk."""
    began = time.process_time()
    walk(posterior, lambda u, seated: MAP([seated.group(u)], steps=steps), fill=fill)
    return time.process_time() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", default="cifar10")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread")
    print("| network | pictures | rows that walk | time, filled up over not |\n|---|--:|--:|--:|")
    networks = {
        args.generator: load_generator(args.generator),
        "64x64": load_generator(Convolutional()),
    }
    for name, network in networks.items():
        space = LatentSpace(network, None)
        side, channels = int(network.resolution), int(network.img_channels)
        for n in (1, 2, 4):
            streams = ChainStreams.grid(0, [str(i) for i in range(n)], 1)
            known = torch.ones(n, 1, side, side)
            known[..., side // 2 :] = 0
            labels = torch.arange(n) if int(network.num_classes) else None
            seen = Observation(torch.zeros(n, channels, side, side), known, labels)
            posterior = Posterior(space, seen, streams)
            seconds(posterior, 2, True)
            ratios = [
                seconds(posterior, args.steps, True) / seconds(posterior, args.steps, False)
                for _ in range(args.rounds)
            ]
            rows = len(posterior.filled().streams)
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(
                f"| {name} | {n} | {rows} | {statistics.median(ratios):.2f} ({spread}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
