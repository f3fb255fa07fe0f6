"""How good a generator is: distances, accuracies and neighbours in a feature network's space."""

from .classifier import Classifier, FrozenFeatures
from .fitting import accuracy, fit_classifier
from .metrics import (
    FeatureVectors,
    frechet_distance,
    kernel_distance,
    nearest_neighbours,
    precision_recall,
)
from .report import evaluate_generator, noise_redraw_psnr, sample, write_report

__all__ = [
    "Classifier",
    "FeatureVectors",
    "FrozenFeatures",
    "accuracy",
    "evaluate_generator",
    "fit_classifier",
    "frechet_distance",
    "kernel_distance",
    "nearest_neighbours",
    "noise_redraw_psnr",
    "precision_recall",
    "sample",
    "write_report",
]
