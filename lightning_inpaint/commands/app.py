"""``app``: a page in the browser."""

from __future__ import annotations

from .functions import run


def main(args: list[str]) -> int:
    """Run the command."""
    return run(app, args)


def app(*, generator: list[str] = ["cifar10"], port: int = 7860, host: str = "127.0.0.1") -> None:  # noqa: B006
    """Serve a page on which holes are painted and completed, to this machine alone.

    Args:
        generator: Names, addresses or paths to choose from.
        port: Port of the page; 0 takes any free one.
        host: Address to listen at; 127.0.0.1 is this machine alone.
    """
    from ..app import serve

    serve(generator, host, port)
