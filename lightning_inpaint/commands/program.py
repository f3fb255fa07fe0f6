"""The command line: ``python cli.py predict`` completes masked pictures. See ``--help``.

Heavy imports are inside the functions that need them, so that help and mistakes answer at once.
"""

from __future__ import annotations

import itertools
import logging
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Huge pages for large tensors on a CPU, a quarter more speed at batch 64; torch reads it once.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

COMMANDS = {
    "predict": "complete masked pictures (with no options: eight of the bundled generator's own)",
    "fit": "train a generator on a folder, a zip or CIFAR-10",
    "evaluate": "measure a generator against real pictures",
    "generators": "list the generators known by name",
    "convert": "write a checkpoint as a small, safe .safetensors file",
    "sample": "draw a labelled grid of a generator's samples",
    "app": "open a page to paint holes on, and complete them (needs gradio)",
}


def usage() -> str:
    """The text of ``python cli.py --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    closing = "Each command explains its options: python cli.py predict --help"
    return "\n".join(["usage: python cli.py COMMAND [OPTIONS]", "", *lines, "", closing])


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, or 2 with one sentence for a user's mistake.

    Args:
        args: the words after ``cli.py``; None takes those of the process.
    """
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        return complain(f"{name!r} is no command; take one of {', '.join(COMMANDS)}")
    from ..errors import ArgumentError, UserError

    try:
        return _functions()[name](rest)
    except ArgumentError as error:  # the library names arguments
        return complain(error.flagged)
    except UserError as error:
        return complain(str(error), everywhere=isinstance(error.__cause__, OSError))
    except SystemExit as stop:  # jsonargparse has printed its sentence
        return stop.code if isinstance(stop.code, int) else 1


def complain(sentence: str, everywhere: bool = False) -> int:
    """Print a user's mistake and return the exit status that goes with it.

    Each process may find the same mistake, so one speaks, unless ``everywhere``: a full disk may be
    met by one process alone.
    """
    if everywhere or os.environ.get("LOCAL_RANK", "0") == "0":
        print(f"cli.py: error: {sentence}", file=sys.stderr)
    return 2


def _functions() -> dict[str, Callable[[list[str]], int]]:
    from . import tools

    return {
        "predict": predict,
        "fit": fit,
        "evaluate": evaluate,
        "generators": tools.generators,
        "convert": tools.convert,
        "sample": tools.sample,
        "app": tools.app,
    }


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; not an Exception, so that nothing on the way swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop_on_signals() -> None:
    def stop(number: int, frame: Any) -> None:
        raise Interrupted(number)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def predict(args: list[str]) -> int:
    """Complete masked pictures; see ``python cli.py predict --help``."""
    _quieten()
    cli = _predict_cli(preset_files(args))
    enough_pictures(cli.trainer, cli.datamodule)
    _stop_on_signals()
    try:
        cli.trainer.predict(cli.model, cli.datamodule, return_predictions=False)
    except Interrupted as stop:
        name = signal.Signals(stop.number).name
        if cli.trainer.is_global_zero:
            again = f"python cli.py predict {shlex.join(without_overwrite(args))}"
            print(f"\n{name}: what is finished is kept; go on with: {again}", file=sys.stderr)
        return 128 + stop.number
    return 1 if cli.summary.result and cli.summary.result.failures else 0


def without_overwrite(args: Sequence[str]) -> list[str]:
    """The options of a resumption: ``--overwrite`` would remove what is finished."""
    kept = [word for word in args if not word.startswith("--overwrite=")]
    if "--overwrite" in kept:
        at = kept.index("--overwrite")
        del kept[at : at + 2]
    return kept


def _predict_cli(args: list[str]) -> Any:
    from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

    from .. import LatentInpainter, callbacks, datamodules
    from ..module import DEFAULT_SAMPLER

    class PredictCLI(LightningCLI):
        def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
            parser.add_argument("--output_dir", default="outputs", help="Folder for all results.")
            parser.add_argument(
                "--overwrite",
                type=bool,
                default=False,
                help="Start afresh in an output folder that holds an earlier run.",
            )
            parser.add_argument(
                "--animate",
                type=int,
                default=0,
                help="Pictures whose walk from noise is shown as animations/<id>.gif, from the first one on.",
            )
            parser.add_lightning_class_args(callbacks.CompletionWriter, "writer")
            parser.link_arguments("output_dir", "writer.output_dir")
            parser.link_arguments("overwrite", "writer.overwrite")
            parser.link_arguments("model.generator", "data.init_args.generator")
            parser.link_arguments(
                "model", "data.init_args.image_size", _resolution, apply_on="instantiate"
            )
            parser.link_arguments(
                "model", "data.init_args.class_names", _class_names, apply_on="instantiate"
            )
            # A class given by the user must not inherit options of the default's.
            if not mentions(args, "data"):
                parser.set_defaults(
                    {"data": {"class_path": "lightning_inpaint.datamodules.GeneratedMasks"}}
                )
            if not mentions(args, "model.sampler"):
                name = f"{DEFAULT_SAMPLER.__module__}.{DEFAULT_SAMPLER.__qualname__}"
                parser.set_defaults({"model.sampler": {"class_path": name}})

        def instantiate_trainer(self, **kwargs: Any) -> Any:
            config = self.config.trainer
            shown: list[Any] = [callbacks.EnergyTable(), callbacks.CompletionFigure()]
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
            return super().instantiate_trainer(**kwargs)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LightningCLI's args parameter")
        return PredictCLI(
            LatentInpainter,
            datamodules.MaskedPictures,
            subclass_mode_data=True,
            run=False,
            args=short_names(args),
            save_config_callback=None,
            seed_everything_default=False,
            auto_configure_optimizers=False,
            trainer_defaults={
                "logger": False,
                "enable_model_summary": False,
                "enable_checkpointing": False,
            },
            parser_kwargs={"prog": "cli.py predict", "description": COMMANDS["predict"]},
        )


