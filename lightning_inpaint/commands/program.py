"""From the words of a command line to a command and its exit status. Nothing here needs torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from ..errors import ArgumentError, UserError, did_you_mean
from . import help
from .names import COMMANDS, program, usage
from .stopping import Interrupted, stopping_on_signals

# Huge pages for large tensors on a CPU, a quarter more speed at batch 64; torch reads it once.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, or 2 with one sentence for a user's mistake.

    Args:
        args: the words after the program's name; None takes those of the process.
    """
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    if words[0] == "--version":
        from .. import __version__

        print(f"lightning-inpaint {__version__}")
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS, f"take one of {', '.join(COMMANDS)}.")
        return complain(f"{name!r} is no command: {hint}")
    try:
        with stopping_on_signals():
            if help.shown(name, rest):
                return 0
            status = import_module(f".{name}", __package__).main(rest)
            return int(status)
    except ArgumentError as error:  # the library names arguments
        return complain(error.flagged())
    except UserError as error:
        return complain(str(error), everywhere=isinstance(error.__cause__, OSError))
    except Interrupted as stop:
        if _first_process():
            stop.report("stopped.")
        return stop.status
    except SystemExit as stop:  # what the parser printed was asked for
        return stop.code if isinstance(stop.code, int) else 1


def complain(sentence: str, everywhere: bool = False) -> int:
    """Print a user's mistake and return the exit status that goes with it.

    Each process may find the same mistake, so one speaks, unless ``everywhere``: a full disk may be
    met by one process alone.
    """
    if everywhere or _first_process():
        print(f"{Path(program().split()[-1]).name}: error: {sentence}", file=sys.stderr)
    return 2


def _first_process() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0"
