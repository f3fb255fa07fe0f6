"""Adversarial losses, their shared backward pass and the gradient penalty."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "Opposition",
    "discriminator_loss",
    "generator_loss",
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "hinge_mismatch_loss",
    "mismatch_loss",
    "opposing_term",
    "r1_penalty",
]

FLOOR = math.exp(-40)


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating loss of Goodfellow et al. 2014 (arXiv:1406.2661): mean softplus(-logit)."""
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Cross-entropy of real pictures as 1 and generated ones as 0, from logits of any shape.

    The gradient at a generated picture's logit is sigmoid(f) + ``FLOOR`` (4e-18), so that it never
    leaves float32's range and :class:`Opposition` can turn it at any logit.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean() + FLOOR * fake.mean()


def hinge_discriminator_loss(real: Tensor, fake: Tensor, weights: Tensor) -> Tensor:
    """Hinge loss at several places, mean over pictures (Lim and Ye 2017, arXiv:1705.02894).

    Args:
        real: (N, places) scores of real pictures.
        fake: the same of generated ones.
        weights: (places,), by which places are summed.
    """
    return ((F.relu(1 - real) + F.relu(1 + fake)) @ weights).mean()


def hinge_generator_loss(fake: Tensor, weights: Tensor) -> Tensor:
    """Minus the scores (N, places), summed with ``weights`` (places,), mean over pictures."""
    return -(fake @ weights).mean()


def mismatch_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Real pictures under every class that is not theirs, as negatives: mean softplus(logit).

    The matching-aware discriminator of Reed et al. 2016 (arXiv:1605.05396, section 4.2) over all
    wrong classes at once; the discriminator learns the classes from real pictures alone.

    Args:
        scores: (N, classes), at least two classes.
        labels: (N,) true classes.
    """
    return _over_wrong(F.softplus(scores), labels)


def hinge_mismatch_loss(scores: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """:func:`mismatch_loss` by the hinge at several places.

    Args:
        scores: (N, classes, places), at least two classes.
        labels: (N,) true classes.
        weights: (places,), by which places are summed.
    """
    return _over_wrong(F.relu(1 + scores) @ weights, labels)


def _over_wrong(terms: Tensor, labels: Tensor) -> Tensor:
    """Mean of ``terms`` (N, classes) over the classes that are not ``labels``."""
    wrong = torch.ones_like(terms).scatter_(1, labels[:, None], 0.0)
    return (terms * wrong).sum() / wrong.sum()


class Opposition:
    """Turns the discriminator's gradient at generated pictures into the generator's.

    The discriminator descends mean softplus(f_i), the generator mean softplus(-f_i). Their
    gradients at picture i are sigmoid(f_i) f_i' / N and -sigmoid(-f_i) f_i' / N: the second is a
    known number times the first. One backward pass of :func:`discriminator_loss` therefore serves
    both players (simultaneous gradient descent; gradient reversal, arXiv:1409.7495, with a factor for
    each row). Exact as long as logit i depends on picture i alone.
    """

    def __init__(self) -> None:
        self.factor: Tensor | None = None

    def __call__(self, pictures: Tensor) -> Tensor:
        """``pictures`` (N, ...), whose gradient will be turned."""
        turned: Tensor = _Turn.apply(pictures, self)
        return turned

    def set_logits(self, fake: Tensor) -> None:
        """Logits (N,) of those pictures; before the backward pass."""
        fake = fake.detach()
        self.factor = -torch.sigmoid(-fake) / (torch.sigmoid(fake) + FLOOR)


def opposing_term(fake: Tensor, leaf: Tensor, loss: Tensor) -> Tensor:
    """The generator's gradient as a term of value 0, for discriminators whose rows see each other.

    There :class:`Opposition` would be wrong, as the share of logit j in the gradient at picture i
    would be turned by the factor of logit i. This goes through the discriminator once more, for the
    gradient at the pictures alone.

    Args:
        fake: (N, ...) generated pictures, with their graph.
        leaf: the same pictures without it, requiring a gradient; what the discriminator saw.
        loss: the generator's, from ``leaf``.
    """
    (slope,) = torch.autograd.grad(loss, leaf, retain_graph=True)
    return ((fake - fake.detach()) * slope).sum()


class _Turn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pictures: Tensor, opposition: Opposition) -> Tensor:
        ctx.opposition = opposition
        return pictures.view_as(pictures)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        factor = ctx.opposition.factor.to(gradient.dtype)
        return gradient * factor.view(-1, *[1] * (gradient.ndim - 1)), None


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
