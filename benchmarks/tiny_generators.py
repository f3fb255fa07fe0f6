"""Four small generators of other shapes than the bundled one, trained in minutes without any data.

    python benchmarks/tiny_generators.py --out tiny                 # all four, some fifteen minutes
    PYTHONPATH=. lightning-inpaint sample benchmarks.tiny_generators:Digits@tiny/Digits.pt

``Digits``, an MLP from 64 latents to 28x28 grey digits; ``ClassDigits``, the same from 10 latents and a
class; ``Shapes``, transposed convolutions from 64 uniform latents to 32x32 colour pictures; ``Wide``, the same
from 512 normal ones. Each is an ordinary GAN (Goodfellow et al. 2014, non-saturating, with an R1 penalty), and
its latent landscape is a GAN's: many latents, most of them far from any given picture. The training pictures
are drawn: digits of Pillow's font, slanted, scaled and of several weights; two discs or rectangles of random
colours.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

__all__ = ["ClassDigits", "Digits", "Shapes", "Wide", "draw_digits", "draw_shapes"]


def mlp(inputs: int, side: int) -> nn.Sequential:
    """Three hidden layers with batch normalisation, as beginners' GANs have them."""
    widths = [inputs, 128, 256, 512]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(512, side * side), nn.Tanh())


class Digits(nn.Module):
    """z (N, 64) to grey digits (N, 1, 28, 28) in [-1, 1]."""

    z_dim = 64

    def __init__(self) -> None:
        super().__init__()
        self.main = mlp(64, 28)

    def forward(self, z: Tensor) -> Tensor:
        """Pictures (N, 1, 28, 28) of latents (N, 64)."""
        return self.main(z).unflatten(1, (1, 28, 28))


class ClassDigits(nn.Module):
    """z (N, 10) and classes (N,) to grey digits (N, 1, 28, 28) in [-1, 1]."""

    z_dim, num_classes = 10, 10
    class_names = tuple("0123456789")

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 10)
        self.main = mlp(20, 28)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Pictures (N, 1, 28, 28) of latents (N, 10) and int64 classes (N,)."""
        return self.main(torch.cat([z, self.embed(labels)], 1)).unflatten(1, (1, 28, 28))


def convolutions(inputs: int) -> nn.Sequential:
    """Four transposed ones, from (N, inputs, 1, 1) to colour pictures (N, 3, 32, 32) in [-1, 1]."""
    widths = [128, 64, 32]
    layers: list[nn.Module] = [nn.ConvTranspose2d(inputs, 128, 4, bias=False)]
    for a, b in zip(widths, [*widths[1:], 3], strict=True):
        layers += [nn.BatchNorm2d(a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1)]
    return nn.Sequential(*layers, nn.Tanh())


class Shapes(nn.Module):
    """z (N, 64), made uniform in [-1, 1], to colour pictures (N, 3, 32, 32) in [-1, 1]."""

    z_dim = 64

    def __init__(self) -> None:
        super().__init__()
        self.main = convolutions(64)

    def forward(self, z: Tensor) -> Tensor:
        """Pictures (N, 3, 32, 32) of standard normal latents (N, 64)."""
        return self.main(torch.erf(z / math.sqrt(2))[:, :, None, None])


class Wide(nn.Module):
    """z (N, 512) to colour pictures (N, 3, 32, 32) in [-1, 1]."""

    z_dim = 512

    def __init__(self) -> None:
        super().__init__()
        self.main = convolutions(512)

    def forward(self, z: Tensor) -> Tensor:
        """Pictures (N, 3, 32, 32) of latents (N, 512)."""
        return self.main(z[:, :, None, None])


def draw_digits(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Grey digits (count, 1, 28, 28) in [-1, 1] and what they are (count,)."""
    random = np.random.default_rng(seed)
    fonts = [ImageFont.load_default(size) for size in range(36, 49)]
    pictures, labels = [], random.integers(10, size=count)
    for label in labels:
        canvas = Image.new("L", (64, 64))
        font = fonts[random.integers(len(fonts))]
        stroke = int(random.integers(0, 4))
        pen = ImageDraw.Draw(canvas)
        pen.text((32, 32), str(label), 255, font, anchor="mm", stroke_width=stroke)
        slant, turn = random.normal(0, 0.25), random.normal(0, 0.15)
        wide, shift = random.uniform(0.8, 1.25), random.normal(0, 2, size=2)
        c, s = math.cos(turn), math.sin(turn)
        a, b, d, e = c * wide, -s + slant, s * wide, c
        x, y = 32 - a * 32 - b * 32 + shift[0], 32 - d * 32 - e * 32 + shift[1]
        moved = canvas.transform((64, 64), Image.Transform.AFFINE, (a, b, x, d, e, y), 2)
        pictures.append(np.asarray(moved.resize((28, 28), Image.Resampling.BOX)))
    values = torch.from_numpy(np.stack(pictures)).float()[:, None] / 127.5 - 1
    return values, torch.from_numpy(labels)


