"""What a generator is trained against: a way of seeing pictures and a trainable judge of it.

Both adversaries share one interface, so that one forward pass of the generator serves both updates
of a step: generated pictures are *seen* once; the discriminator learns from the detached view, the
generator through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from lightning_inpaint.evaluation.classifier import Classifier, FrozenFeatures

from .augment import diff_augment
from .discriminator import StyleGAN2Discriminator
from .losses import (
    hinge_discriminator_loss,
    hinge_generator_loss,
    logistic_discriminator_loss,
    logistic_generator_loss,
    r1_penalty,
)
from .projected import ProjectedHeads

__all__ = ["Adversary", "ProjectedAdversary", "StyleGAN2Adversary"]

Views = list[Tensor]


class Adversary(Protocol):
    """The interface of both adversaries. Labels are (N,) or None, pictures (N, C, H, W)."""

    def see(self, pictures: Tensor, generator: torch.Generator | None) -> Views:
        """The differentiable view that is judged: features, or augmented pictures."""

    def judge(self, views: Views, labels: Tensor | None) -> Views:
        """Logits, one tensor per head."""

    def discriminator_loss(self, real: Views, fake: Views) -> Tensor:
        """Loss of the judge from its logits."""

    def generator_loss(self, fake: Views) -> Tensor:
        """Loss of the generator from the logits of its pictures."""

    def penalty(self, views: Views, labels: Tensor | None) -> Tensor | None:
        """Regularization of the judge on real pictures; None = none."""


class ProjectedAdversary(nn.Module):
    """Heads on a frozen classifier's features, hinge loss (arXiv:2111.01007).

    It needs no gradient penalty and converges within some hundred thousand 32x32 pictures, which is
    what a CPU shows in an hour or two; the features must know the kind of picture trained on.

    Args:
        features: the trained classifier whose layers are seen.
        num_classes: 0 = unconditional.
        policy, p: see :func:`.augment.diff_augment`; an empty policy is the default, because frozen
            features cannot memorize pictures as a discriminator of its own can.
        seed: of the fixed random projections.
        head_weights: of the heads in the generator's loss, finest level first.
    """

    def __init__(
        self,
        features: Classifier,
        num_classes: int,
        policy: str = "",
        p: float = 1.0,
        seed: int = 0,
        head_weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.features = FrozenFeatures(features)
        self.heads = ProjectedHeads(self.features.channels, num_classes, seed)
        self.policy, self.p, self.head_weights = policy, p, tuple(head_weights)

    def see(self, pictures: Tensor, generator: torch.Generator | None) -> Views:
        """Features of pictures in [-1, 1] at four levels."""
        return self.features(diff_augment(pictures, self.policy, self.p, generator))

    def judge(self, views: Views, labels: Tensor | None) -> Views:
        """Logits (N, places) of each of the four heads."""
        return self.heads(views, labels)

    def discriminator_loss(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
        """Hinge loss, summed over heads."""
        return hinge_discriminator_loss(real, fake)

    def generator_loss(self, fake: Sequence[Tensor]) -> Tensor:
        """Minus the mean logits, weighted sum over heads."""
        return hinge_generator_loss(fake, self.head_weights)

    def penalty(self, views: Views, labels: Tensor | None) -> None:
        """None: spectral norm bounds the heads' slopes."""


class StyleGAN2Adversary(nn.Module):
    """StyleGAN2's discriminator on augmented pictures, logistic loss, R1 (arXiv:1912.04958).

    Args:
        discriminator: a :class:`StyleGAN2Discriminator` or any module of (pictures, labels).
        r1_gamma: weight of the gradient penalty; 0 = none.
        policy, p: see :func:`.augment.diff_augment`.
    """

    def __init__(
        self,
        discriminator: StyleGAN2Discriminator,
        r1_gamma: float = 0.01,
        policy: str = "color,translation,cutout",
        p: float = 1.0,
    ) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.r1_gamma, self.policy, self.p = r1_gamma, policy, p

    def see(self, pictures: Tensor, generator: torch.Generator | None) -> Views:
        """Augmented pictures."""
        return [diff_augment(pictures, self.policy, self.p, generator)]

    def judge(self, views: Views, labels: Tensor | None) -> Views:
        """Logits (N,)."""
        return [self.discriminator(views[0], labels)]

    def discriminator_loss(self, real: Views, fake: Views) -> Tensor:
        """Cross-entropy of real against generated."""
        return logistic_discriminator_loss(real[0], fake[0])

    def generator_loss(self, fake: Views) -> Tensor:
        """Non-saturating logistic loss."""
        return logistic_generator_loss(fake[0])

    def penalty(self, views: Views, labels: Tensor | None) -> Tensor | None:
        """R1 at the augmented pictures."""
        if not self.r1_gamma:
            return None
        return r1_penalty(lambda x: self.discriminator(x, labels), views[0], self.r1_gamma)
