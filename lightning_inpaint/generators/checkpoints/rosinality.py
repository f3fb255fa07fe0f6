"""Checkpoints of rosinality's ``stylegan2-pytorch`` (``*.pt``) as native generators.

The same network as NVIDIA's under other names, except that its demodulated weights are scaled by
1/sqrt(fan_in) *before* demodulation (this matters through the 1e-8 there), that noise maps have two
more axes, and that the average w is stored apart or not at all.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError
from ..stylegan2 import StyleGAN2Generator
from .build import build_stylegan2, channel_rule
from .nvidia import filter_taps
from .records import TensorRecord
from .tensors import TensorReader

__all__ = ["is_rosinality", "load_rosinality"]

_KEYS = {"G_ema": "g_ema", "G": "g"}
_AVERAGE_OVER = 4096  # as rosinality's generate.py does for truncation


def is_rosinality(content: Any) -> bool:
    """Whether plain data read from a file is such a checkpoint, or the generator's state dict alone."""
    if not isinstance(content, dict):
        return False
    inner = [content.get(k) for k in _KEYS.values()]
    return any(isinstance(t, dict) and "input.input" in t for t in [content, *inner])


def load_rosinality(content: Any, weights: str, reader: TensorReader) -> StyleGAN2Generator:
    """Turn a checkpoint's ``weights`` ("G_ema" or "G") into a native generator.

    Raises:
        UserError: the checkpoint lacks these weights or contradicts itself.
    """
    source = reader.source
    state = content if "input.input" in content else content.get(_KEYS[weights])
    if not isinstance(state, dict) or "input.input" not in state:
        raise UserError(f"{source}: it holds no {_KEYS[weights]}; choose the other of G_ema and G.")
    tensors: dict[str, Tensor] = {}
    for name, record in state.items():
        if not isinstance(name, str) or not isinstance(record, TensorRecord) or len(tensors) > 4096:
            raise UserError(
                f"{source}: damaged or forged: its {_KEYS[weights]} is not a state dict."
            )
        tensors[name] = reader.read(record)
    config = _describe(tensors, source)
    generator = build_stylegan2(config, _renamed(tensors, config, source), source=source)
    average = content.get("latent_avg")
    if isinstance(average, TensorRecord):
        w_avg = reader.read(average).reshape(-1)
        if w_avg.shape != generator.mapping.w_avg.shape:
            raise UserError(f"{source}: damaged or forged: latent_avg has another size than w.")
        generator.mapping.w_avg.copy_(w_avg)
    else:
        generator.mapping.w_avg.copy_(_average_w(generator))
    return generator


def _describe(tensors: dict[str, Tensor], source: str) -> dict[str, Any]:
    # Block b has convolutions convs.(2b) and convs.(2b + 1), at 8 pixels for b = 0.
    blocks = sum(1 for k in tensors if re.fullmatch(r"to_rgbs\.\d+\.bias", k))
    layers = sum(1 for k in tensors if re.fullmatch(r"style\.\d+\.weight", k))
    channels = {4: _get(tensors, "input.input", source).shape[1]}
    for b in range(min(blocks, 10)):
        channels[8 << b] = _get(tensors, f"convs.{2 * b}.activate.bias", source).numel()
    base, top = channel_rule(channels, source=source)
    style = _get(tensors, "style.1.weight", source)
    filters = {k: filter_taps(v, source) for k, v in tensors.items() if k.endswith(".kernel")}
    taps = next(iter(filters.values()), [1.0, 3.0, 3.0, 1.0])
    if any(f != taps for f in filters.values()):
        raise UserError(
            f"{source}: its features and its pictures are up-sampled with different filters, which "
            "this generator cannot hold."
        )
    return {
        "z_dim": style.shape[-1],
        "num_classes": 0,
        "w_dim": style.shape[0],
        "resolution": 4 << min(blocks, 10),
        "img_channels": _get(tensors, "to_rgb1.bias", source).numel(),
        "mapping_layers": layers,
        "channel_base": base,
        "channel_max": top,
        "architecture": "skip",
        "resample_filter": taps,
    }


def _get(tensors: dict[str, Tensor], name: str, source: str) -> Tensor:
    if name not in tensors or tensors[name].ndim == 0:
        raise UserError(f"{source}: it lacks tensor {name!r}, so it is not rosinality's generator.")
    return tensors[name]


def _renamed(tensors: dict[str, Tensor], config: dict[str, Any], source: str) -> dict[str, Tensor]:
    """The state dict under NVIDIA's names."""
    out = {"synthesis.b4.const": tensors["input.input"].squeeze(0)}
    dtype = out["synthesis.b4.const"].dtype
    out["mapping.w_avg"] = torch.zeros(config["w_dim"], dtype=dtype)
    for i in range(config["mapping_layers"]):
        for part in ("weight", "bias"):
            out[f"mapping.fc{i}.{part}"] = _get(tensors, f"style.{i + 1}.{part}", source)

    def styled(theirs: str, ours: str, noise: int) -> None:
        weight = _get(tensors, f"{theirs}.conv.weight", source).squeeze(0)
        out[f"{ours}.weight"] = weight / math.sqrt(max(1, weight[0].numel()))
        out[f"{ours}.affine.weight"] = _get(tensors, f"{theirs}.conv.modulation.weight", source)
        out[f"{ours}.affine.bias"] = _get(tensors, f"{theirs}.conv.modulation.bias", source)
        out[f"{ours}.noise_strength"] = _get(tensors, f"{theirs}.noise.weight", source).squeeze()
        out[f"{ours}.bias"] = _get(tensors, f"{theirs}.activate.bias", source)
        fixed = tensors.get(f"noises.noise_{noise}")
        if fixed is None:  # checkpoints from before fixed noise was stored
            side = 4 << ((noise + 1) // 2)
            fixed = torch.randn(side, side, generator=torch.Generator().manual_seed(noise))
        out[f"{ours}.noise_const"] = fixed.squeeze((0, 1)) if fixed.ndim == 4 else fixed

    def rgb(theirs: str, ours: str) -> None:
        out[f"{ours}.weight"] = _get(tensors, f"{theirs}.conv.weight", source).squeeze(0)
        out[f"{ours}.affine.weight"] = _get(tensors, f"{theirs}.conv.modulation.weight", source)
        out[f"{ours}.affine.bias"] = _get(tensors, f"{theirs}.conv.modulation.bias", source)
        out[f"{ours}.bias"] = _get(tensors, f"{theirs}.bias", source).reshape(-1)

    styled("conv1", "synthesis.b4.conv1", 0)
    rgb("to_rgb1", "synthesis.b4.torgb")
    for b in range(config["resolution"].bit_length() - 3):
        block = f"synthesis.b{8 << b}"
        styled(f"convs.{2 * b}", f"{block}.conv0", 2 * b + 1)
        styled(f"convs.{2 * b + 1}", f"{block}.conv1", 2 * b + 2)
        rgb(f"to_rgbs.{b}", f"{block}.torgb")
    return out


@torch.no_grad()
def _average_w(generator: StyleGAN2Generator) -> Tensor:
    z = torch.randn(_AVERAGE_OVER, generator.z_dim, generator=torch.Generator().manual_seed(0))
    return generator.mapping.single(z.to(generator.mapping.w_avg), None).mean(dim=0)
