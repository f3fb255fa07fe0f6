"""``evaluate``: a generator against real pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from .functions import run

if TYPE_CHECKING:
    import torch


def main(args: list[str]) -> int:
    """Run the command."""
    return run(evaluate, args)


def evaluate(
    generator: str = "cifar10",
    *,
    path: str | None = None,
    root: str = "data",
    download: bool = False,
    resize: bool = False,
    samples: int = 10_000,
    truncation: float = 1.0,
    features: str = "classifier",
    classifier: str | None = None,
    accuracy_score: int = 0,
    test_path: str | None = None,
    output: str = "evaluation.json",
    neighbours: str | None = None,
    device: str = "auto",
    seed: int = 0,
) -> None:
    """Measure a generator against real pictures; writes a report and prints a table.

    Args:
        generator: Name, address or path of a generator.
        path: Folder or zip of real training pictures; null for CIFAR-10.
        root: Folder of torchvision's CIFAR-10.
        download: Download CIFAR-10 (163 MB) if it is not there.
        resize: Crop pictures of another size to a square and scale them; without, they are errors.
        samples: Pictures to draw, and twice as many real ones.
        truncation: Share of their deviation from the average that styles keep: 1 is the whole generator,
            and predict draws with 0.5.
        features: Network in whose features pictures are compared: classifier, mobilenet, inception, or several
            of them joined by commas.
        classifier: File of the classifier; null for the bundled one.
        accuracy_score: Train a classifier on so many samples alone and test it on real test pictures; 0 = not.
        test_path: Folder or zip of those test pictures; null for CIFAR-10's.
        output: The report to write, JSON.
        neighbours: Picture to write, of 16 samples above their nearest real pictures.
        device: cpu, cuda, cuda:1, ...; auto is cuda if there is one.
        seed: Seed of latents and noise.
    """
    from ..datamodules.training_pictures import TrainingPictures, read_cifar
    from ..evaluation import evaluate_generator, report_table, write_report
    from ..generators import load_generator

    if accuracy_score and path and not test_path:
        raise UserError("--accuracy_score needs real test pictures: pass --test_path.")
    network = load_generator(generator)
    size = network.resolution
    real = TrainingPictures(path, root, download, size, resize).pictures
    test = None
    if accuracy_score:
        if test_path:
            test = TrainingPictures(test_path, resolution=size, resize=resize).pictures
        else:
            test = read_cifar(root, download, train=False)
        if test.class_names != real.class_names:
            raise UserError(
                f"--test_path {test_path}: its classes ({', '.join(test.class_names)}) are not those "
                f"of the training pictures ({', '.join(real.class_names)})."
            )
    report = evaluate_generator(
        network.to(_device(device)),
        real.image,
        real.label,
        class_names=real.class_names,
        samples=min(samples, len(real.image) // 2),
        truncation=truncation,
        features=features,
        classifier=classifier,
        accuracy_score_samples=accuracy_score,
        test_pictures=test.image if test else None,
        test_labels=test.label if test else None,
        seed=seed,
        neighbours_path=neighbours,
    )
    report = {"generator": generator, **report}
    write_report(report, output)
    kept = "" if truncation == 1 else f" at truncation {truncation}"
    print(f"{generator}: {report['samples']} samples{kept}, as many real pictures twice")
    print(report_table(report))


def _device(name: str) -> torch.device:
    """What ``--device`` names.

    Raises:
        UserError: there is no such device here.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {name}: not available here ({reason}).") from None
    return torch.device(name)
