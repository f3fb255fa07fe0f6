"""Readers of checkpoint files: plain data in, a native network out; no code of theirs is run."""

from .reading import READABLE, read_checkpoint

__all__ = ["READABLE", "read_checkpoint"]
