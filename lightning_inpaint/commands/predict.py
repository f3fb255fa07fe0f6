"""``predict``: complete masked pictures."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from pytorch_lightning.cli import LightningArgumentParser

from .. import callbacks, datamodules
from ..errors import UserError
from ..module import LatentInpainter
from ..notices import quieten
from .names import program
from .parsing import JobCLI, JobParser
from .stopping import Interrupted


def main(args: list[str]) -> int:
    """Complete masked pictures and return the exit status: 1 if some could not be completed."""
    quieten()
    cli = PredictCLI(args)
    enough_pictures(cli.trainer, cli.datamodule)
    try:
        cli.trainer.predict(cli.model, cli.datamodule, return_predictions=False)
    except Interrupted as stop:
        if cli.trainer.is_global_zero:
            again = f"{program()} predict {shlex.join(without_overwrite(args))}".rstrip()
            count = len(callbacks.finished_ids(cli.config.output_dir))
            kept = f"{count} finished picture{'s are' if count > 1 else ' is'} kept; go on with"
            stop.report(
                f"{kept if count else 'no picture is finished yet; start again with'}: {again}"
            )
        return stop.status
    return 1 if cli.summary.result and cli.summary.result.failures else 0


def options(output_dir: str = "outputs", overwrite: bool = False, animate: int = 0) -> None:
    """The options that belong to no class.

    Args:
        output_dir: Folder for all results.
        overwrite: Start afresh in an output folder that holds an earlier run.
        animate: Pictures whose walk from noise is shown as animations/<id>.gif, from the first one on.
    """


class PredictParser(JobParser):
    """The parser of ``predict``."""

    hint = "pictures are given by --data FolderMasks --data.images FILE_OR_FOLDER"


class PredictCLI(JobCLI):
    """Model, pictures, writer and trainer from the words of the command line."""

    parser_class = PredictParser

    def __init__(self, args: Sequence[str]) -> None:
        pictures = datamodules.MaskedPictures
        super().__init__("predict", LatentInpainter, pictures, args, subclass_mode_data=True)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """What the options tell each other."""
        super().add_arguments_to_parser(parser)
        parser.link_arguments("output_dir", "writer.output_dir")
        parser.link_arguments("overwrite", "writer.overwrite")
        for name in ("generator", "weights", "latent_prior", "value_range"):
            parser.link_arguments(f"model.{name}", f"data.init_args.{name}")
        for name, value in {"image_size": _resolution, "class_names": _class_names}.items():
            parser.link_arguments("model", f"data.init_args.{name}", value, apply_on="instantiate")

    def instantiate_trainer(self, **options: Any) -> Any:
        """The trainer, with what is shown and written beside the completions."""
        config = self.config.trainer
        if self.config.animate < 0:
            raise UserError(f"--animate is {self.config.animate}, and must not be negative.")
        shown: list[Any] = [callbacks.SpeedLine(), callbacks.EnergyTable()]
        shown.append(callbacks.CompletionFigure())
        shown.append(callbacks.Gallery())
        if self.config.model.chains > 1:
            shown += [callbacks.UncertaintyMaps(), callbacks.PosteriorVariation()]
        if self.config.animate:
            shown.append(callbacks.WalkAnimation(self.config.animate))
        if config.enable_progress_bar is not False:
            shown.append(callbacks.PictureProgressBar())
        if config.logger:
            shown += [callbacks.EnergyLogger(), callbacks.CompletionLogger()]
        self.summary = callbacks.Summary()
        self.trainer_defaults["callbacks"] = [*shown, self.summary]
        return super().instantiate_trainer(**options)


def enough_pictures(trainer: Any, pictures: Any) -> None:
    """Refuse more devices than pictures before any process is started.

    Raises:
        UserError: a device would get no picture.
    """
    if trainer.world_size > 1:
        pictures.trainer = trainer
        pictures.setup("predict")
        pictures.predict_dataloader()


def without_overwrite(args: Sequence[str]) -> list[str]:
    """The options of a resumption: ``--overwrite`` would remove what is finished."""
    kept = [word for word in args if not word.startswith("--overwrite=")]
    if "--overwrite" in kept:
        at = kept.index("--overwrite")
        value = kept[at + 1 : at + 2]
        del kept[at : at + (1 if not value or value[0].startswith("-") else 2)]
    return kept


def _resolution(model: LatentInpainter) -> int:
    return int(model.generator.resolution)


def _class_names(model: LatentInpainter) -> list[str] | None:
    generator = model.generator
    names = getattr(generator, "class_names", None) or range(generator.num_classes)
    return [str(name) for name in names] or None
