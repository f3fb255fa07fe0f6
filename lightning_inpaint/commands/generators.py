"""``generators``: what ``--model.generator`` knows by name."""

from __future__ import annotations

from .functions import run


def main(args: list[str]) -> int:
    """Run the command."""
    return run(generators, args)


def generators() -> None:
    """List the generators known by name, with their licences."""
    from ..generators import list_generators

    print(list_generators())
