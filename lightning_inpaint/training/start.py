"""Training that goes on from a generator somebody has already trained."""

from __future__ import annotations

import torch

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import load_generator
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

__all__ = ["start_from"]


@torch.no_grad()
def start_from(generator: StyleGAN2Generator, name: str) -> None:
    """Copy the weights of another generator of the same settings.

    Args:
        generator: to be trained.
        name: bundled name or file, as ``--model.generator`` of ``predict`` takes it.

    Raises:
        UserError: it cannot be read, or its settings are other ones.
    """
    other = load_generator(name)
    if not isinstance(other, StyleGAN2Generator):
        raise UserError(f"--model.start {name} is no StyleGAN2 generator.")
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
        raise UserError(
            f"--model.start {name} has other settings ({'; '.join(differing)}): pass its own."
        )
    generator.load_state_dict(other.state_dict())
