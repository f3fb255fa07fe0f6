"""A compact 32x32 classifier.

The layout follows Jordan 2024 ("94% on CIFAR-10 in 3.29 seconds", arXiv:2404.00498): a fixed 2x2
whitening convolution, then three blocks of two 3x3 convolutions. It judges generated pictures:
accuracy against the intended class, and distances between sets of pictures in its features.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Classifier"]

# Mean and standard deviation of CIFAR-10's training pictures in [0, 1].
CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_STD = (0.2470, 0.2435, 0.2616)
NORM_EPS = 1e-12


class Block(nn.Module):
    """Convolution, 2x2 max-pooling, convolution; batch norm without scale and GELU after each."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        for i, width in ((1, in_channels), (2, out_channels)):
            conv = nn.Conv2d(width, out_channels, 3, padding=1, bias=False)
            norm = nn.BatchNorm2d(out_channels, eps=NORM_EPS, momentum=0.4)
            norm.weight.requires_grad_(False)
            nn.init.dirac_(conv.weight[:width].data)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"norm{i}", norm)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class Classifier(nn.Module):
    """Class logits of 32x32 colour pictures.

    Args:
        widths: channels of the three blocks.
        num_classes: number of classes.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, widths: Sequence[int] = (64, 256, 256), num_classes: int = 10) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad_(False)
        inputs = (24, *widths[:-1])
        self.blocks = nn.ModuleList(Block(i, o) for i, o in zip(inputs, widths, strict=True))
        self.head = nn.Linear(widths[-1], num_classes, bias=False)
        self.register_buffer("mean", torch.tensor(CIFAR_MEAN).view(1, 3, 1, 1) * 2 - 1)
        self.register_buffer("std", torch.tensor(CIFAR_STD).view(1, 3, 1, 1) * 2)

    @torch.no_grad()
    def init_whitening(self, x: Tensor, eps: float = 5e-4) -> None:
        """Set the first layer to whiten the 2x2 patches of pictures ``x`` (N, 3, 32, 32)."""
        x = (x - self.mean) / self.std
        patches = x.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
        covariance = patches.T @ patches / len(patches)
        values, vectors = torch.linalg.eigh(covariance.double())
        filters = (vectors / (values + eps).sqrt()).T.to(x.dtype).reshape(12, 3, 2, 2).flip(0)
        self.whiten.weight.copy_(torch.cat([filters, -filters]))
        nn.init.zeros_(self.whiten.bias)

    def features(self, x: Tensor) -> list[Tensor]:
        """Activations of pictures ``x`` (N, 3, 32, 32) in [-1, 1].

        Returns:
            (N, 24, 31, 31), then one tensor per block: (N, 64, 15, 15), (N, 256, 7, 7) and
            (N, 256, 3, 3) at the standard widths.
        """
        x = F.gelu(self.whiten((x - self.mean) / self.std))
        levels = [x]
        for block in self.blocks:
            levels.append(block(levels[-1]))
        return levels

    def embed(self, x: Tensor) -> Tensor:
        """The input of the last layer: (N, 256) at the standard widths."""
        return F.max_pool2d(self.features(x)[-1], 3).flatten(1)

    @property
    def pooled_width(self) -> int:
        """Features of :meth:`pooled`."""
        return sum(block.conv2.out_channels for block in self.blocks[-2:])

    @staticmethod
    def pooled(levels: Sequence[Tensor]) -> Tensor:
        """(N, pooled_width): the last two of :meth:`features`, averaged over places."""
        return torch.cat([level.mean(dim=(2, 3)) for level in levels[-2:]], dim=1)

    def scores(self, last: Tensor) -> Tensor:
        """Logits (N, num_classes) from the last of :meth:`features`."""
        return self.head(F.max_pool2d(last, 3).flatten(1)) / 9

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of pictures ``x`` (N, 3, 32, 32) in [-1, 1]."""
        return self.scores(self.features(x)[-1])

    @classmethod
    def from_state_dict(cls, state: dict[str, Tensor]) -> Classifier:
        """Build the network whose widths ``state`` has, load it (any float type), freeze it."""
        widths: list[int] = []
        while (key := f"blocks.{len(widths)}.conv2.weight") in state:
            widths.append(state[key].shape[0])
        net = cls(widths, state["head.weight"].shape[0])
        floats = {k: v.float() for k, v in state.items() if v.is_floating_point()}
        net.load_state_dict(net.state_dict() | floats)
        return net.eval().requires_grad_(False)

    @classmethod
    def from_file(cls, path: str | Path) -> Classifier:
        """Load a ``.safetensors`` file written by ``benchmarks/train_classifier.py``."""
        from safetensors.torch import load_file

        return cls.from_state_dict(load_file(path))
