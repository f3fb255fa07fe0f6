"""Classifier guidance: a trained classifier tells the generator what is not in the class asked for.

Sauer et al. 2022, "StyleGAN-XL" (arXiv:2202.00273, section 3.4).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ArgumentError
from ..evaluation.classifier import Classifier
from ..evaluation.features import load_judge
from .pretrained import leave_out
from .start import bundled_or_file

__all__ = ["Guide", "load_guide"]


class Guide(nn.Module):
    """A frozen classifier, whose cross-entropy the generator descends.

    Args:
        classifier: a trained one.
        smoothing: share of the target that is spread over all classes. With the one the classifier was
            trained with, a picture as clear as real ones are is asked for, and not one clearer than any.
    """

    def __init__(self, classifier: Classifier, smoothing: float = 0.2) -> None:
        super().__init__()
        self.classifier = classifier.eval().requires_grad_(False)
        self.smoothing = smoothing
        self.width = classifier.pooled_width
        leave_out(self, "classifier")

    def train(self, mode: bool = True) -> Guide:
        """Stays in eval mode."""
        return super().train(False)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (N, classes) and features (N, width) of pictures (N, 3, 32, 32) in [-1, 1].

        The features are the activations of the last two blocks, averaged over places.
        """
        levels = self.classifier.features(pictures)
        return self.classifier.scores(levels[-1]), self.classifier.pooled(levels)

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over rows of ``logits`` (N, classes) under ``labels`` (N,)."""
        return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)


def load_guide(
    path: str, resolution: int, num_classes: int, class_names: Sequence[str] | None
) -> Guide:
    """Read a classifier that ``benchmarks/train_classifier.py`` wrote.

    Args:
        path: of the file; ``cifar10`` is the one that guided the bundled generator (87.0 % on real test
            pictures; not the one that ``evaluate`` measures with).
        resolution: of the pictures.
        num_classes: of the generator; 0 = unconditional.
        class_names: what its classes are called; None = unknown.

    Raises:
        UserError: it cannot be read, or it knows other classes or pictures of another size.
    """
    judge = load_judge(bundled_or_file(path, "guide"), "guide", "model")
    if resolution != 32:
        raise ArgumentError(
            f"`guide={path}` sees pictures of 32 pixels, and `resolution` is {resolution}: "
            "leave it out."
        )
    count = judge.classifier.head.out_features
    same = count == num_classes
    if judge.class_names and class_names:
        same = judge.class_names == tuple(class_names)
    if not same:
        known = ", ".join(judge.class_names or (f"{count} without names",))
        ours = ", ".join(class_names or (f"{num_classes} without names",))
        raise ArgumentError(
            f"`guide={path}` knows other classes ({known}) than the data has ({ours}): train one "
            "on them (benchmarks/train_classifier.py), or leave it out."
        )
    return Guide(judge.classifier)
