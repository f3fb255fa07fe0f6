"""Tensors and a description become a network; absurd sizes are refused before allocation."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...errors import UserError
from ..stylegan2 import StyleGAN2Generator

__all__ = ["build_stylegan2", "channel_rule", "check_finite", "check_shapes"]

_LIMITS = {  # inclusive; generous against anything published, small against memory
    "z_dim": (1, 16384),
    "w_dim": (1, 16384),
    "num_classes": (0, 1_000_000),
    "resolution": (4, 4096),
    "img_channels": (1, 64),
    "mapping_layers": (1, 64),
    "channel_base": (1, 1 << 26),
    "channel_max": (1, 16384),
}


def build_stylegan2(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, source: str
) -> StyleGAN2Generator:
    """Build the native generator that ``config`` describes and fill it with ``tensors``.

    Args:
        config: constructor arguments of :class:`StyleGAN2Generator`, as read from a file.
        tensors: state dict under the native (NVIDIA's) names; any floating type, loaded as float32
            (float64 stays float64). Buffers that hold the low-pass filter are ignored.
        source: the file's name, for the error sentence.

    Returns:
        The generator in eval mode with ``requires_grad`` off.

    Raises:
        UserError: a setting is unknown, out of range, or contradicts a tensor's shape; a tensor is
            missing, superfluous or not finite.
    """
    config = _checked_config(config, source)
    with torch.device("meta"):  # shapes only: nothing is allocated until they agree with the file
        wanted = StyleGAN2Generator(**config).state_dict()
    state = {k: v for k, v in tensors.items() if not k.endswith("resample_filter")}
    check_shapes(wanted, state, source)
    check_finite(state, source)
    generator = StyleGAN2Generator(**config)
    if any(v.dtype == torch.float64 for v in state.values()):
        generator.double()
    generator.load_state_dict(state, strict=True)
    return generator.eval().requires_grad_(False)


def channel_rule(channels: Mapping[int, int], *, source: str) -> tuple[int, int]:
    """Find base and maximum such that ``channels[r] == min(base // r, maximum)``.

    Args:
        channels: number of feature maps at each resolution.
        source: the file's name, for the error sentence.

    Raises:
        UserError: no pair gives these numbers.
    """
    top = max(channels.values())
    low = max((c * r for r, c in channels.items()), default=0)
    high = min((c * r + r - 1 for r, c in channels.items() if c < top), default=low)
    if low > high:
        raise UserError(
            f"{source}: its feature map counts {list(channels.values())} do not follow "
            "min(channel_base // resolution, channel_max), so this generator cannot hold them."
        )
    return low, top


def _checked_config(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    known = inspect.signature(StyleGAN2Generator.__init__).parameters
    for name, value in config.items():
        if name not in known or name == "self":
            raise UserError(f"{source}: unknown generator setting {str(name)[:40]!r}.")
        if name in _LIMITS:
            low, high = _LIMITS[name]
            if type(value) is not int or not low <= value <= high:
                shown = (
                    str(value)[:40]
                    if isinstance(value, (int, float, str))
                    else type(value).__name__
                )
                raise UserError(
                    f"{source}: setting {name} must be a whole number from {low} to {high}, "
                    f"not {shown}."
                )
    resolution = config.get("resolution", 32)
    if resolution & (resolution - 1):
        raise UserError(f"{source}: resolution must be a power of two, not {resolution}.")
    if config.get("architecture", "skip") not in ("orig", "skip", "resnet"):
        raise UserError(f"{source}: architecture must be orig, skip or resnet.")
    if not isinstance(config.get("use_noise", True), bool):
        raise UserError(f"{source}: use_noise must be true or false.")
    clamp = config.get("conv_clamp")
    if clamp is not None and not (_is_number(clamp) and clamp > 0):
        raise UserError(f"{source}: conv_clamp must be a positive number or nothing.")
    taps = config.get("resample_filter", (1, 3, 3, 1))
    if not isinstance(taps, (list, tuple)) or len(taps) != 4 or not all(map(_is_number, taps)):
        raise UserError(f"{source}: resample_filter must be four finite numbers.")
    if abs(sum(taps)) < 1e-6:
        raise UserError(f"{source}: the numbers of resample_filter sum to zero.")
    names, classes = config.get("class_names"), config.get("num_classes", 0)
    texts = isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names)
    if names is not None and not (texts and len(names) == classes):
        raise UserError(f"{source}: class_names must be {classes} texts, one for each class.")
    return dict(config)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e30


def check_shapes(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> None:
    """Refuse tensors whose names or shapes are not the wanted ones, or that hold no numbers."""
    missing = [k for k in wanted if k not in state]
    extra = [k for k in state if k not in wanted]
    if missing or extra:
        which, name = ("lacks", missing[0]) if missing else ("has an unexpected", extra[0])
        count = len(missing) + len(extra)
        raise UserError(
            f"{source}: it {which} tensor {name[:80]!r} ({count} names differ), so it is not the "
            "network that its settings describe."
        )
    for name, tensor in state.items():
        if tensor.shape != wanted[name].shape or not tensor.is_floating_point():
            raise UserError(
                f"{source}: tensor {name[:80]!r} is {tuple(tensor.shape)} of {tensor.dtype}, "
                f"expected floating point {tuple(wanted[name].shape)}."
            )


def check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Refuse tensors with values that are not finite."""
    for name, tensor in state.items():
        # The sum of a finite tensor may overflow float16, never float64.
        if not math.isfinite(float(tensor.sum(dtype=torch.float64))):
            raise UserError(
                f"{source}: tensor {name[:80]!r} holds values that are not finite numbers; "
                "the file is damaged, fetch or export it again."
            )
