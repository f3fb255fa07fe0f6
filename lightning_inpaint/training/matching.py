"""Distribution matching: the energy distance between samples and real pictures of each class.

Székely and Rizzo 2013, "Energy statistics" (J. Stat. Plan. Inference 143), in the features of a
frozen network. It is least where the distributions are equal: what the samples lack counts like what
they have too much of, of which alone a discriminator speaks to the generator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["EnergyDistance"]


class EnergyDistance(nn.Module):
    """Features of real pictures and of earlier samples of each class, and the distance to them.

    Distances are taken in groups of dimensions, after half-whitening and a fixed rotation: over all
    dimensions at once, the widest directions hide the others.

    Args:
        num_classes: classes.
        width: of the features, a multiple of ``group``.
        memory: features of either kind that are kept for each class.
        group: dimensions in which a distance is taken.
        seed: of the rotation.
        near: adds 3 t (1 - exp(-d / t)) to each distance d, with t so many times their mean, which weighs what
            is near. That is of negative type as d is (Sejdinovic et al. 2013, Ann. Stat. 41), so the least
            stays where it was. 0 leaves it out.
    """

    real: Tensor
    fake: Tensor
    seen: Tensor
    rotation: Tensor

    def __init__(
        self,
        num_classes: int,
        width: int,
        memory: int = 256,
        group: int = 8,
        seed: int = 0,
        near: float = 0.0,
    ) -> None:
        super().__init__()
        self.group, self.memory, self.near = group, memory, near
        random = torch.randn(width, width, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("rotation", torch.linalg.qr(random).Q)
        for name in ("real", "fake"):
            self.register_buffer(name, torch.zeros(num_classes, memory, width))
        self.register_buffer("seen", torch.zeros(2, num_classes, dtype=torch.int64))

    @torch.no_grad()
    def remember(self, features: Tensor, labels: Tensor, *, real: bool) -> None:
        """Keep ``features`` (N, width) of classes ``labels`` (N,) in place of the oldest."""
        bank, seen = (self.real, self.seen[0]) if real else (self.fake, self.seen[1])
        labels, order = labels.sort(stable=True)
        rank = torch.arange(len(labels), device=labels.device) - torch.searchsorted(labels, labels)
        bank[labels, (seen[labels] + rank) % self.memory] = features[order].to(bank)
        seen += _counts(labels, len(seen))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Mean over samples of their mean distance to real ones less that to earlier samples.

        Half of the energy distance's slope at each sample. 0 for classes of which either is missing.

        Args:
            features: (N, width), of samples.
            labels: (N,).
        """
        labels, order = labels.sort(stable=True)
        counts = _counts(labels, len(self.real)).tolist()  # waits for a device
        basis = self._basis()
        total = features.new_zeros(())
        kept = self.seen.clamp(max=self.memory)
        for label, rows in enumerate((features[order] @ basis).split(counts)):
            if not len(rows):
                continue
            banks = zip((self.real[label], self.fake[label]), kept[:, label], strict=True)
            means = [self._mean_distance(rows, bank @ basis, count) for bank, count in banks]
            known = kept[:, label].min() > 0
            total = total + torch.where(known, means[0] - means[1], 0.0)
        return total / len(features)

    @torch.no_grad()
    def _basis(self) -> Tensor:
        """To groups of half-whitened directions, (width, width): narrow ones count, wide ones more."""
        valid = (torch.arange(self.memory, device=self.seen.device) < self.seen[0, :, None])[
            :, :, None
        ]
        count = valid.sum(dim=1, keepdim=True).clamp(min=1)
        centred = (self.real - (self.real * valid).sum(dim=1, keepdim=True) / count) * valid
        rows = centred.flatten(0, 1)
        values, vectors = torch.linalg.eigh(rows.T @ rows / valid.sum().clamp(min=1))
        floor = values.mean().clamp(min=1e-8) * 1e-2
        return (vectors * values.clamp(min=floor).pow(-0.25)) @ vectors.T @ self.rotation

    def _mean_distance(self, rows: Tensor, bank: Tensor, count: Tensor) -> Tensor:
        """Sum over ``rows`` (M, width) of the mean distance to the first ``count`` of ``bank``."""
        a, b = (x.unflatten(1, (-1, self.group)).transpose(0, 1) for x in (rows, bank))
        squares = a.square().sum(2)[:, :, None] + b.square().sum(2)[:, None]
        distances = torch.baddbmm(squares, a, b.mT, alpha=-2).clamp(min=1e-6).sqrt()
        valid = torch.arange(len(bank), device=count.device) < count
        if self.near:
            whole = (distances.detach() * valid).sum() / (count * distances[..., 0].numel()).clamp(
                min=1
            )
            scale = self.near * whole.clamp(min=1e-6)
            distances = distances + 3 * scale * (1 - torch.exp(-distances / scale))
        return (distances.mean(dim=0) * valid).sum() / count.clamp(min=1)


def _counts(labels: Tensor, classes: int) -> Tensor:
    """How many rows each class has, (classes,); torch's bincount would wait for a device."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)).sum(dim=0)