def draw_shapes(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Colour pictures (count, 3, 32, 32) in [-1, 1], and zeros (count,)."""
    random = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        canvas = Image.new("RGB", (128, 128), tuple(random.integers(256, size=3).tolist()))
        pen = ImageDraw.Draw(canvas)
        for _ in range(2):
            x, y = random.uniform(24, 104, size=2)
            w, h = random.uniform(12, 48, size=2)
            box, colour = (x - w, y - h, x + w, y + h), tuple(random.integers(256, size=3).tolist())
            (pen.ellipse if random.random() < 0.5 else pen.rectangle)(box, colour)
        pictures.append(np.asarray(canvas.resize((32, 32), Image.Resampling.BOX)))
    values = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return values, torch.zeros(count, dtype=torch.int64)


class Critic(nn.Module):
    """Pictures, and classes if there are such, to one number each (N,)."""

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(64 * (side // 4) ** 2, 128),
            nn.LeakyReLU(0.2),
        )
        self.ends = nn.Linear(128, max(classes, 1))

    def forward(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """(N,)"""
        return self.ends(self.body(pictures)).gather(1, labels[:, None])[:, 0]


def train(generator: nn.Module, data: Tensor, labels: Tensor, steps: int, batch: int = 64) -> None:
    """A GAN's alternating steps, in place; leaves the moving average of the generator's weights."""
    classes = int(getattr(generator, "num_classes", 0))
    critic = Critic(data.shape[1], data.shape[-1], classes)
    average = {k: v.clone() for k, v in generator.state_dict().items()}
    g_steps = torch.optim.Adam(generator.parameters(), 1e-3, (0.0, 0.99))
    d_steps = torch.optim.Adam(critic.parameters(), 1e-3, (0.0, 0.99))

    def fake(labels: Tensor) -> Tensor:
        z = torch.randn(len(labels), generator.z_dim)
        return generator(z, labels) if classes else generator(z)

    for step in range(steps):
        rows = torch.randint(len(data), (batch,))
        real, own = data[rows], labels[rows]
        lazy = step % 4 == 0  # R1 every fourth step, four times as heavy
        seen = critic(real.requires_grad_(lazy), own)
        loss = F.softplus(-seen).mean() + F.softplus(critic(fake(own).detach(), own)).mean()
        if lazy:
            (slope,) = torch.autograd.grad(seen.sum(), real, create_graph=True)
            loss = loss + 4 * 0.25 * slope.square().sum(dim=(1, 2, 3)).mean()
        d_steps.zero_grad()
        loss.backward()
        d_steps.step()
        g_steps.zero_grad()
        F.softplus(-critic(fake(own), own)).mean().backward()
        g_steps.step()
        for name, value in generator.state_dict().items():
            share = 0.995 if value.is_floating_point() and step > 100 else 0.0
            average[name] = (share * average[name] + (1 - share) * value).to(value.dtype)
    generator.load_state_dict(average)
    generator.train()
    with torch.no_grad():  # batch statistics of the averaged weights
        for _ in range(200):
            fake(labels[torch.randint(len(labels), (batch,))])
    generator.eval()


RECIPES = {
    "Digits": (Digits, draw_digits),
    "ClassDigits": (ClassDigits, draw_digits),
    "Shapes": (Shapes, draw_shapes),
    "Wide": (Wide, draw_shapes),
}


def make(name: str, out: Path, steps: int = 4000, pictures: int = 8000) -> Path:
    """Train one of them from a fixed seed and write its weights; the file."""
    torch.manual_seed(0)
    kind, draw = RECIPES[name]
    generator = kind()
    data, labels = draw(pictures)
    if not getattr(generator, "num_classes", 0):
        labels = torch.zeros_like(labels)
    train(generator, data, labels, steps)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{name}.pt"
    torch.save(generator.state_dict(), file)
    return file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("tiny"))
    parser.add_argument("--names", default=",".join(RECIPES))
    parser.add_argument("--steps", type=int, default=4000)
    given = parser.parse_args()
    torch.set_flush_denormal(True)
    for name in given.names.split(","):
        started = time.time()
        file = make(name, given.out, given.steps)
        print(f"{file}: {given.steps} steps in {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
