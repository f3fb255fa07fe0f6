"""``evaluate``: how good a generator's samples are, in numbers with their floors."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.utils import make_grid, save_image

from lightning_inpaint.errors import UserError

from .accuracy_score import classification_accuracy_score
from .classifier import Classifier
from .metrics import (
    FeatureVectors,
    frechet_distance,
    kernel_distance,
    nearest_neighbours,
    precision_recall,
)

__all__ = ["evaluate_generator", "noise_redraw_psnr", "sample"]

BUNDLED_CLASSIFIER = Path(__file__).parent / "weights/cifar10.safetensors"


@torch.no_grad()
def sample(
    generator: nn.Module, count: int, seed: int, batch: int = 250
) -> tuple[Tensor, Tensor | None]:
    """Draw uint8 pictures (count, 3, H, W) on the CPU, classes in turn, and their labels.

    Latents and noise maps are a function of ``seed``.
    """
    network: Any = generator
    device = next(generator.parameters()).device
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % network.num_classes if network.num_classes else None
    shapes = getattr(network, "noise_shapes", [])
    pictures = []
    for start in range(0, count, batch):
        n = min(batch, count - start)
        z = torch.randn(n, network.z_dim, generator=stream).to(device)
        noise = [torch.randn(n, 1, *s, generator=stream).to(device) for s in shapes]
        picked = None if labels is None else labels[start : start + n].to(device)
        drawn = network(z, picked, noise) if shapes else network(z, picked)
        scaled = drawn.float().clamp(-1, 1).add(1).mul(127.5).round()
        pictures.append(scaled.to("cpu", torch.uint8))
    return torch.cat(pictures), labels


@torch.no_grad()
def noise_redraw_psnr(generator: nn.Module, count: int = 200, seed: int = 0) -> float:
    """How alike two pictures of the same z and class are when only the noise maps are drawn anew.

    Returns:
        Peak signal-to-noise ratio in dB, from the mean squared difference over all samples (peak 2
        on [-1, 1]); infinite without noise inputs.
    """
    network: Any = generator
    shapes = getattr(network, "noise_shapes", [])
    if not shapes:
        return math.inf
    device = next(generator.parameters()).device
    stream = torch.Generator().manual_seed(seed)
    z = torch.randn(count, network.z_dim, generator=stream).to(device)
    labels = (torch.arange(count) % network.num_classes).to(device) if network.num_classes else None
    pair = [
        network(z, labels, [torch.randn(count, 1, *s, generator=stream).to(device) for s in shapes])
        for _ in range(2)
    ]
    error = (pair[0].clamp(-1, 1) - pair[1].clamp(-1, 1)).square().mean().item()
    return 10 * math.log10(4 / error) if error > 0 else math.inf


def _features(network: FeatureVectors, pictures: Tensor) -> Tensor:
    return torch.cat([network(part) for part in pictures.split(500)])


@torch.no_grad()
def _accuracy(classifier: Classifier, pictures: Tensor, labels: Tensor) -> float:
    scaled = pictures.split(500)
    guesses = [classifier(part.float().div(127.5).sub(1)).argmax(dim=1) for part in scaled]
    return float((torch.cat(guesses) == labels).float().mean())


def _check(generator: Any, pictures: Tensor, labels: Tensor) -> None:
    if pictures.shape[-1] != 32 or generator.resolution != 32:
        raise UserError(
            f"The classifier judges 32x32 pictures; the generator draws {generator.resolution} and "
            f"the data has {pictures.shape[-1]} pixels per side: evaluate at 32 pixels."
        )
    if len(pictures) != len(labels):
        raise UserError(f"There are {len(pictures)} real pictures and {len(labels)} labels.")


def evaluate_generator(
    generator: nn.Module,
    pictures: Tensor,
    labels: Tensor,
    *,
    samples: int = 10_000,
    classifier: str | None = None,
    accuracy_score_samples: int = 0,
    test_pictures: Tensor | None = None,
    test_labels: Tensor | None = None,
    seed: int = 0,
    neighbours_path: str | Path | None = None,
) -> dict[str, Any]:
    """Measure a generator against real pictures in a classifier's features.

    Every figure depends on the feature network, whose name is part of the report. If the generator
    was trained against the same network (a projected discriminator), distances and accuracy flatter
    it; the classification accuracy score uses a classifier trained afresh and does not.

    Args:
        generator: as :func:`lightning_inpaint.generators.load_generator` returns it.
        pictures: uint8 (M, 3, 32, 32), the training pictures.
        labels: (M,).
        samples: pictures to draw; as many real ones are compared with them.
        classifier: file of the feature network; None = the bundled one.
        accuracy_score_samples: pictures the fresh classifier learns from; 0 = leave it out. 50,000
            are Ravuri and Vinyals' choice and take an hour on two cores.
        test_pictures, test_labels: real pictures that classifier is tested on.
        seed: of latents and noise.
        neighbours_path: PNG of 16 samples, each above its nearest real picture; None = none.

    Returns:
        Names and values, ready for JSON.

    Raises:
        UserError: pictures of another size, or the classifier's file is not there.
    """
    _check(generator, pictures, labels)
    path = Path(classifier) if classifier else BUNDLED_CLASSIFIER
    if not path.is_file():
        raise UserError(
            f"{path}: there is no classifier; benchmarks/train_classifier.py makes one."
        )
    judge = Classifier.from_file(path)
    network = FeatureVectors(judge)
    fake, intended = sample(generator, samples, seed)
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed))
    halves = order[: 2 * samples].chunk(2)
    first, second = (_features(network, pictures[half]) for half in halves)
    drawn = _features(network, fake)
    precision, recall = precision_recall(first, drawn)
    result: dict[str, Any] = {
        "feature_network": path.name,
        "samples": samples,
        "frechet_distance": frechet_distance(first, drawn),
        "frechet_distance_floor": frechet_distance(first, second),
        "kernel_distance": kernel_distance(first, drawn),
        "kernel_distance_floor": kernel_distance(first, second),
        "precision": precision,
        "recall": recall,
        "noise_redraw_psnr_db": noise_redraw_psnr(generator, seed=seed),
    }
    if intended is not None:
        result["intended_class_accuracy"] = _accuracy(judge, fake, intended)
        result["intended_class_accuracy_real"] = _accuracy(
            judge, pictures[order[:samples]], labels[order[:samples]]
        )
    result["nearest_neighbour_distance"] = _neighbours(
        fake[:16], drawn[:16], network, pictures, neighbours_path
    )
    if accuracy_score_samples and test_pictures is not None and test_labels is not None:
        train, train_labels = sample(generator, accuracy_score_samples, seed + 1)
        if train_labels is not None:
            result["classification_accuracy_score"] = classification_accuracy_score(
                train, train_labels, test_pictures, test_labels, seed=seed
            )
    return result


def _neighbours(
    fake: Tensor,
    features: Tensor,
    network: FeatureVectors,
    pictures: Tensor,
    path: str | Path | None,
) -> float:
    """Mean feature distance of samples to their nearest real pictures; draws the pairs."""
    where, distance = nearest_neighbours(features, _features(network, pictures))
    if path is not None:
        pairs: Sequence[Tensor] = [fake, pictures[where]]
        save_image(make_grid(torch.cat(list(pairs)).float() / 255, len(fake)), Path(path))
    return float(distance.mean())


def write_report(result: dict[str, Any], path: str | Path) -> None:
    """Write the figures as JSON."""
    Path(path).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
