"""NVIDIA's snapshot form and rosinality's checkpoint form, written from a native generator.

The classes and functions that such files name are stood in for while pickling and gone afterwards, so
a reader that tried to import them would fail.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

_CLASS_NAMES = {
    "StyleGAN2Generator": "Generator",
    "EqualizedLinear": "FullyConnectedLayer",
    "ModulatedConv": "SynthesisLayer",
    "ToRGB": "ToRGBLayer",
    "SkipConv": "Conv2dLayer",
}


def reconstruct(meta: dict[str, Any]) -> None:
    raise AssertionError("a reader called the function that a file names")


reconstruct.__module__ = "torch_utils.persistence"
reconstruct.__name__ = reconstruct.__qualname__ = "_reconstruct_persistent_obj"


class EasyDict(dict):
    """Stand-in for NVIDIA's dict with attributes."""


EasyDict.__module__ = "dnnlib.util"


class Recorded:
    """Pickles as an instance of a persistent class with this state."""

    def __init__(self, class_name: str, state: dict[str, Any], source: str) -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self) -> Any:
        return reconstruct, (self.meta,)


def recorded(generator: StyleGAN2Generator, source: str = "") -> Recorded:
    """The whole network as NVIDIA's persistence would record it."""
    return _record(generator, generator, source)


def _record(module: nn.Module, root: StyleGAN2Generator, source: str) -> Recorded:
    name = type(module).__name__
    state: dict[str, Any] = {
        "training": False,
        "_parameters": OrderedDict(module._parameters),
        "_buffers": OrderedDict(
            (k, v)
            for k, v in module._buffers.items()
            if k not in module._non_persistent_buffers_set
        ),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_forward_hooks": OrderedDict(),
        "_modules": OrderedDict((k, _record(m, root, source)) for k, m in module._modules.items()),
        "_init_args": (),
        "_init_kwargs": EasyDict(activation="lrelu"),
        "weight_gain": np.float64(math.sqrt(2)),
    }
    taps = torch.tensor(root.config["resample_filter"], dtype=torch.float32)
    fir = torch.outer(taps, taps) / taps.sum() ** 2
    config = root.config
    if module is root:
        state |= {
            "z_dim": config["z_dim"],
            "c_dim": config["num_classes"],
            "w_dim": config["w_dim"],
        }
        state |= {"img_resolution": config["resolution"], "img_channels": config["img_channels"]}
    elif name == "MappingNetwork":
        state |= {"num_layers": config["mapping_layers"], "w_avg_beta": 0.995}
    elif name == "EqualizedLinear":
        state |= {"activation": "lrelu" if module.activate else "linear"}
        state |= {"bias_gain": module.bias_gain}
    elif name == "SynthesisBlock":
        state |= {"architecture": config["architecture"], "use_fp16": False}
        state["_buffers"]["resample_filter"] = fir
    elif name == "ModulatedConv":
        state |= {"conv_clamp": config["conv_clamp"], "activation": "lrelu"}
        state["_buffers"]["resample_filter"] = fir
    elif name == "SkipConv":
        state["_buffers"]["resample_filter"] = fir
    return Recorded(_CLASS_NAMES.get(name, name), state, source)


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    modules = {n: types.ModuleType(n) for n in ("torch_utils", "torch_utils.persistence", "dnnlib")}
    modules["dnnlib.util"] = types.ModuleType("dnnlib.util")
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = reconstruct  # type: ignore
    modules["dnnlib.util"].EasyDict = EasyDict  # type: ignore[attr-defined]
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def dump(content: Any, protocol: int = 4) -> bytes:
    """Pickle with the stand-ins in place."""
    with _stand_ins():
        return pickle.dumps(content, protocol=protocol)


def snapshot(generator: StyleGAN2Generator, *, source: str = "", protocol: int = 4) -> bytes:
    """Bytes of a ``network-snapshot.pkl`` whose G has all weights doubled against G_ema."""
    doubled = StyleGAN2Generator(**generator.config)
    doubled.load_state_dict({k: 2 * v for k, v in generator.state_dict().items()})
    content = {
        "G": recorded(doubled, source),
        "D": Recorded("Discriminator", {"_parameters": {}, "c_dim": 0}, source),
        "G_ema": recorded(generator, source),
        "augment_pipe": None,
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset", path="x"),
    }
    return dump(content, protocol)


def rosinality_state(generator: StyleGAN2Generator) -> dict[str, torch.Tensor]:
    """The state dict under rosinality's names, in rosinality's shapes."""
    ours = generator.state_dict()
    state = {"input.input": ours["synthesis.b4.const"][None]}
    for i in range(generator.config["mapping_layers"]):
        state[f"style.{i + 1}.weight"] = ours[f"mapping.fc{i}.weight"]
        state[f"style.{i + 1}.bias"] = ours[f"mapping.fc{i}.bias"]

    def styled(theirs: str, name: str, noise: int) -> None:
        weight = ours[f"{name}.weight"]
        state[f"{theirs}.conv.weight"] = weight[None] * math.sqrt(weight[0].numel())
        state[f"{theirs}.conv.modulation.weight"] = ours[f"{name}.affine.weight"]
        state[f"{theirs}.conv.modulation.bias"] = ours[f"{name}.affine.bias"]
        state[f"{theirs}.noise.weight"] = ours[f"{name}.noise_strength"][None]
        state[f"{theirs}.activate.bias"] = ours[f"{name}.bias"]
        state[f"noises.noise_{noise}"] = ours[f"{name}.noise_const"][None, None]

    def rgb(theirs: str, name: str) -> None:
        state[f"{theirs}.conv.weight"] = ours[f"{name}.weight"][None]
        state[f"{theirs}.conv.modulation.weight"] = ours[f"{name}.affine.weight"]
        state[f"{theirs}.conv.modulation.bias"] = ours[f"{name}.affine.bias"]
        state[f"{theirs}.bias"] = ours[f"{name}.bias"][None, :, None, None]

    styled("conv1", "synthesis.b4.conv1", 0)
    rgb("to_rgb1", "synthesis.b4.torgb")
    taps = torch.tensor(generator.config["resample_filter"], dtype=torch.float32)
    kernel = torch.outer(taps, taps) * 4 / taps.sum() ** 2
    for b in range(generator.resolution.bit_length() - 3):
        block = f"synthesis.b{8 << b}"
        styled(f"convs.{2 * b}", f"{block}.conv0", 2 * b + 1)
        styled(f"convs.{2 * b + 1}", f"{block}.conv1", 2 * b + 2)
        rgb(f"to_rgbs.{b}", f"{block}.torgb")
        state[f"convs.{2 * b}.conv.blur.kernel"] = kernel
        state[f"to_rgbs.{b}.upsample.kernel"] = kernel
    return state


def rosinality(
    generator: StyleGAN2Generator, *, old_form: bool = False, average: bool = True
) -> bytes:
    """Bytes of a rosinality ``.pt``: with the average latent, or as saved during training."""
    content: dict[str, Any] = {"g_ema": rosinality_state(generator)}
    if average:
        content["latent_avg"] = generator.mapping.w_avg[None]
    else:
        content["args"] = argparse.Namespace(size=generator.resolution, lr=0.002)
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not old_form)
    return stream.getvalue()
