"""R3GAN's snapshots (``network-snapshot-*.pkl``) as native generators.

A snapshot is a pickled dict with ``G``, ``D`` and ``G_ema``, whole modules of its authors' classes. Only
names, tensors and a few numbers are read; the description of the network follows from the shapes.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError
from ..r3gan import R3GANGenerator
from .build import check_finite, check_shapes
from .fields import integer
from .nvidia import filter_taps, recorded_tensors
from .records import Instance, Persistent
from .tensors import TensorReader

__all__ = ["build_r3gan", "is_r3gan", "load_r3gan"]

_FIRST = {
    "Basis": "basis",
    "LinearLayer.weight": "linear.weight",
    "LinearLayer.Layer.weight": "project.weight",
}
_WHOLE = {"AggregationLayer.Layer.weight": "to_rgb.weight", "EmbeddingLayer.weight": "embed.weight"}
_LAYER = re.compile(r"MainLayers\.(\d+)\.Layers\.(\d+)\.(.+)")
_IN_BLOCK = re.compile(r"(LinearLayer|NonLinearity)([123])\.(Layer\.weight|Bias)")
_FILTER = re.compile(r"MainLayers\.\d+\.Layers\.0\.Resampler\.Kernel$")


def is_r3gan(content: Any) -> bool:
    """Whether plain data read from a file is such a snapshot, or a single network of one."""
    if _layers(content):
        return True
    return isinstance(content, dict) and any(_layers(content.get(k)) for k in ("G", "G_ema"))


def _layers(value: Any) -> bool:
    for _ in range(2):  # the network itself, or the one that holds it as Model
        modules = value.state.get("_modules") if isinstance(value, Instance | Persistent) else None
        if not isinstance(modules, dict):
            return False
        if "MainLayers" in modules and "AggregationLayer" in modules:
            return True
        value = modules.get("Model")
    return False


def load_r3gan(content: Any, weights: str, reader: TensorReader) -> R3GANGenerator:
    """Turn a snapshot's ``weights`` ("G_ema" or "G") into a native generator.

    Stages that it runs in bfloat16 are loaded as float32.

    Raises:
        UserError: the snapshot lacks these weights, or contradicts itself.
    """
    source = reader.source
    network = content.get(weights) if isinstance(content, dict) else content
    if not isinstance(network, Instance | Persistent) or not _layers(network):
        raise UserError(f"{source}: it holds no {weights}; choose the other of G_ema and G.")
    theirs = recorded_tensors(network, reader)
    filters = [filter_taps(v, source) for k, v in theirs.items() if _FILTER.search(k)]
    if any(f != filters[0] for f in filters):
        raise UserError(f"{source}: its stages are up-sampled with different filters.")
    tensors = {_renamed(k, source): v for k, v in theirs.items() if not _FILTER.search(k)}
    config = _describe(tensors, filters[0] if filters else [1.0, 3.0, 3.0, 1.0], source)
    for name, wanted in (("z_dim", config["z_dim"]), ("c_dim", config["num_classes"])):
        if name in network.state and integer(network.state, name, source=source) != wanted:
            raise UserError(f"{source}: damaged or forged: its {name} contradicts its tensors.")
    tensors = {k: v[:, None, None] if ".bias" in k else v for k, v in tensors.items()}
    return build_r3gan(config, tensors, source=source)


def build_r3gan(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, source: str
) -> R3GANGenerator:
    """Build the native generator that ``config`` describes and fill it with ``tensors``.

    Args:
        config: constructor arguments of :class:`R3GANGenerator`, as read from a file.
        tensors: its state dict; loaded as float32, or float64 where it is that.
        source: the file's name, for the error sentence.

    Raises:
        UserError: a setting is unknown or out of range, or contradicts a tensor's shape; a tensor is
            missing, superfluous or not finite.
    """
    _check_config(config, source)
    with torch.device("meta"):  # shapes only: nothing is allocated until they agree with the file
        shapes = R3GANGenerator(**config).state_dict()
    check_shapes(shapes, tensors, source)
    check_finite(tensors, source)
    generator = R3GANGenerator(**config)
    if any(v.dtype == torch.float64 for v in tensors.values()):
        generator.double()
    generator.load_state_dict(tensors)
    return generator.eval().requires_grad_(False)


_NUMBERS = {"z_dim": 16384, "num_classes": 1_000_000, "embed_dim": 16384, "img_channels": 64}
_LISTS = {"widths": 16384, "expanded": 65536, "groups": 16384, "blocks": 64}


def _check_config(config: Mapping[str, Any], source: str) -> None:
    known = inspect.signature(R3GANGenerator.__init__).parameters
    stages = config.get("widths")
    good = isinstance(stages, list) and 1 <= len(stages) <= 11 and set(config) < {*known}
    for name, most in _NUMBERS.items():
        value = config.get(name, 1)
        good = good and type(value) is int and 0 <= value <= most
    for name, most in _LISTS.items():
        values = config.get(name)
        good = good and isinstance(values, list) and len(values) == len(stages or [])
        good = good and all(type(v) is int and 1 <= v <= most for v in values or [])
    side, taps = config.get("kernel_size", 3), config.get("taps", [1, 3, 3, 1])
    good = good and type(side) is int and 1 <= side <= 15 and side % 2 == 1
    good = good and isinstance(taps, list) and len(taps) == 4
    good = good and all(type(t) in (int, float) and abs(t) < 1e30 for t in taps)
    good = good and abs(sum(taps)) > 1e-6
    good = good and all(
        e % g == 0 for e, g in zip(config["expanded"], config["groups"], strict=True)
    )
    names, classes = config.get("class_names"), config.get("num_classes", 0)
    texts = isinstance(names, list | tuple) and all(isinstance(n, str) for n in names)
    if not good or (names is not None and not (texts and len(names or ()) == classes)):
        raise UserError(f"{source}: its settings describe no R3GAN generator; export it again.")


def _renamed(name: str, source: str) -> str:
    """Ours for a name of theirs."""
    name = name.removeprefix("Model.")
    layer = _LAYER.fullmatch(name)
    if layer and layer[2] == "0" and layer[3] in _FIRST:
        return f"stages.{int(layer[1])}.{_FIRST[layer[3]]}"
    inside = _IN_BLOCK.fullmatch(layer[3]) if layer else None
    if layer and inside and layer[2] != "0":
        block = f"stages.{int(layer[1])}.blocks.{int(layer[2]) - 1}"
        convolution = inside[1] == "LinearLayer"
        return f"{block}.conv{inside[2]}.weight" if convolution else f"{block}.bias{inside[2]}"
    if name in _WHOLE:
        return _WHOLE[name]
    raise UserError(f"{source}: tensor {name[:80]!r} is none of R3GAN's generator.")


def _describe(tensors: dict[str, Tensor], taps: list[float], source: str) -> dict[str, Any]:
    """Constructor arguments of the native generator."""

    def shape(name: str, ndim: int) -> tuple[int, ...]:
        if name not in tensors or tensors[name].ndim != ndim or 0 in tensors[name].shape:
            raise UserError(f"{source}: it lacks tensor {name!r}, so it is not R3GAN's generator.")
        return tuple(tensors[name].shape)

    stages = 1 + max(
        (int(m[1]) for k in tensors if (m := re.match(r"stages\.(\d+)\.", k))), default=0
    )
    if stages > 11:
        raise UserError(f"{source}: damaged or forged: it has {stages} stages.")
    widths, expanded, groups, blocks = [], [], [], []
    for s in range(stages):
        middle = shape(f"stages.{s}.blocks.0.conv2.weight", 4)
        widths.append(shape(f"stages.{s}.blocks.0.conv3.weight", 4)[0])
        expanded.append(middle[0])
        groups.append(middle[0] // middle[1])
        numbers = {m[1] for k in tensors if (m := re.match(rf"stages\.{s}\.blocks\.(\d+)\.", k))}
        blocks.append(len(numbers))
        if groups[-1] * middle[1] != middle[0]:
            raise UserError(
                f"{source}: damaged or forged: channels that are no multiple of groups."
            )
    classes = shape("embed.weight", 2) if "embed.weight" in tensors else (0, 0)
    return {
        "z_dim": shape("stages.0.linear.weight", 2)[1] - classes[0],
        "num_classes": classes[1],
        "embed_dim": classes[0],
        "widths": widths,
        "expanded": expanded,
        "groups": groups,
        "blocks": blocks,
        "img_channels": shape("to_rgb.weight", 4)[0],
        "kernel_size": shape("stages.0.blocks.0.conv2.weight", 4)[2],
        "taps": taps,
    }
