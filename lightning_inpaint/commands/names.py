"""The commands, and what the program is called."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["COMMANDS", "program", "usage"]

COMMANDS = {
    "predict": "complete masked pictures (with no options: eight of the bundled generator's own)",
    "fit": "train a generator on a folder, a zip or CIFAR-10",
    "evaluate": "measure a generator against real pictures",
    "generators": "list the generators known by name",
    "convert": "write a checkpoint as a small, safe .safetensors file",
    "sample": "draw a labelled grid of a generator's samples",
    "app": "open a page to paint holes on, and complete them (needs gradio)",
}


def program() -> str:
    """What the user has typed to get here: ``python cli.py`` or ``lightning-inpaint``."""
    script = Path(sys.argv[0])
    return f"python {script}" if script.name == "cli.py" else "lightning-inpaint"


def usage() -> str:
    """The text of ``--help`` without a command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    closing = f"Each command explains its options: {program()} predict --help"
    return "\n".join([f"usage: {program()} COMMAND [OPTIONS]", "", *lines, "", closing])
