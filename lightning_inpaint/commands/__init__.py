"""The command line; see :func:`main`."""

from .program import main

__all__ = ["main"]
