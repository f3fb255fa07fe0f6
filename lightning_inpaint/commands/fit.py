"""``fit``: train a generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.cli import LightningArgumentParser

from .. import training
from ..callbacks import training as callbacks
from ..datamodules.training_pictures import TrainingPictures
from ..notices import quieten
from .parsing import JobCLI, JobParser
from .stopping import Interrupted


def main(args: list[str]) -> int:
    """Train a generator and return the exit status."""
    quieten()
    cli = FitCLI(args)
    try:
        cli.trainer.fit(
            cli.model, cli.datamodule, ckpt_path=cli.config.ckpt_path, weights_only=True
        )
    except Interrupted as stop:
        cli.stop.number = stop.number
    if cli.stop.number is None:
        return 0
    stop = Interrupted(cli.stop.number)
    path = getattr(cli.trainer.checkpoint_callback, "last_model_path", "")
    after = f"go on with --ckpt_path {path}" if path else "there is no checkpoint yet"
    stop.report(f"stopped after {cli.model.steps} steps; {after}")
    return stop.status


def options(ckpt_path: str | None = None) -> None:
    """The options that belong to no class.

    Args:
        ckpt_path: Checkpoint of an interrupted run to go on from.
    """


class FitParser(JobParser):
    """The parser of ``fit``."""

    hint = "pictures are given by --data.path FILE_OR_FOLDER"


class FitCLI(JobCLI):
    """Networks, pictures, callbacks and trainer from the words of the command line."""

    parser_class = FitParser

    def __init__(self, args: Sequence[str]) -> None:
        super().__init__("fit", training.GeneratorTraining, TrainingPictures, args)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """What the options tell each other."""
        super().add_arguments_to_parser(parser)
        parser.link_arguments("trainer.default_root_dir", "checkpoint.dirpath", _checkpoints)
        parser.link_arguments("model.resolution", "data.resolution")
        for name in ("num_classes", "class_names"):
            parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")

    def instantiate_trainer(self, **options: Any) -> Any:
        """The trainer, which writes whole checkpoints and stops gently."""
        config = self.config.trainer
        self.stop = callbacks.GentleStop()
        shown: list[Any] = [self.stop]
        if config.enable_progress_bar is not False:
            # Each refresh reads numbers from the device, which waits for it.
            shown.append(TQDMProgressBar(refresh_rate=10))
        self.trainer_defaults["callbacks"] = shown
        plugins = [*(config.plugins or []), training.WholeCheckpoints()]
        return super().instantiate_trainer(plugins=plugins, **options)


def _checkpoints(root: str) -> str:
    return str(Path(root) / "checkpoints")
