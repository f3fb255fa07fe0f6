"""Generators that others have published: name, address, what they draw, and under which licence."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CIFAR10_CLASSES", "PUBLISHED", "Published"]

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

_ADDRESS = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/"
_LICENCE = "NVIDIA Source Code License: non-commercial use only"


class Published(NamedTuple):
    """One published generator.

    Attributes:
        url: where the file lies.
        resolution: pixels per side.
        num_classes: classes; 0 = unconditional.
        megabytes: size of the download, rounded; computed from the number of parameters.
        licence: terms of the weights.
        class_names: names of the classes in the order of their indices, or None.
    """

    url: str
    resolution: int
    num_classes: int
    megabytes: int
    licence: str = _LICENCE
    class_names: tuple[str, ...] | None = None


PUBLISHED: dict[str, Published] = {
    "stylegan2-ada-cifar10": Published(
        _ADDRESS + "cifar10.pkl", 32, 10, 257, class_names=CIFAR10_CLASSES
    ),
    "stylegan2-ada-ffhq": Published(_ADDRESS + "ffhq.pkl", 1024, 0, 382),
    "stylegan2-ada-metfaces": Published(_ADDRESS + "metfaces.pkl", 1024, 0, 382),
    "stylegan2-ada-afhqcat": Published(_ADDRESS + "afhqcat.pkl", 512, 0, 364),
    "stylegan2-ada-afhqdog": Published(_ADDRESS + "afhqdog.pkl", 512, 0, 364),
    "stylegan2-ada-afhqwild": Published(_ADDRESS + "afhqwild.pkl", 512, 0, 364),
    "stylegan2-ada-brecahad": Published(_ADDRESS + "brecahad.pkl", 512, 0, 364),
}
