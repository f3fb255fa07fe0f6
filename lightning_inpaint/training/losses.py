"""Adversarial losses and the gradient penalty."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "logistic_discriminator_loss",
    "logistic_generator_loss",
    "r1_penalty",
]


def logistic_generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating loss of Goodfellow et al. 2014 (arXiv:1406.2661): mean softplus(-logit)."""
    return F.softplus(-fake).mean()


def logistic_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Cross-entropy of real pictures as 1 and generated ones as 0, from logits of any shape."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def hinge_generator_loss(fake: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """Minus the mean logit, weighted sum over heads (arXiv:2111.01007, eq. 1 with hinge loss)."""
    factors = [1.0] * len(fake) if weights is None else weights
    terms = [w * logits.mean() for w, logits in zip(factors, fake, strict=True)]
    return -torch.stack(terms).sum()


def hinge_discriminator_loss(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Hinge loss (Lim and Ye 2017, arXiv:1705.02894), mean over places, summed over heads."""
    terms = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).sum()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], real: Tensor, gamma: float) -> Tensor:
    """Gradient penalty on real pictures, gamma / 2 E |grad D|^2 (Mescheder et al. 2018).

    arXiv:1801.04406, eq. 9. Applied lazily (every k-th step, arXiv:1912.04958, section 3.1), the
    caller multiplies by k.

    Args:
        discriminator: pictures (N, C, H, W) to logits (N, ...), one row depending on one picture.
        real: pictures; a gradient with respect to them is formed whether or not they require one.
        gamma: weight, in units of logit^-2 picture^2.
    """
    with torch.enable_grad():
        real = real.detach().requires_grad_(True)
        logits = discriminator(real)
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gamma / 2 * gradient.square().flatten(1).sum(dim=1).mean()
