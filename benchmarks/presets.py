"""Presets and picture sets shared by the scripts beside it."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser

from lightning_inpaint import LatentInpainter
from lightning_inpaint.configs import find_config
from lightning_inpaint.datamodules import FolderMasks, GeneratedMasks, MaskedPictures

__all__ = ["hardware", "picture_sets", "preset"]


def hardware() -> str:
    """Processor and threads, to stand beside figures."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        models = [s for s in cpuinfo.read_text().splitlines() if s.startswith("model name")]
        name = models[0].split(":")[1].strip() if models else name
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def preset(name: str, generator: str, **changes: Any) -> LatentInpainter:
    """The module of a preset or YAML file (``default`` = no options), with ``changes`` to its options."""
    parser = ArgumentParser()
    parser.add_class_arguments(LatentInpainter, "model")
    settings: dict[str, Any] = {}
    if name != "default":
        settings = yaml.safe_load(find_config(name).read_text())["model"]
    settings = {**settings, **changes, "generator": generator}
    made = parser.instantiate_classes(parser.parse_object({"model": settings}))
    module: LatentInpainter = made.model
    return module


def picture_sets(
    generator: str, images: str | None, mask: str, limit: int, batch_size: int, part: int = 1
) -> dict[str, MaskedPictures]:
    """The generator's own samples and, if there are ``images``, as many real pictures of all classes;
    each ``part`` (from 1) holds other ones."""
    options = {"batch_size": batch_size, "limit": limit}
    sets: dict[str, MaskedPictures] = {
        "own": GeneratedMasks(generator, limit, None, masks=mask, **options)
    }
    if images:
        whole = FolderMasks(images, masks=mask)
        whole.setup("predict")
        total = len(whole.predict_dataloader().dataset)  # type: ignore[arg-type]
        stride = -(-total // limit)  # rounded down it could give one picture more
        # A limit is taken before the shard: the shard alone chooses.
        sets["real"] = FolderMasks(
            images, masks=mask, shard=f"{part}/{stride}", batch_size=batch_size
        )
    for pictures in sets.values():
        pictures.setup("predict")
    return sets
