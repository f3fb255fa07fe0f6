"""``evaluate``: how good a generator's samples are, in numbers beside those of real pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.utils import make_grid, save_image

from ..errors import ArgumentError, UserError
from ..files import whole_file, write_text
from ..generators.stylegan2 import StyleGAN2Generator
from ..images.levels import from_uint8
from .accuracy_score import classification_accuracy_score
from .drawing import noise_redraw_psnr, sample
from .features import Judge, load_judge, vectors
from .metrics import frechet_distance, kernel_distance, nearest_neighbours, precision_recall
from .spaces import feature_spaces

__all__ = ["evaluate_generator", "report_table", "write_report"]

SHOWN = 16  # samples whose nearest neighbours are looked for


def evaluate_generator(
    generator: nn.Module,
    pictures: Tensor,
    labels: Tensor,
    *,
    class_names: Sequence[str] | None = None,
    samples: int = 10_000,
    truncation: float = 1.0,
    features: str = "classifier",
    classifier: str | Path | None = None,
    accuracy_score_samples: int = 0,
    test_pictures: Tensor | None = None,
    test_labels: Tensor | None = None,
    seed: int = 0,
    neighbours_path: str | Path | None = None,
) -> dict[str, Any]:
    """Measure a generator against real pictures.

    Args:
        generator: as :func:`lightning_inpaint.generators.load_generator` returns it; the feature
            network runs on its device.
        pictures: uint8 (M, 3, H, W), the training pictures.
        labels: (M,).
        class_names: what the labels mean; without, they are taken to be the generator's classes.
        samples: pictures to draw; as many real ones are compared with them, and as many others with
            those (the floor).
        truncation: share of its deviation from its class's mean style that a style keeps, in (0, 1]: 1 is the
            whole generator, .5 the one that completions come from by default.
        features: space of the distances, of precision and recall, and of the neighbours: classifier,
            mobilenet or inception; several, joined by commas, are several judges
            (:func:`.spaces.feature_spaces`). The first one's figures have plain names and choose the
            neighbours, the names of the others' end in theirs: ``recall_mobilenet``.
        classifier: file of the classifier; None = the bundled one.
        accuracy_score_samples: pictures the fresh classifier learns from; 0 = leave it out. 50,000
            are Ravuri and Vinyals' choice and take half an hour on two cores.
        test_pictures: real pictures that classifier is tested on.
        test_labels: their classes.
        seed: of latents, noise and the choice of real pictures.
        neighbours_path: PNG of 16 samples, each above its nearest real picture; None = none.

    Returns:
        ``samples``, ``truncation``, ``nearest_neighbours`` (positions in ``pictures``) and ``figures``:
        for each name a ``value``, the same of ``real`` pictures or None, which is ``better``, and what it
        was ``measured_with``.

    Raises:
        UserError: too few pictures, pictures of another size, or a network that is not there.
    """
    _check(generator, pictures, labels, samples, truncation)
    judge = load_judge(classifier) if _small(generator) else None
    spaces = feature_spaces(features, judge)
    device = next(generator.parameters()).device
    fake, intended = sample(generator, samples, seed, truncation)
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed))
    space = spaces[0]
    real, drawn = (vectors(space.network, x, device) for x in (pictures, fake))
    figures = _compared(real[order[:samples]], real[order[samples : 2 * samples]], drawn)
    where, distance = nearest_neighbours(drawn[:SHOWN], real)
    between_real = nearest_neighbours(real[order[:SHOWN]], real[order[SHOWN:]])[1]
    figures["nearest_neighbour_distance"] = _figure(distance.mean(), between_real.mean())
    for figure in figures.values():
        figure["measured_with"] = space.label
    for space in spaces[1:]:
        sets = (pictures[order[:samples]], pictures[order[samples : 2 * samples]], fake)
        seen = [vectors(space.network, x, device) for x in sets]
        for name, figure in _compared(*seen).items():
            figures[f"{name}_{space.name}"] = figure | {"measured_with": space.label}
    figures["noise_redraw_psnr_db"] = _figure(
        noise_redraw_psnr(generator, seed=seed, truncation=truncation)
    ) | {
        "better": "higher",
        "measured_with": "pixels",
    }
    if judge is not None and intended is not None and _same_classes(judge, generator):
        known = class_names is None or tuple(class_names) == generator.class_names
        chosen = order[:samples]
        score = _accuracy(judge, pictures[chosen], labels[chosen], device) if known else None
        figures["intended_class_accuracy"] = _figure(
            _accuracy(judge, fake, intended, device), score
        ) | {"better": "higher", "measured_with": judge.name}
    if accuracy_score_samples:
        figures["classification_accuracy_score"] = _accuracy_score(
            generator, accuracy_score_samples, truncation, test_pictures, test_labels, seed
        )
    if neighbours_path is not None:
        pairs = torch.cat([fake[:SHOWN], pictures[where]]).float() / 255
        with whole_file(neighbours_path) as temporary:
            save_image(make_grid(pairs, SHOWN), temporary, format="PNG")
    return {
        "samples": samples,
        "truncation": truncation,
        "figures": figures,
        "nearest_neighbours": where.tolist(),
    }


def _figure(value: Tensor | float, real: Tensor | float | None = None) -> dict[str, Any]:
    return {"value": float(value), "real": None if real is None else float(real), "better": ""}


def _small(generator: Any) -> bool:
    return bool(generator.resolution == 32)


def _check(
    generator: Any, pictures: Tensor, labels: Tensor, samples: int, truncation: float
) -> None:
    if not 0 < truncation <= 1:
        raise ArgumentError(f"`truncation` is {truncation}; it must be above 0, and 1 at most.", "")
    if truncation != 1 and not isinstance(generator, StyleGAN2Generator):
        raise ArgumentError(
            "`truncation` is for StyleGAN2 generators, and this is none: leave it out.", ""
        )
    if pictures.shape[-1] != generator.resolution:
        raise UserError(
            f"The generator draws {generator.resolution} pixels per side and the real pictures have "
            f"{pictures.shape[-1]}: give pictures of the generator's size."
        )
    if len(pictures) != len(labels):
        raise UserError(f"There are {len(pictures)} real pictures and {len(labels)} labels.")
    if len(pictures) < 2 * SHOWN:
        raise UserError(
            f"{len(pictures)} pictures are too few to compare with: it takes {2 * SHOWN} at least."
        )
    if samples < SHOWN:
        raise ArgumentError(f"`samples` is {samples}, and must be at least {SHOWN}.", "")
    if len(pictures) < 2 * samples:
        raise ArgumentError(
            f"{samples} samples need {2 * samples} real pictures to compare with and there are "
            f"{len(pictures)}: pass `samples` {len(pictures) // 2} or less.",
            "",
        )


def _same_classes(judge: Judge, generator: Any) -> bool:
    if judge.class_names and generator.class_names:
        return tuple(generator.class_names) == judge.class_names
    return bool(judge.classifier.head.out_features == generator.num_classes)


def _compared(first: Tensor, second: Tensor, drawn: Tensor) -> dict[str, dict[str, Any]]:
    """Distances and shares of samples, and of a second set of real pictures, to the first set."""
    precision, recall = precision_recall(first, drawn)
    real_precision, real_recall = precision_recall(first, second)
    figures = {
        "frechet_distance": _figure(
            frechet_distance(first, drawn), frechet_distance(first, second)
        ),
        "kernel_distance": _figure(kernel_distance(first, drawn), kernel_distance(first, second)),
        "precision": _figure(precision, real_precision),
        "recall": _figure(recall, real_recall),
    }
    for name, figure in figures.items():
        figure["better"] = "lower" if name.endswith("distance") else "higher"
    return figures


@torch.no_grad()
def _accuracy(judge: Judge, pictures: Tensor, labels: Tensor, device: torch.device) -> float:
    network = judge.classifier.to(device)
    guesses = [
        network(from_uint8(part.to(device))).argmax(dim=1).cpu() for part in pictures.split(500)
    ]
    return float((torch.cat(guesses) == labels).float().mean())


def _accuracy_score(
    generator: nn.Module,
    count: int,
    truncation: float,
    test_pictures: Tensor | None,
    test_labels: Tensor | None,
    seed: int,
) -> dict[str, Any]:
    if test_pictures is None or test_labels is None:
        raise ArgumentError("`accuracy_score` needs real test pictures: pass `test_path`.", "")
    pictures, labels = sample(
        generator, count, seed + 1, truncation
    )  # others than the rest is measured on
    if labels is None or not _small(generator):
        raise ArgumentError(
            "`accuracy_score` needs a class-conditional generator of 32x32 pixels.", ""
        )
    score = classification_accuracy_score(pictures, labels, test_pictures, test_labels, seed=seed)
    name = f"a fresh classifier trained on {count} samples, {len(test_labels)} real test pictures"
    return _figure(score) | {"better": "higher", "measured_with": name}


def report_table(result: dict[str, Any]) -> str:
    """The figures as text, one a line, each with what it was measured with."""
    heading = ("figure", "samples", "real", "better", "measured with")
    rows = [heading]
    for name, f in result["figures"].items():
        numbers = ["" if f[key] is None else f"{f[key]:.4g}" for key in ("value", "real")]
        rows.append((name, *numbers, f["better"], f["measured_with"]))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[4]]) for r in rows
    ]
    return "\n".join(lines)


def write_report(result: dict[str, Any], path: str | Path) -> None:
    """Write the report as strict JSON (infinite figures as null).

    Raises:
        UserError: the file cannot be written.
    """
    text = json.dumps(_strict(result), indent=2, allow_nan=False) + "\n"
    try:
        write_text(path, text)
    except OSError as error:
        raise ArgumentError(
            f"`output={path}`: cannot be written ({error.strerror or error}).", ""
        ) from None


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strict(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
