"""Those commands of ``cli.py`` that need the library alone: each takes its words, returns the exit status.

Heavy imports are inside the functions, so that help and mistakes answer at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

__all__ = ["EVALUATE_OPTIONS", "app", "convert", "device", "generators", "parsed", "sample"]

Option = tuple[str, dict[str, Any]]

EVALUATE_OPTIONS: list[Option] = [
    ("generator", {"nargs": "?", "default": "cifar10", "help": "name, address or path"}),
    ("--path", {"help": "folder or zip of real training pictures; none = CIFAR-10"}),
    ("--root", {"default": "data", "help": "folder of torchvision's CIFAR-10"}),
    ("--download", {"action": "store_true", "help": "download CIFAR-10 if it is not there"}),
    ("--samples", {"type": int, "default": 10_000, "help": "pictures to draw"}),
    (
        "--truncation",
        {"type": float, "default": 1.0, "help": "1 = the whole generator; predict draws with 0.5"},
    ),
    (
        "--features",
        {
            "default": "classifier",
            "help": "network in whose features pictures are compared: classifier, mobilenet, inception, "
            "or several joined by commas",
        },
    ),
    ("--classifier", {"help": "file of the classifier; none = the bundled one"}),
    (
        "--accuracy_score",
        {
            "type": int,
            "default": 0,
            "metavar": "N",
            "help": "train a classifier on N samples alone, test it on real test pictures; 0 = not",
        },
    ),
    ("--test_path", {"help": "folder or zip of those test pictures; none = CIFAR-10's"}),
    ("--output", {"default": "evaluation.json", "help": "the report to write"}),
    ("--neighbours", {"help": "PNG of 16 samples above their nearest real pictures"}),
    (
        "--device",
        {"default": "auto", "help": "cpu, cuda, cuda:1, ...; auto = cuda if there is one"},
    ),
    ("--seed", {"type": int, "default": 0, "help": "of latents and noise"}),
]


def device(name: str) -> Any:
    """What ``--device`` names.

    Raises:
        UserError: there is no such device here.
    """
    import torch

    from ..errors import UserError

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {name}: not available here ({reason}).") from None
    return torch.device(name)


def generators(args: list[str]) -> int:
    """List what ``--model.generator`` knows by name."""
    parsed(generators, [], args)
    from ..generators import list_generators

    print(list_generators())
    return 0


def app(args: list[str]) -> int:
    """Serve a page on which holes are painted and completed, to this machine alone."""
    options: list[Option] = [
        (
            "--generator",
            {
                "nargs": "+",
                "default": ["cifar10"],
                "help": "names, addresses or paths to choose from",
            },
        ),
        ("--port", {"type": int, "default": 7860, "help": "port of the page; 0 = any free one"}),
        (
            "--host",
            {"default": "127.0.0.1", "help": "address to listen at; 127.0.0.1 = this machine"},
        ),
    ]
    given = parsed(app, options, args)
    from ..app import serve

    serve(given.generator, given.host, given.port)
    return 0


def convert(args: list[str]) -> int:
    """Write a checkpoint as a .safetensors file."""
    options: list[Option] = [
        ("source", {"help": "name, address or path of a checkpoint"}),
        ("target", {"help": "the new file, ending in .safetensors"}),
        ("--dtype", {"default": "float32", "choices": ["float32", "float16"]}),
        ("--weights", {"default": "G_ema", "choices": ["G_ema", "G"]}),
    ]
    given = parsed(convert, options, args)
    from ..generators import convert as write

    path = write(given.source, given.target, given.dtype, weights=given.weights)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def sample(args: list[str]) -> int:
    """Draw a labelled grid of samples."""
    options: list[Option] = [
        ("generator", {"nargs": "?", "default": "cifar10", "help": "name, address or path"}),
        ("--output", {"default": "samples.png", "help": "the picture to write"}),
        ("--columns", {"type": int, "default": 10, "help": "samples of each class"}),
        ("--seed", {"type": int, "default": 0}),
        (
            "--truncation",
            {"type": float, "default": 1.0, "help": "1 = none, 0 = the average of the class"},
        ),
    ]
    given = parsed(sample, options, args)
    from ..generators import load_generator
    from ..generators.sheet import sample_grid

    size = {"columns": given.columns, "rows": given.columns}
    network = load_generator(given.generator)
    path = sample_grid(network, given.output, **size, seed=given.seed, truncation=given.truncation)
    print(f"wrote {path}")
    return 0


def parsed(command: Callable[[list[str]], int], options: list[Option], args: list[str]) -> Any:
    """What ``args`` say of the ``options`` of a command, whose docstring is its help."""
    parser = argparse.ArgumentParser(
        prog=f"cli.py {command.__name__}",
        description=command.__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for flag, settings in options:
        parser.add_argument(flag, **settings)
    return parser.parse_args(args)
