"""What determines a run's results: settings, generator, versions."""

from __future__ import annotations

import functools
import hashlib
import inspect
import io
import platform
import sys
import tokenize
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import nn

from .. import __version__
from ..generators.identity import weights_digest
from ..inference.speed import Speed

__all__ = ["describe_run"]

#: Settings on which no result depends; they may change between a start and its resumption.
_FREE = {
    *("report_every", "compile", "batch_size", "num_workers", "download", "pin_memory"),
    *("limit", "num", "shard"),  # they choose pictures and change none
}

#: Packages whose version says what their code is.
_OURS = {
    *("lightning_inpaint", "torch", "pytorch_lightning", "lightning_fabric", "torchmetrics"),
    *("builtins", "abc", "typing", "collections", "jsonargparse", "numpy"),
}


def describe_run(
    trainer: Trainer, module: LightningModule, writer: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Settings, generator, code and versions of a run, as JSON; equal runs have equal descriptions.

    ``settings`` has one flat entry per option, by its name on the command line
    (``model.chains``, ``data.masks``, ``writer.format``). ``code`` has a SHA-256 for each source file
    that is not this project's, of classes that take part. ``compiled`` says whether steps were: what was
    decided, as ``model.precision`` is, where auto was asked for.

    Args:
        trainer: with its data module, if it has one.
        module: the sampler.
        writer: options of the writer of which files depend.
    """
    speed: Speed | None = getattr(module, "speed", None)
    settings: dict[str, Any] = {"model": _model_settings(module), "writer": writer or {}}
    if speed is not None:
        settings["model"]["precision"] = speed.precision
    data = getattr(trainer, "datamodule", None)
    if data is not None:
        settings["data"] = {"class": type(data).__name__, **dict(data.hparams)}
    generator = getattr(module, "generator", None)
    return {
        "settings": dict(_flat(settings, "")),
        "generator": weights_digest(generator) if isinstance(generator, nn.Module) else None,
        "code": _code(*_parts(module), data),
        "versions": _versions(),
        **({} if speed is None else {"compiled": speed.compile}),
    }


def _parts(module: LightningModule) -> list[Any]:
    """The objects whose code makes a module's pictures."""
    generator, spec = getattr(module, "generator", None), getattr(module, "sampler", None)
    networks = generator.modules() if isinstance(generator, nn.Module) else ()
    return [module, getattr(spec, "cls", None), *networks]


def _code(*objects: Any) -> dict[str, str]:
    """SHA-256 of the source of each module of the user's, without comments and blank lines."""
    digests: dict[str, str] = {}
    for each in objects:
        cls = each if isinstance(each, type) or inspect.isfunction(each) else type(each)
        for owner in getattr(cls, "__mro__", (cls,)):
            name = owner.__module__ or ""
            if name.partition(".")[0] in _OURS or name in digests:
                continue
            with suppress(OSError, TypeError, KeyError, SyntaxError, tokenize.TokenError):
                digests[name] = _source_digest(inspect.getsource(sys.modules[name]))
    return dict(sorted(digests.items()))


def _source_digest(source: str) -> str:
    left_out = (tokenize.COMMENT, tokenize.NL)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    text = "".join(token.string for token in tokens if token.type not in left_out)
    return hashlib.sha256(text.encode()).hexdigest()


def _model_settings(module: LightningModule) -> dict[str, Any]:
    settings: dict[str, Any] = {"class": type(module).__name__, **dict(module.hparams)}
    sampler = getattr(module, "sampler", None)
    if sampler is not None:
        settings["sampler"] = {"class": sampler.name, **sampler.options}
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
