"""An encoder beside the generator, so that every real picture has a latent that draws it.

VAE/GAN (Larsen et al. 2016, arXiv:1512.09300): reconstructions of real pictures from z ~ N(mean,
variance) join the samples that the discriminator judges, and a pixel and feature loss with the
variational bound's Kullback-Leibler term keeps them near the pictures and the latents near N(0, I).
Adversarial training alone, cut short, drops modes; a completion needs the mode that fits the known
pixels, so covering the data matters more here than the sharpest sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PictureEncoder", "reconstruction_loss"]

LOG_VARIANCE = (-8.0, 2.0)


class PictureEncoder(nn.Module):
    """Thumbnail and frozen features of a 32x32 picture to mean and log-variance of z.

    Args:
        channels: channels of the four feature levels, finest first.
        num_classes: 0 = unconditional.
        z_dim: dimensions of z.
        width: of the hidden layers.
    """

    def __init__(
        self, channels: Sequence[int], num_classes: int, z_dim: int, width: int = 512
    ) -> None:
        super().__init__()
        inside = 3 * 64 + channels[1] * 25 + channels[2] * 9 + channels[3] * 9
        self.num_classes = num_classes
        self.norm = nn.BatchNorm1d(inside)
        self.first = nn.Linear(inside + num_classes, width)
        self.second = nn.Linear(width, width)
        self.out = nn.Linear(width, 2 * z_dim)

    def forward(
        self, pictures: Tensor, features: Sequence[Tensor], labels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Pictures (N, 3, 32, 32), their feature levels and labels (N,) to two (N, z_dim)."""
        parts = [
            F.avg_pool2d(pictures, 4),
            F.adaptive_avg_pool2d(features[1], 5),
            F.adaptive_avg_pool2d(features[2], 3),
            features[3],
        ]
        h = self.norm(torch.cat([p.flatten(1) for p in parts], dim=1))
        if self.num_classes:
            assert labels is not None
            h = torch.cat([h, F.one_hot(labels, self.num_classes).to(h.dtype)], dim=1)
        h = F.leaky_relu(self.first(h), 0.2)
        h = h + F.leaky_relu(self.second(h), 0.2)
        mean, log_variance = self.out(h).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE)


def reconstruction_loss(
    drawn: Tensor,
    real: Tensor,
    drawn_features: Sequence[Tensor],
    real_features: Sequence[Tensor],
    mean: Tensor,
    log_variance: Tensor,
    sigma: float,
    feature_weight: float = 0.05,
) -> dict[str, Tensor]:
    """Negative variational bound of a Gaussian picture model, per value, plus feature distances.

    The bound, -log N(real; drawn, sigma^2 I) + KL, is scaled by 2 sigma^2 / d with d the values of a
    picture, so that its first term is the mean squared error.

    Args:
        drawn, real: pictures (N, C, H, W) in [-1, 1].
        drawn_features, real_features: feature levels; all but the coarsest are compared, each
            relative to the variance of the real one.
        mean, log_variance: (N, z_dim) of the encoder.
        sigma: standard deviation of the picture model on the [-1, 1] scale.
        feature_weight: of the mean relative squared feature distance.

    Returns:
        ``total`` and its parts ``pixels``, ``features`` (before weighting) and ``kl`` (nats).
    """
    pixels = (drawn - real).square().mean()
    pairs = list(zip(drawn_features, real_features, strict=True))[:-1]
    terms = [(a - b).square().mean() / b.var() for a, b in pairs]
    features = torch.stack(terms).mean()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    total = pixels + feature_weight * features + 2 * sigma**2 / real[0].numel() * kl
    return {"total": total, "pixels": pixels, "features": features, "kl": kl}
