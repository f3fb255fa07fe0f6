"""What jsonargparse and LightningCLI do here beside their own: names, presets, one-sentence mistakes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from ..configs import find_config
from ..errors import UserError
from .jobs import JOBS
from .mistakes import explain, imported
from .names import program

__all__ = ["JobCLI", "JobParser", "import_path", "short_names"]


class ConfigFile(ActionConfigFile):
    """``--config`` with a file, the name of a preset, or YAML itself."""

    @staticmethod
    def apply_config(parser: ArgumentParser, cfg: Namespace, dest: str, value: str) -> None:
        """Add the settings of ``value`` to those that were read before it."""
        literal = value.lstrip().startswith("{")
        path = value if literal else str(find_config(value, f"--{dest}"))
        try:
            ActionConfigFile.apply_config(parser, cfg, dest, path)
        except UserError as error:
            raise UserError(f"--{dest} {value}: {error}") from None


class JobParser(LightningArgumentParser):
    """A parser that answers a mistake with one sentence.

    Attributes:
        chosen: options whose value is a class. Its default is the class alone, so that another class
            inherits no options of it.
        unchosen: those among them that stay null until one of their options is given.
        hint: what to write, for a word that belongs to no option.
    """

    chosen: Sequence[str] = ()
    unchosen: Collection[str] = ()
    hint = ""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise the sentence.

        Raises:
            UserError: always, but inside an option of another parser, whose sentence it becomes.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        raise UserError(explain(message, self)) from None

    def get_defaults(self, *args: Any, **options: Any) -> Namespace:
        """The defaults; those of a chosen class are added when it is known which that is."""
        defaults = super().get_defaults(*args, **options)
        for name in self.chosen:
            if name in self.unchosen:
                defaults[name] = None
            elif defaults.get(name) is not None:
                defaults[name] = Namespace(class_path=defaults[name]["class_path"])
        return defaults

    def dump(self, cfg: Any, *args: Any, **options: Any) -> str:
        """The settings as YAML. Of an option that the model fills, what is null goes without saying."""
        shown = cfg.clone()
        for name in self.unchosen:
            given = shown.get(f"{name}.init_args")
            if given is not None and shown[f"{name}.class_path"] == self._unchosen_default(name):
                for key in [key for key, value in given.items() if value is None]:
                    given.pop(key)
        text: str = super().dump(shown, *args, **options)
        return text

    def _unchosen_default(self, name: str) -> str:
        return str(super().get_defaults()[name]["class_path"])


class JobCLI(LightningCLI):
    """A LightningCLI for one command, which a subclass fills and its module runs.

    Args:
        command: name of the command.
        model: class of the module.
        data: class of the data module, or the base of those that ``--data`` chooses from.
        args: words of the command line.
        options: further options of LightningCLI.
    """

    parser_class = JobParser

    def __init__(
        self, command: str, model: type, data: type, args: Sequence[str], **options: Any
    ) -> None:
        self.job = JOBS[command]
        super().__init__(
            model,
            data,
            run=False,
            args=list(args),
            save_config_callback=None,
            seed_everything_default=self.job.seed,
            auto_configure_optimizers=False,
            trainer_defaults=dict(self.job.trainer),
            parser_class=type(self).parser_class,
            parser_kwargs={"prog": f"{program()} {command}", "allow_abbrev": False},
            **options,
        )

    def add_arguments_to_parser(self, parser: Any) -> None:
        """The command's own options, the callbacks, and what is chosen by name."""
        parser.add_function_arguments(imported(self.job.own))
        for name, path in self.job.callbacks.items():
            parser.add_lightning_class_args(imported(path), name)
        for option, choices in self.job.choices.items():
            classes = imported(choices) if isinstance(choices, str) else choices
            short_names(parser, option, {name: imported(each) for name, each in classes.items()})
        parser.chosen, parser.unchosen = tuple(self.job.choices), self.job.unchosen
        for option, value in self.job.defaults.items():
            if option in self.job.choices:
                value = {"class_path": import_path(imported(f"{value}"))}
            parser.set_defaults({option: value})

    def init_parser(self, **options: Any) -> LightningArgumentParser:
        """A parser that knows the presets by name."""
        parser = self.parser_class(**options)
        parser.add_argument(
            "-c", "--config", action=ConfigFile, help="YAML file, or a preset by name."
        )
        return parser

    def setup_parser(self, *args: Any) -> None:
        """Make all options; each may stand without a value, which is ``true``."""
        super().setup_parser(*args)
        for action in self.parser._actions:
            if hasattr(action, "_typehint") and action.nargs is None and action.option_strings:
                action.nargs, action.const = "?", True

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse the words; they are never those of another program."""
        self.config = parser.parse_args(args)

    def instantiate_classes(self) -> None:
        """Make the model, the pictures and the trainer.

        Raises:
            UserError: one of them does not accept its options.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:  # the parser's, around what the class of an option has said
            if isinstance(error.__cause__, UserError):
                raise error.__cause__ from None
            raise

    def instantiate_trainer(self, **options: Any) -> Any:
        """The trainer.

        Raises:
            UserError: it does not accept its options.
        """
        try:
            return super().instantiate_trainer(**options)
        except (MisconfigurationException, ValueError, TypeError, ModuleNotFoundError) as error:
            raise UserError(self._trainer_sentence(str(error))) from error

    def _trainer_sentence(self, problem: str) -> str:
        given = {
            name: value
            for name, value in self.config.trainer.items()
            if value != self.parser.get_default(f"trainer.{name}")
        }
        meant = [name for name in given if name in problem or f"{given[name]}" in problem] or given
        flags = ", ".join(f"--trainer.{name} {given[name]}" for name in meant)
        sentence = " ".join(problem.split()).rstrip(".!")
        return f"{flags or '--trainer'}: {sentence}."


def short_names(parser: ArgumentParser, option: str, classes: Mapping[str, type]) -> None:
    """Let the values of an option be classes by the short names of ``classes``, in YAML too."""
    action: Any = parser._option_string_actions[f"--{option}"]
    check = action._check_type_

    def named(value: Any, **context: Any) -> Any:
        if isinstance(value, str):
            value = import_path(classes.get(value, value))
        elif isinstance(value, dict) and value.get("class_path") in classes:
            value = {**value, "class_path": import_path(classes[value["class_path"]])}
        return check(value, **context)

    action._check_type_, action.classes = named, classes


def import_path(value: str | type) -> str:
    """What to write for a class; a path stays as it is."""
    return value if isinstance(value, str) else f"{value.__module__}.{value.__qualname__}"
