"""What determines a run's results: settings, generator, versions."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import nn

from .. import __version__

__all__ = ["describe_run", "generator_digest"]

#: Settings on which no result depends; they may change between a start and its resumption.
_FREE = {
    *("report_every", "compile", "batch_size", "num_workers", "download", "pin_memory"),
    *("limit", "num", "shard"),  # they choose pictures and change none
}


def describe_run(trainer: Trainer, module: LightningModule) -> dict[str, Any]:
    """Settings, generator and versions of a run, as JSON; equal runs have equal descriptions.

    ``settings`` has one flat entry per option, by its name on the command line
    (``model.chains``, ``data.masks``).
    """
    settings = {"model": _model_settings(module)}
    data = getattr(trainer, "datamodule", None)
    if data is not None:
        settings["data"] = {"class": type(data).__name__, **dict(data.hparams)}
    generator = getattr(module, "generator", None)
    return {
        "settings": dict(_flat(settings, "")),
        "generator": generator_digest(generator) if isinstance(generator, nn.Module) else None,
        "versions": _versions(),
    }


def generator_digest(generator: nn.Module) -> str:
    """SHA-256 over the names, shapes and values of all weights, whatever device they are on."""
    digest = hashlib.sha256(type(generator).__name__.encode())
    for name, tensor in sorted(generator.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(values.shape)}{values.dtype}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _model_settings(module: LightningModule) -> dict[str, Any]:
    settings: dict[str, Any] = {"class": type(module).__name__, **dict(module.hparams)}
    options = getattr(module, "sampler_options", None)
    if options is not None:
        settings["sampler"] = {"class": getattr(module, "sampler_name", None), **options}
    return settings


def _versions() -> dict[str, str]:
    names = ("torch", "pytorch-lightning", "numpy", "pillow")
    versions = {"python": platform.python_version(), "lightning-inpaint": __version__}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _flat(value: Any, path: str) -> list[tuple[str, Any]]:
    """Nested mappings as (dotted name, JSON value); private and free settings are left out."""
    if not isinstance(value, Mapping):
        return [(path, _plain(value))]
    items: list[tuple[str, Any]] = []
    for key, inner in sorted(value.items(), key=lambda item: str(item[0])):
        if not str(key).startswith("_") and key not in _FREE:
            items += _flat(inner, f"{path}.{key}" if path else str(key))
    return items


def _plain(value: Any) -> Any:
    """JSON for values of options; objects and functions by name, never by address."""
    if value is None or isinstance(value, bool | int | float | str):
        return (
            value if value == value and value not in (float("inf"), -float("inf")) else str(value)
        )
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, set) else value)]
    if isinstance(value, torch.Tensor):
        return value.tolist() if value.numel() <= 64 else f"tensor {tuple(value.shape)}"
    if isinstance(value, functools.partial):
        return [_plain(value.func), {key: _plain(item) for key, item in value.keywords.items()}]
    if callable(value):
        return f"{value.__module__}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return str(value) if type(value).__str__ is not object.__str__ else type(value).__qualname__
