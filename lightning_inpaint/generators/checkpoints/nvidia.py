"""NVIDIA's StyleGAN2-ADA snapshots (``network-snapshot-*.pkl``) as native generators.

A snapshot is a pickled dict with ``G``, ``D`` and ``G_ema``, each an instance of a *persistent
class*: the pickle carries the source code of the class, which NVIDIA's loader executes, and its
attributes. Here only the attributes are read. The description of the network is taken from them and
from the tensors' shapes, so it does not depend on the defaults of the version that wrote the file.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from ...errors import UserError
from ..stylegan2 import StyleGAN2Generator
from .build import build_stylegan2, channel_rule
from .fields import child, integer, number
from .records import Instance, Persistent, TensorRecord
from .tensors import TensorReader

__all__ = ["filter_taps", "is_nvidia", "load_nvidia", "recorded_tensors"]

_MAX_MODULES = 4096  # the published networks have under 100
_MAX_NAME = 256


def is_nvidia(content: Any) -> bool:
    """Whether plain data read from a file is such a snapshot, or a single network of one."""
    if isinstance(content, Persistent):
        return True
    return isinstance(content, dict) and any(
        isinstance(content.get(k), Persistent) for k in ("G", "G_ema")
    )


def load_nvidia(content: Any, weights: str, reader: TensorReader) -> StyleGAN2Generator:
    """Turn a snapshot's ``weights`` ("G_ema" or "G") into a native generator.

    Half-precision layers are loaded as float32, which is NVIDIA's ``force_fp32``.

    Raises:
        UserError: the snapshot lacks these weights, is of another architecture (StyleGAN3,
            projected GANs, ...) or contradicts itself.
    """
    source = reader.source
    network = content if isinstance(content, Persistent) else content.get(weights)
    if not isinstance(network, Persistent):
        raise UserError(f"{source}: it holds no {weights}; choose the other of G_ema and G.")
    tensors = recorded_tensors(network, reader)
    config = _describe(network, tensors, source)
    return build_stylegan2(config, tensors, source=source)


def recorded_tensors(network: Persistent | Instance, reader: TensorReader) -> dict[str, Tensor]:
    """The tensors of a recorded ``torch.nn.Module`` under their dotted names."""
    tensors: dict[str, Tensor] = {}
    source = reader.source
    waiting: list[tuple[str, Persistent | Instance]] = [("", network)]
    for visited in itertools.count():
        if not waiting:
            return tensors
        # A module may appear in itself or many times in others: count, do not recurse.
        if visited > _MAX_MODULES or len(waiting) + len(tensors) > _MAX_MODULES:
            break
        prefix, module = waiting.pop()
        if len(prefix) > _MAX_NAME:
            break
        for name, value in _entries(module, "_modules", source):
            if isinstance(value, Persistent | Instance):
                waiting.append((f"{prefix}{name}.", value))
            elif value is not None:
                raise _forged(source, f"{name[:60]!r} is not a network module")
        for name, value in _tensor_entries(module, source):
            # A layer's copy of its block's filter is of no use.
            if name != "resample_filter" or prefix == "synthesis.b4.":
                tensors[f"{prefix}{name}"] = reader.read(value)
    raise _forged(source, "it has far too many modules")


def _tensor_entries(
    module: Persistent | Instance, source: str
) -> Iterator[tuple[str, TensorRecord]]:
    for group in ("_parameters", "_buffers"):
        for name, value in _entries(module, group, source):
            if isinstance(value, TensorRecord):
                yield name, value
            elif value is not None:
                raise _forged(source, f"{name[:60]!r} is not a tensor")


def _forged(source: str, what: str) -> UserError:
    return UserError(f"{source}: damaged or forged: {what}; fetch or export it again.")


def _entries(module: Persistent | Instance, group: str, source: str) -> list[tuple[str, Any]]:
    entries = module.state.get(group, {})
    named = isinstance(entries, dict) and all(isinstance(k, str) for k in entries)
    if not named or any(len(k) > _MAX_NAME for k in entries):
        raise _forged(source, f"a module's {group} is not a table of names")
    return list(entries.items())


def _describe(network: Persistent, tensors: dict[str, Tensor], source: str) -> dict[str, Any]:
    """Constructor arguments of the native generator."""
    synthesis = cast(Persistent, child(network, "synthesis", source=source))
    mapping = cast(Persistent, child(network, "mapping", source=source))
    resolution = integer(network.state, "img_resolution", source=source)
    first = child(synthesis, "b4", source=source, optional=True)
    if first is None or "synthesis.b4.const" not in tensors:
        raise UserError(
            f"{source}: its synthesis network is not StyleGAN2's (a StyleGAN3 or other network?), "
            "which this generator cannot hold."
        )
    conv = cast(Persistent, child(first, "conv1", source=source))
    _check_mapping(mapping, source)
    activation = conv.state.get("activation", "lrelu")
    if activation != "lrelu":
        raise UserError(f"{source}: only lrelu activations are supported.")
    base, top = channel_rule(_channels(tensors, resolution, source), source=source)
    return {
        "z_dim": integer(network.state, "z_dim", source=source),
        "num_classes": integer(network.state, "c_dim", source=source),
        "w_dim": integer(network.state, "w_dim", source=source),
        "resolution": resolution,
        "img_channels": integer(network.state, "img_channels", source=source),
        "mapping_layers": integer(mapping.state, "num_layers", source=source),
        "channel_base": base,
        "channel_max": top,
        "architecture": _text(first, "architecture", source),
        "conv_clamp": number(conv.state, "conv_clamp", source=source, default=None),
        "resample_filter": filter_taps(tensors.get("synthesis.b4.resample_filter"), source),
        "use_noise": "synthesis.b4.conv1.noise_strength" in tensors,
    }


def _text(module: Persistent, name: str, source: str) -> str:
    value = module.state.get(name)
    if not isinstance(value, str) or len(value) > 80:
        raise _forged(source, f"{name!r} is not a text")
    return value


def _check_mapping(mapping: Persistent, source: str) -> None:
    layers = [m for n, m in _entries(mapping, "_modules", source) if n.startswith("fc")]
    for layer in layers:
        if not isinstance(layer, Persistent):
            raise _forged(source, "a mapping layer is not a module")
        gain = number(layer.state, "bias_gain", source=source, default=0.01)
        if layer.state.get("activation", "lrelu") != "lrelu" or not math.isclose(gain or 0, 0.01):
            raise UserError(
                f"{source}: its mapping network uses another activation or learning-rate "
                "multiplier than NVIDIA's lrelu and 0.01, which this generator cannot hold."
            )


def _channels(tensors: dict[str, Tensor], resolution: int, source: str) -> dict[int, int]:
    channels: dict[int, int] = {}
    for r in (2**i for i in range(2, 13)):
        bias = tensors.get(f"synthesis.b{r}.conv1.bias")
        if r <= resolution and bias is not None:
            channels[r] = bias.numel()
    if not channels or max(channels) != resolution:
        raise _forged(source, f"its blocks do not reach {resolution} pixels")
    return channels


def filter_taps(kernel: Tensor | None, source: str) -> list[float]:
    """The 1-D taps of a separable filter (4, 4) or (4,), scaled to whole numbers where possible."""
    if kernel is None:
        return [1.0, 3.0, 3.0, 1.0]
    kernel = kernel.double()
    kernel = torch.outer(kernel, kernel) if kernel.ndim == 1 else kernel
    if kernel.shape != (4, 4) or not kernel.isfinite().all() or kernel.sum().abs() < 1e-6:
        raise _forged(source, "its low-pass filter is not one of four taps")
    taps = kernel.sum(dim=0)
    if not torch.allclose(torch.outer(taps, taps) / taps.sum(), kernel, rtol=1e-4, atol=1e-6):
        raise UserError(f"{source}: its low-pass filter is not separable, which is not supported.")
    taps = taps / taps.abs()[taps.abs() > 1e-6 * taps.abs().max()].min()
    rounded = taps.round()
    return (rounded if (taps - rounded).abs().max() < 1e-5 else taps).tolist()