def enough_pictures(trainer: Any, pictures: Any) -> None:
    """Refuse more devices than pictures before any process is started.

    Raises:
        UserError: a device would get no picture.
    """
    if trainer.world_size > 1:
        pictures.trainer = trainer
        pictures.setup("predict")
        pictures.predict_dataloader()


def _resolution(model: Any) -> int:
    return int(model.generator.resolution)


def _class_names(model: Any) -> list[str] | None:
    generator = model.generator
    names = getattr(generator, "class_names", None) or range(generator.num_classes)
    return [str(name) for name in names] or None


def short_names(args: Sequence[str]) -> list[str]:
    """``--model.sampler hmc`` as the class path that it stands for; all other words as they are."""
    from ..optim import SAMPLERS

    words, after = [], False
    for word in args:
        option, equals, value = word.partition("=")
        if after and word in SAMPLERS:
            word = _import_path(SAMPLERS[word])
        elif option == "--model.sampler" and value in SAMPLERS:
            word = f"{option}{equals}{_import_path(SAMPLERS[value])}"
        after = word == "--model.sampler"
        words.append(word)
    return words


def preset_files(args: Sequence[str]) -> list[str]:
    """``--config fast`` as the file of the preset, from any folder; all other words as they are.

    Raises:
        UserError: neither a file nor a preset.
    """
    from ..configs import find_config

    def found(value: str) -> str:
        literal = value.lstrip().startswith("{")  # the parser takes YAML itself, too
        return value if literal else str(find_config(value, "--config"))

    words = list(args)
    for i, word in enumerate(words):
        if word == "--config" and i + 1 < len(words):
            words[i + 1] = found(words[i + 1])
        elif word.startswith("--config="):
            words[i] = f"--config={found(word.removeprefix('--config='))}"
    return words


def _import_path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def mentions(args: Sequence[str], key: str) -> bool:
    """Whether the words, or a configuration file among them, choose a class for ``key``."""
    configs = [b for a, b in itertools.pairwise(args) if a == "--config"]
    configs += [a.removeprefix("--config=") for a in args if a.startswith("--config=")]
    given = any(a == f"--{key}" or a.startswith((f"--{key}=", f"--{key}.class_path")) for a in args)
    return given or any(_file_mentions(path, key) for path in configs)


