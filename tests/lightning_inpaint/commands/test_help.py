"""Help is read from the source; it must say what the parser does."""

import subprocess
import sys
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

import cli
from lightning_inpaint.commands.fit import FitCLI
from lightning_inpaint.commands.functions import function_parser
from lightning_inpaint.commands.help import described_options
from lightning_inpaint.commands.jobs import JOBS, PREDICT
from lightning_inpaint.commands.mistakes import imported
from lightning_inpaint.commands.names import COMMANDS
from lightning_inpaint.commands.predict import PredictCLI
from lightning_inpaint.commands.signatures import REQUIRED, described
from lightning_inpaint.optim import SAMPLERS

ROOT = Path(__file__).parents[3]


def options_of(parser):
    """Defaults by name, of those options that take a value."""
    typed = [a for a in parser._actions if hasattr(a, "_typehint")]
    return {a.dest: a.default for a in typed if not a.dest.endswith(".help")}


def same(told, default):
    return default is None if told is REQUIRED else told == default


class Parsed(Exception):
    """Carries a parser out of a CLI."""


@pytest.mark.parametrize(("command", "cls"), [("predict", PredictCLI), ("fit", FitCLI)])
def test_every_option_and_its_default(command, cls, monkeypatch):
    def stop(self, parser, args):
        raise Parsed(parser)

    monkeypatch.setattr(cls, "parse_arguments", stop)
    with pytest.raises(Parsed) as caught:
        cls([])
    real = options_of(caught.value.args[0])
    assert real.pop("seed_everything") is JOBS[command].seed
    real.pop("data", None)
    told = described_options(JOBS[command])
    assert set(told) == set(real)
    for name in JOBS[command].choices:
        real.pop(name, None)
    assert {n: told[n].default for n in real if not same(told[n].default, real[n])} == {}


CLASSES = [*SAMPLERS.values(), *map(imported, PREDICT.choices["data"].values())]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_option_of_a_class_that_is_chosen(cls):
    parser = ArgumentParser()
    parser.add_class_arguments(cls, skip={"params"}, fail_untyped=False)
    real = options_of(parser)
    told = {o.name: o for o in described(f"{cls.__module__}.{cls.__name__}").options}
    assert set(told) == set(real)
    assert {n: told[n].default for n in real if not same(told[n].default, real[n])} == {}
    assert all(option.text for option in told.values())


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - set(JOBS)))
def test_every_option_of_a_function(command):
    function = imported(f"lightning_inpaint.commands.{command}.{command}")
    real = options_of(function_parser(function))
    told = described(f"{function.__module__}.{command}").options
    assert {o.name for o in told} == set(real)
    assert all(same(option.default, real[option.name]) for option in told)
    assert all(option.text for option in told)


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ("predict --help", ["--model.chains N", "--data.num N", "--help trainer"]),
        ("predict -h", ["--writer.format {png,jpeg,webp}"]),
        ("predict --help trainer", ["--trainer.devices", "--seed_everything"]),
        ("predict --help data", ["FolderMasks", "CIFAR10Masks"]),
        ("predict --help sampler", ["hmc", "Hamiltonian"]),
        ("predict --help hmc", ["--model.sampler.leapfrog N"]),
        ("predict --model.sampler hmc --help", ["--model.sampler.leapfrog N"]),
        ("predict --model.sampler=HMC --help", ["--model.sampler.leapfrog N"]),
        ("predict --data FolderMasks --help", ["--data.images TEXT", "(needed)"]),
        ("predict --data.help FolderMasks", ["--data.images TEXT"]),
        ("predict --data.help", ["FolderMasks"]),
        (
            "predict --model.sampler tests.lightning_inpaint.commands.own.Own --help",
            ["--model.sampler.pace X"],
        ),
        ("fit --help", ["--model.resolution N", "--data.path TEXT", "--average.every_n_steps"]),
        ("fit --help checkpoint", ["--checkpoint.save_last", "(default: true)"]),
        ("convert --help", ["source target", "--dtype {float32,float16}"]),
        ("evaluate --help", ["[generator]", "--resize"]),
    ],
)
def test_what_is_asked_for(words, texts, capsys):
    assert cli.main(words.split()) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in texts)
    assert "`" not in printed


def test_the_trainer_comes_only_when_asked_for(capsys):
    assert cli.main(["predict", "--help"]) == 0
    assert "--trainer." not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("predict --help smapler", "did you mean sampler?"),
        ("predict --model.sampler hcm --help", "did you mean hmc?"),
        ("predict --data.help nowhere.Pictures", "there is no such module"),
    ],
)
def test_help_that_there_is_not(words, text, capsys):
    assert cli.main(words.split()) == 2
    error = capsys.readouterr().err
    assert text in error
    assert len(error.splitlines()) == 1


HELP = [
    "--help",
    "--version",
    "predict --help trainer",
    "fit --help checkpoint",
    "predict --help hmc",
]


@pytest.mark.parametrize("words", [*HELP, *(f"{command} --help" for command in COMMANDS)])
def test_nothing_heavy_is_imported(words):
    code = (
        f"import sys, cli; assert cli.main({words.split()}) == 0; "
        "assert not {'torch', 'pytorch_lightning', 'numpy', 'jsonargparse'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
