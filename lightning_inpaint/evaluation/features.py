"""Feature networks: uint8 pictures to vectors in which sets of pictures are compared."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import ArgumentError
from ..images.levels import from_uint8
from .classifier import Classifier

__all__ = ["BUNDLED_CLASSIFIER", "FeatureVectors", "Judge", "inception", "load_judge", "vectors"]

BUNDLED_CLASSIFIER = Path(__file__).parent / "weights/cifar10.safetensors"


class FeatureVectors(nn.Module):
    """A classifier as the ``feature`` module torchmetrics asks for: uint8 (N, 3, H, W) to (N, D).

    The features are the activations of the last two blocks, averaged over places.
    """

    used_for_metric = True

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        # torchmetrics reads the width from this attribute instead of trying a 299x299 picture.
        self.num_features = classifier.pooled_width

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Features, float32."""
        scaled = from_uint8(pictures)
        levels = self.classifier.features(scaled.contiguous(memory_format=torch.channels_last))
        return self.classifier.pooled(levels)


class Judge(NamedTuple):
    """A trained classifier, the name that stands beside its figures, and its classes if known."""

    classifier: Classifier
    name: str
    class_names: tuple[str, ...] | None


def load_judge(
    path: str | Path | None = None, option: str = "classifier", place: str = ""
) -> Judge:
    """Read a classifier that ``benchmarks/train_classifier.py`` wrote; None = the bundled one.

    Args:
        path: of the file.
        option: argument that named it, for the message.
        place: where that argument belongs to (:class:`~lightning_inpaint.errors.ArgumentError`).

    Raises:
        UserError: there is no such file, or it is something else.
    """
    path = Path(path) if path else BUNDLED_CLASSIFIER
    if not path.is_file():
        raise ArgumentError(
            f"`{option}={path}`: there is no such file; benchmarks/train_classifier.py makes one.",
            place,
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        classifier = Classifier.from_file(path)
    except (SafetensorError, KeyError, RuntimeError):
        raise ArgumentError(
            f"`{option}={path}`: not a classifier that benchmarks/train_classifier.py wrote.", place
        ) from None
    name = f"classifier {path.stem}"
    if "test_accuracy" in metadata:
        name += f" ({100 * float(metadata['test_accuracy']):.1f} % on real test pictures)"
    names = metadata.get("class_names")
    return Judge(classifier, name, tuple(names.split("\n")) if names else None)


def inception() -> nn.Module:
    """Inception v3 as Heusel et al. used it, through torchmetrics; its weights are downloaded once.

    Raises:
        UserError: the package or the weights cannot be had here.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    try:
        network = FrechetInceptionDistance(feature=2048).inception
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(
            f"`features=inception`: the network is not available here ({reason}); install "
            "torch-fidelity where its weights (91 MB) can be downloaded, or take "
            "`features=classifier`.",
            "",
        ) from None
    return network


@torch.no_grad()
def vectors(network: nn.Module, pictures: Tensor, device: torch.device, size: int = 500) -> Tensor:
    """Features (N, D), float32 on the CPU, of uint8 ``pictures`` (N, 3, H, W), ``size`` at a time."""
    network = network.to(device)
    return torch.cat([network(part.to(device)).float().cpu() for part in pictures.split(size)])
