"""What ``predict`` and ``fit`` are made of, by import path: the parser builds it, help reads about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FIT", "JOBS", "PREDICT", "Job"]

_OURS = "lightning_inpaint"


@dataclass(frozen=True)
class Job:
    """A command under a Trainer.

    Attributes:
        own: function whose arguments are the options that belong to no class.
        parts: classes of module and data, by what their options begin with.
        callbacks: classes of callbacks, likewise.
        choices: for each option whose value is a class, those that there are, by what to write.
        trainer: defaults that differ from the Trainer's own.
        defaults: other defaults that differ from those of a class; of a choice, the class.
        linked: options that other options fill.
        seed: default of ``--seed_everything``.
        unchosen: choices that the model makes where nothing is chosen, and what it chooses from, by import
            path; their default is a class whose options may be given without it.
    """

    own: str
    parts: Mapping[str, str]
    callbacks: Mapping[str, str]
    trainer: Mapping[str, Any]
    linked: frozenset[str]
    choices: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    seed: int | bool = False
    unchosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


PREDICT = Job(
    own=f"{_OURS}.commands.predict.options",
    parts={"model": f"{_OURS}.module.LatentInpainter"},
    choices={
        "model.sampler": f"{_OURS}.optim.SAMPLERS",
        "data": {
            name: f"{_OURS}.datamodules.{name}"
            for name in ("GeneratedMasks", "FolderMasks", "CIFAR10Masks")
        },
    },
    unchosen={
        "model.sampler": tuple(f"{_OURS}.optim.by_latents.{name}" for name in ("MANY", "FEW"))
    },
    callbacks={"writer": f"{_OURS}.callbacks.CompletionWriter"},
    trainer={"logger": False, "enable_model_summary": False, "enable_checkpointing": False},
    defaults={
        "model.sampler": f"{_OURS}.optim.ByLatents",
        "data": f"{_OURS}.datamodules.GeneratedMasks",
    },
    linked=frozenset(
        {
            "writer.output_dir",
            "writer.overwrite",
            "data.generator",
            "data.image_size",
            "data.class_names",
        }
    ),
)
_TRAINING = f"{_OURS}.callbacks.training"
FIT = Job(
    own=f"{_OURS}.commands.fit.options",
    parts={
        "model": f"{_OURS}.training.GeneratorTraining",
        "data": f"{_OURS}.datamodules.training_pictures.TrainingPictures",
    },
    callbacks={
        "average": f"{_TRAINING}.AverageGenerator",
        "guard": f"{_TRAINING}.DivergenceGuard",
        "samples": f"{_TRAINING}.SampleGrid",
        "throughput": f"{_TRAINING}.Throughput",
        "export": f"{_TRAINING}.ExportGenerator",
        "checkpoint": "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    },
    seed=0,
    trainer={"logger": False, "default_root_dir": "runs", "max_epochs": -1},
    defaults={"checkpoint.save_last": True, "checkpoint.every_n_train_steps": 500},
    linked=frozenset(
        {"checkpoint.dirpath", "data.resolution", "model.num_classes", "model.class_names"}
    ),
)
JOBS = {"predict": PREDICT, "fit": FIT}
TRAINER = "pytorch_lightning.trainer.trainer.Trainer"
