"""Classification accuracy score (Ravuri and Vinyals 2019, arXiv:1905.10887)."""

from __future__ import annotations

from torch import Tensor

from .fitting import accuracy, fit_classifier

__all__ = ["classification_accuracy_score"]


def classification_accuracy_score(
    pictures: Tensor,
    labels: Tensor,
    test_pictures: Tensor,
    test_labels: Tensor,
    *,
    epochs: float = 5,
    batch_size: int = 1000,
    widths: tuple[int, int, int] = (64, 128, 128),
    seed: int = 0,
) -> float:
    """Accuracy on real pictures of a classifier trained on generated ones alone.

    Args:
        pictures: uint8 (N, 3, 32, 32), generated.
        labels: (N,), the classes asked for.
        test_pictures: uint8 (M, 3, 32, 32), real.
        test_labels: (M,).
        epochs, batch_size, widths, seed: see :func:`.fitting.fit_classifier`.
    """
    net = fit_classifier(
        pictures, labels, epochs=epochs, batch_size=batch_size, widths=widths, seed=seed
    )
    return accuracy(net, test_pictures, test_labels)