def _file_mentions(path: str, key: str) -> bool:
    import yaml

    try:
        value = yaml.safe_load(Path(path).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return False  # the parser reports it
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value is not None


def _quieten() -> None:
    """Keep notices meant for developers away from users."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    warnings.filterwarnings("ignore", ".*Total length of .DataLoader. across ranks.*")
    warnings.filterwarnings("ignore", ".*predict returned None.*")
    warnings.filterwarnings("ignore", ".*IterableDataset. has `__len__` defined.*")
    warnings.filterwarnings("ignore", ".*module.s. in eval mode at the start of training.*")
    # Training goes on exactly from any step; see datamodules/training_pictures.py.
    warnings.filterwarnings("ignore", ".*ended before the epoch ended.*")
    warnings.filterwarnings("ignore", "(?s).*ModelCheckpoint with manual optimization.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    warnings.formatwarning = lambda message, *rest, **options: f"warning: {message}\n"


def fit(args: list[str]) -> int:
    """Train a generator; see ``python cli.py fit --help``."""
    _quieten()
    cli = _fit_cli(preset_files(args))
    _stop_on_signals()
    try:
        cli.trainer.fit(
            cli.model, cli.datamodule, ckpt_path=cli.config.ckpt_path, weights_only=True
        )
    except Interrupted as stop:
        cli.stop.number = stop.number
    if cli.stop.number is None:
        return 0
    path = getattr(cli.trainer.checkpoint_callback, "last_model_path", "")
    after = f"go on with --ckpt_path {path}" if path else "there is no checkpoint yet"
    name = signal.Signals(cli.stop.number).name
    print(f"\n{name}: stopped after {cli.model.steps} steps; {after}", file=sys.stderr)
    return 128 + cli.stop.number


def _fit_cli(args: list[str]) -> Any:
    from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
    from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

    from .. import training
    from ..callbacks import training as callbacks
    from ..datamodules.training_pictures import TrainingPictures

    class FitCLI(LightningCLI):
        def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
            parser.add_argument(
                "--ckpt_path", default=None, help="Checkpoint of an interrupted run to go on from."
            )
            parser.add_lightning_class_args(callbacks.AverageGenerator, "average")
            parser.add_lightning_class_args(callbacks.DivergenceGuard, "guard")
            parser.add_lightning_class_args(callbacks.SampleGrid, "samples")
            parser.add_lightning_class_args(callbacks.Throughput, "throughput")
            parser.add_lightning_class_args(callbacks.ExportGenerator, "export")
            parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
            parser.set_defaults(
                {"checkpoint.save_last": True, "checkpoint.every_n_train_steps": 500}
            )
            parser.link_arguments("trainer.default_root_dir", "checkpoint.dirpath", _checkpoints)
            parser.link_arguments("model.resolution", "data.resolution")
            for name in ("num_classes", "class_names"):
                parser.link_arguments(f"data.{name}", f"model.{name}", apply_on="instantiate")

        def instantiate_trainer(self, **kwargs: Any) -> Any:
            config = self.config.trainer
            self.stop = callbacks.GentleStop()
            shown: list[Any] = [self.stop]
            if config.enable_progress_bar is not False:
                # Each refresh reads numbers from the device, which waits for it.
                shown.append(TQDMProgressBar(refresh_rate=10))
            self.trainer_defaults["callbacks"] = shown
            plugins = [*(config.plugins or []), training.WholeCheckpoints()]
            return super().instantiate_trainer(plugins=plugins, **kwargs)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LightningCLI's args parameter")
        return FitCLI(
            training.GeneratorTraining,
            TrainingPictures,
            run=False,
            args=list(args),
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            trainer_defaults={"logger": False, "default_root_dir": "runs", "max_epochs": -1},
            parser_kwargs={"prog": "cli.py fit", "description": COMMANDS["fit"]},
        )


def _checkpoints(root: str) -> str:
    return str(Path(root) / "checkpoints")


def evaluate(args: list[str]) -> int:
    """Measure a generator against real pictures; writes JSON and prints a table."""
    from .tools import EVALUATE_OPTIONS, device, parsed

    given = parsed(evaluate, EVALUATE_OPTIONS, args)
    from ..errors import UserError
    from ..evaluation import evaluate_generator, report_table, write_report
    from ..generators import load_generator

    network = load_generator(given.generator)
    try:
        real, test = _real_pictures(given, network.resolution)
    except UserError as error:  # the sentences are those of fit, whose options have longer names
        raise UserError(str(error).replace("--data.", "--").replace(" true", "")) from None
    report = evaluate_generator(
        network.to(device(given.device)),
        real.image,
        real.label,
        class_names=real.class_names,
        samples=min(given.samples, len(real.image) // 2),
        truncation=given.truncation,
        features=given.features,
        classifier=given.classifier,
        accuracy_score_samples=given.accuracy_score,
        test_pictures=test.image if test else None,
        test_labels=test.label if test else None,
        seed=given.seed,
        neighbours_path=given.neighbours,
    )
    report = {"generator": given.generator, **report}
    write_report(report, given.output)
    kept = "" if given.truncation == 1 else f" at truncation {given.truncation}"
    print(f"{given.generator}: {report['samples']} samples{kept}, as many real pictures twice")
    print(report_table(report))
    return 0


def _real_pictures(given: Any, resolution: Any) -> tuple[Any, Any]:
    """Training pictures, and test pictures if they are asked for."""
    from ..datamodules.training_pictures import TrainingPictures, read_cifar
    from ..errors import UserError

    real = TrainingPictures(given.path, given.root, given.download, resolution).pictures
    if not given.accuracy_score:
        return real, None
    if given.test_path:
        test = TrainingPictures(given.test_path, resolution=resolution).pictures
    elif given.path:
        raise UserError("--accuracy_score needs real test pictures: pass --test_path.")
    else:
        test = read_cifar(given.root, given.download, train=False)
    if test.class_names != real.class_names:
        raise UserError(
            f"--test_path {given.test_path}: its classes ({', '.join(test.class_names)}) are not those "
            f"of the training pictures ({', '.join(real.class_names)})."
        )
    return real, test
