"""A bank of prior draws, scored against whole batches of pictures by one matrix product."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..noise import ChainStreams, Purpose
from ..steady import product
from .latents import LatentSpace

__all__ = ["PriorBank"]

SIDE = 32
_SEED = 0x62616E6B  # the bank does not depend on the run's seed: pictures choose from it by theirs


class PriorBank:
    """Prior draws of every class and their pictures.

    With M = 1 where a pixel is known, E = sum M (G - y)^2 = G^2 m^T - 2 G (m y)^T + const for all
    draws and pictures at once. The latents are not stored: a draw's number brings them back. Pictures
    above 32x32 are compared as means of cells, so that memory does not grow with the resolution.

    Args:
        space: the latent space.
        draws: prior draws per class (in all, when the generator is unconditional).
    """

    def __init__(self, space: LatentSpace, draws: int = 128) -> None:
        self.space, self.draws = space, draws
        self.classes = max(int(getattr(space.generator, "num_classes", 0)), 1)
        weight = next(space.generator.parameters(), None)  # a module of functions alone has none
        self.device = torch.device("cpu") if weight is None else weight.device
        resolution = int(space.generator.resolution)
        batch = max(4, min(64, 64 * 64**2 // resolution**2))  # decoded at a time
        self.side = min(resolution, SIDE)
        chunks = []
        with torch.no_grad():
            for first in range(0, self.classes * draws, batch):
                rows = torch.arange(first, min(first + batch, self.classes * draws))
                chunks.append(self._reduced(self._decode(rows)).flatten(1))
        self.pictures = torch.cat(chunks)

    def _decode(self, rows: Tensor) -> Tensor:
        labels = (rows // self.draws).to(self.device)
        conditional = int(getattr(self.space.generator, "num_classes", 0)) > 0
        return self.space(self.latents(rows), labels if conditional else None, "const")

    def _reduced(self, values: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(values, self.side) if values.shape[-1] > self.side else values

    def latents(self, rows: Tensor) -> Tensor:
        """Latents (len(rows), D) of the draws with these numbers (class * draws + draw)."""
        names = [f"class {int(r) // self.draws}" for r in rows]
        numbers = [int(r) % self.draws for r in rows]
        streams = ChainStreams(_SEED, names, numbers, self.device)
        return streams.normal(0, self.space.dim, Purpose.START)

    def energies(self, target: Tensor, known: Tensor) -> Tensor:
        """Energy of every draw for every picture; above 32x32 that of the means of cells.

        Args:
            target: (N, C, H, W) in [-1, 1].
            known: (N, 1, H, W), **1 = known**.

        Returns:
            (N, classes, draws).
        """
        g = self.pictures
        weight = self._reduced(known)
        mean = self._reduced(target * known) / weight.clamp(min=1e-6)  # of a cell's known pixels
        m = weight.expand_as(mean).flatten(1)
        y = mean.flatten(1)
        crossed = product(m, g.square().T) - 2 * product(m * y, g.T)
        energy = crossed + (m * y.square()).sum(dim=1, keepdim=True)
        pixels = (target.shape[-1] / self.side) ** 2  # per cell
        return (pixels * energy).clamp(min=0).unflatten(1, (self.classes, self.draws))

    def class_posterior(self, target: Tensor, known: Tensor, noise_std: float = 0.3) -> Tensor:
        """p(class | y) under a uniform prior, from importance weights of the bank (approximate).

        ``noise_std`` is broad, since no prior draw comes close to a picture: it is a tempered
        evidence, good enough to choose the class a chain starts in. Shape (N, classes).
        """
        values = known.sum(dim=(1, 2, 3)).clamp(min=1)
        # a broad temperature per picture: an average pixel, not the sum over pixels, decides
        scale = 2 * noise_std**2 * (values / 16)[:, None, None]
        log_evidence = torch.logsumexp(-self.energies(target, known) / scale, dim=2)
        return torch.softmax(log_evidence, dim=1)

    def start(
        self, target: Tensor, known: Tensor, labels: Tensor | None, uniform: Tensor
    ) -> Tensor:
        """Latents (N, D) to start from, resampled by softmax of tempered energies.

        Args:
            target: (N, C, H, W).
            known: (N, 1, H, W), **1 = known**.
            labels: (N,) class of each row, or None.
            uniform: (N, 1) uniform numbers of the rows' own streams.
        """
        energy = self.energies(target, known)
        rows = torch.arange(len(energy), device=energy.device)
        chosen = labels if labels is not None else torch.zeros_like(rows)
        energy = energy[rows, chosen].double()
        # a temperature that leaves about the best tenth of the draws in play
        spread = (energy.mean(dim=1) - energy.amin(dim=1)).clamp(min=1e-9)
        weight = torch.softmax(-energy / (0.1 * spread)[:, None], dim=1)
        draw = (weight.cumsum(dim=1) < uniform.to(weight)).sum(dim=1).clamp(max=self.draws - 1)
        return self.latents((chosen * self.draws + draw).cpu())
