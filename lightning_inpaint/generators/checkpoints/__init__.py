"""Readers of checkpoint files: plain data in, a native network out; no code of theirs is run."""

from lightning_inpaint.generators.checkpoints.reading import READABLE, read_checkpoint

__all__ = ["READABLE", "read_checkpoint"]
