"""How good a generator is: distances, accuracies and neighbours in a feature network's space."""

from .classifier import Classifier
from .drawing import noise_redraw_psnr, sample
from .features import FeatureVectors, load_judge
from .fitting import accuracy, fit_classifier
from .metrics import (
    conditional_frechet_distance,
    frechet_distance,
    kernel_distance,
    nearest_neighbours,
    precision_recall,
)
from .report import evaluate_generator, report_table, write_report
from .spaces import feature_spaces

__all__ = [
    "Classifier",
    "FeatureVectors",
    "accuracy",
    "conditional_frechet_distance",
    "evaluate_generator",
    "feature_spaces",
    "fit_classifier",
    "frechet_distance",
    "kernel_distance",
    "load_judge",
    "nearest_neighbours",
    "noise_redraw_psnr",
    "precision_recall",
    "report_table",
    "sample",
    "write_report",
]
