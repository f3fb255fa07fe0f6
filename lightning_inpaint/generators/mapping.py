"""The mapping network: z and class to the styles of StyleGAN2's layers.

Karras et al. 2020 (arXiv:1912.04958), conditional as in StyleGAN2-ADA (arXiv:2006.06676).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..steady import product
from .convolution import LayerCache
from .layers import EqualizedLinear, second_moment_norm

__all__ = ["MappingNetwork", "stand_still"]


def stand_still(layers: Sequence[EqualizedLinear]) -> bool:
    """Whether the weights are frozen, and no compiler hides their changes: what follows can be kept."""
    frozen = not any(m.weight.requires_grad or m.bias.requires_grad for m in layers)
    return frozen and not torch.compiler.is_compiling()


class MappingNetwork(nn.Module):
    """z and class to the per-layer style vectors w.

    Args:
        z_dim: dimensions of z ~ N(0, I).
        num_classes: classes embedded beside z; 0 = unconditional.
        w_dim: dimensions of w.
        num_ws: style vectors the synthesis network takes.
        num_layers: fully connected layers.
        lr_multiplier: learning-rate multiplier of those layers.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        num_classes: int,
        w_dim: int,
        num_ws: int,
        num_layers: int = 8,
        lr_multiplier: float = 0.01,
    ) -> None:
        super().__init__()
        self.z_dim, self.num_classes, self.num_ws = z_dim, num_classes, num_ws
        self.num_layers = num_layers
        if num_classes:
            self.embed = EqualizedLinear(num_classes, w_dim)
        widths = [z_dim + (w_dim if num_classes else 0)] + [w_dim] * num_layers
        for i in range(num_layers):
            layer = EqualizedLinear(
                widths[i], widths[i + 1], activate=True, lr_multiplier=lr_multiplier
            )
            self.add_module(f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.cache: LayerCache[Tensor] = LayerCache()

    def single(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """One style vector per row of ``z`` (N, z_dim): (N, w_dim)."""
        return self._styles(z, self._class_shift(labels))

    def _class_shift(self, labels: Tensor | None) -> Tensor | None:
        """What each picture's class adds in the first layer, (N, w_dim), once for all its styles."""
        if not self.num_classes:
            return None
        if labels is None:
            raise ValueError("this generator is class-conditional: labels are needed")
        table = self.kept_shifts()
        if table is not None:
            return F.embedding(labels, table)
        # rows of the embedding are its products with one-hot classes
        return self._shifts(F.embedding(labels, self.embed.weight.T))

    def kept_shifts(self) -> Tensor | None:
        """The same for every class, (num_classes, w_dim), where weights are frozen; else None."""
        first: Any = self.fc0
        if not self.num_classes or not stand_still([self.embed, first]):
            return None
        weights = [self.embed.weight, self.embed.bias, first.weight]
        return self.cache.get(weights, (), lambda: self._shifts(self.embed.weight.T))

    def _shifts(self, rows: Tensor) -> Tensor:
        embedded = rows * self.embed.weight_gain + self.embed.bias * self.embed.bias_gain
        layer: Any = self.fc0
        own = layer.weight[:, self.z_dim :].T
        return product(second_moment_norm(embedded), own) * layer.weight_gain

    def _styles(self, z: Tensor, shift: Tensor | None) -> Tensor:
        x = self.fc0(second_moment_norm(z), self.z_dim, shift)
        for i in range(1, self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        return x

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """Map ``z`` to styles.

        Args:
            z: (N, z_dim), or (N, num_ws, z_dim) for one z per layer (Z+).
            labels: (N,) class indices; None for an unconditional network.
            truncation: 1 leaves w alone, 0 gives the average w.

        Returns:
            (N, num_ws, w_dim).
        """
        return self.distinct(z, labels, truncation).expand(-1, self.num_ws, -1)

    def distinct(self, z: Tensor, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """The same, but (N, 1, w_dim) for one z per picture, whose layers share a style vector."""
        if z.ndim == 3:
            n, layers, _ = z.shape
            shift = self._class_shift(labels)
            each = None if shift is None else shift.repeat_interleave(layers, dim=0)
            ws = self._styles(z.flatten(0, 1), each).unflatten(0, (n, layers))
        else:
            ws = self.single(z, labels).unsqueeze(1)
        return ws if truncation == 1 else self.w_avg.lerp(ws, truncation)

    @torch.no_grad()
    def prior_styles(self, draws: int) -> Tensor:
        """Styles of prior draws, (classes, draws, w_dim), the same at each call; one class if unconditional."""
        random = torch.Generator().manual_seed(0)
        classes, weight = max(self.num_classes, 1), next(self.parameters())
        z = torch.randn(classes * draws, self.z_dim, generator=random).to(weight)
        labels = torch.arange(classes).repeat_interleave(draws).to(weight.device)
        w = self.single(z, labels if self.num_classes else None)
        return w.unflatten(0, (classes, draws))

    def class_means(self) -> Tensor:
        """The mean style of each class, (classes, w_dim), towards which truncation draws."""
        draws = max(8192 // max(self.num_classes, 1), 128)
        return self.prior_styles(draws).mean(dim=1)


def truncated(ws: Tensor, means: Tensor, labels: Tensor | None, truncation: float) -> Tensor:
    """Styles drawn towards the mean of their class.

    Args:
        ws: (N, layers, w_dim).
        means: (classes, w_dim) of :meth:`MappingNetwork.class_means`.
        labels: (N,); None for an unconditional network.
        truncation: share of its deviation from the mean that a style keeps.
    """
    centre = means[0] if labels is None else means[labels][:, None]
    return centre.lerp(ws, truncation)
