"""Training that goes on from networks somebody has already trained."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..errors import ArgumentError
from ..generators import load_generator
from ..generators.checkpoints.native import write_tensors
from ..generators.stylegan2 import StyleGAN2Generator

__all__ = ["discriminator_path", "judge_from", "save_discriminator", "start_from"]

BUNDLED = Path(__file__).parent / "bundled"
FORMAT = "lightning-inpaint discriminator"


@torch.no_grad()
def start_from(generator: StyleGAN2Generator, name: str) -> None:
    """Copy the weights of another generator of the same settings.

    Args:
        generator: to be trained.
        name: ``cifar10``, what the bundled generator's training has come to since it was shipped, or a file,
            as ``--model.generator`` of ``predict`` takes it.

    Raises:
        UserError: it cannot be read, or its settings are other ones.
    """
    other = load_generator(bundled_or_file(name, "generator"))
    if not isinstance(other, StyleGAN2Generator):
        raise ArgumentError(f"`start={name}` is no StyleGAN2 generator.")
    keys = (
        "resolution",
        "num_classes",
        "z_dim",
        "w_dim",
        "mapping_layers",
        "channel_base",
        "channel_max",
        "architecture",
    )
    differing = [
        f"{key} {other.config[key]} there and {generator.config[key]} here"
        for key in keys
        if other.config[key] != generator.config[key]
    ]
    if differing:
        raise ArgumentError(
            f"`start={name}` has other settings ({'; '.join(differing)}): pass its own."
        )
    generator.load_state_dict(other.state_dict())


def bundled_or_file(name: str, kind: str) -> str:
    """Where the bundled ``kind`` (generator, discriminator, guide) called ``name`` lies, else ``name``."""
    bundled = BUNDLED / f"{name}-{kind}.safetensors"
    return str(bundled) if "/" not in name and bundled.is_file() else name


def discriminator_path(generator: Path) -> Path:
    """Where the discriminator of a generator's file lies: beside it."""
    return generator.with_name(f"{generator.stem}-discriminator.safetensors")


def save_discriminator(discriminator: nn.Module, path: Path) -> None:
    """Write a discriminator in half precision, complete or not at all.

    A frozen network that it looks through is not part of the file.

    Raises:
        OSError: the file cannot be written.
    """
    state = {k: v.detach().to("cpu").contiguous() for k, v in discriminator.state_dict().items()}
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    write_tensors(halves, {"format": FORMAT}, path)


@torch.no_grad()
def judge_from(discriminator: nn.Module, name: str) -> None:
    """Copy the weights of another discriminator of the same settings.

    Args:
        discriminator: to be trained.
        name: ``cifar10``, that of :func:`start_from`'s generator of this name, or a file of
            :func:`save_discriminator`.

    Raises:
        UserError: it cannot be read, or belongs to other settings.
    """
    path = bundled_or_file(name, "discriminator")
    option = f"`start_discriminator={name}`"
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ArgumentError(
            f"{option} cannot be read ({reason}): pass a file that export wrote, or cifar10."
        ) from None
    wanted = {k: v.shape for k, v in discriminator.state_dict().items()}
    if {k: v.shape for k, v in found.items()} != wanted:
        raise ArgumentError(
            f"{option} belongs to other settings: pass those of its run (`features`, "
            "`group`, `discriminator_base`, the classes of the data)."
        )
    # The frozen network of those that have one is in no file, and stays.
    discriminator.load_state_dict(found)
