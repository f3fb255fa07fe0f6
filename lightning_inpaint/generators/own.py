"""A network of the user's own: made by calling their class, and filled from their file.

This is the one place where code that is not this project's is run: the class that the user named.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import nn
from torch.nn.parameter import UninitializedParameter

from ..errors import UserError
from .checkpoints.fitting import split_key
from .checkpoints.reading import read_weights
from .modules import adapt_generator
from .spec import GeneratorSpec

__all__ = ["make_generator"]


def make_generator(
    spec: GeneratorSpec,
    weights: str = "G_ema",
    *,
    latent_prior: str | None = None,
    value_range: Sequence[float] | None = None,
) -> nn.Module:
    """Make the user's network, fill it and put it behind the interface of generators.

    What the class draws at random while it is made is drawn from a seed of its own, the same each time. A
    warning says so where weights of such a network are given by nothing else.

    Args:
        spec: its class, arguments and weights.
        weights: ``"G_ema"`` or ``"G"``: which of a file's weights to take where it has both.
        latent_prior: see :class:`.modules.WrappedGenerator`.
        value_range: likewise.

    Raises:
        UserError: it cannot be imported, made, filled or called.
    """
    factory = spec.load()
    if isinstance(factory, nn.Module):  # one that stands in a file, as G = nn.Sequential(...)
        if spec.args or spec.kwargs:
            raise UserError(
                f"{spec.head}: it is a network and not a class: leave its arguments out."
            )
        module, arguments = copy.deepcopy(factory), {}
    else:
        arguments = spec.arguments(factory)
        module = _made(spec, factory, 0)
    if any(isinstance(p, UninitializedParameter) for p in module.parameters()):
        raise UserError(
            f"{spec.head}: it has layers whose size is open until a first call (Lazy...): write a class "
            "that calls it once, or give the layers their sizes."
        )
    if spec.weights:
        _fill(module, spec, factory, weights)
    elif not isinstance(factory, nn.Module) and _random(module, spec, factory):
        rank_zero_warn(
            f"{spec.head}: its weights are random, as no file was given: write "
            f"'{spec.text}@FILE' with the file of a trained network.",
            category=UserWarning,
        )
    options: Any = {"latent_prior": latent_prior, "value_range": value_range}
    return adapt_generator(module, spec.head, arguments, **options)


def _made(spec: GeneratorSpec, factory: Callable[..., Any], seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            module = factory(*spec.args, **spec.kwargs)
        except UserError:
            raise
        except Exception as error:  # the user's class raises whatever it likes
            raise UserError(
                f"{spec.head}: making it failed with {type(error).__name__}: {error}."
            ) from error
    if not isinstance(module, nn.Module):
        raise UserError(f"{spec.head}: it makes a {type(module).__name__}, not a torch.nn.Module.")
    return module


def _random(module: nn.Module, spec: GeneratorSpec, factory: Callable[..., Any]) -> bool:
    """Whether another call of the class gives other weights; a function may have loaded some."""
    if next(module.parameters(), None) is None:
        return False
    other = _made(spec, factory, 1)
    if other is module:  # a function that keeps its network
        return False
    pairs = zip(module.parameters(), other.parameters(), strict=False)
    return any(a.shape != b.shape or not torch.equal(a.to(b), b) for a, b in pairs)


def _fill(
    module: nn.Module, spec: GeneratorSpec, factory: Callable[..., Any], weights: str
) -> None:
    path, key = split_key(str(spec.weights))
    beside = spec.folder(factory)
    if not path.is_file() and beside is not None and (beside / path).is_file():
        path = beside / path  # many packages keep their weights beside their code
    if not path.is_file():
        where = f" here or in {beside}" if beside is not None and not path.is_absolute() else ""
        raise UserError(f"{path}: no such file{where}; check the path of the weights.")
    chosen = read_weights(path, module, key=key, weights=weights, name=spec.head)
    module.load_state_dict(chosen.state)
    if chosen.others:
        others = ", ".join(repr(place) for place in chosen.others[:4])
        rank_zero_info(
            f"{path.name}: {chosen.place!r} is taken; {others} would fit too: choose by "
            f"{Path(path.name)}#{chosen.others[0]}"
        )
