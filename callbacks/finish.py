"""Bases of the callbacks that go by what CompletionWriter writes: with each completion, or after the last."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer

from ..errors import UserError
from .result import RunResult
from .writer import CompletionWriter

__all__ = ["Finisher", "Follower", "writer_of"]


class Follower(Callback):
    """Base of the callbacks that need a CompletionWriter among the trainer's callbacks.

    What one of them does with each completion as it is written is its ``on_composite`` (see
    :class:`.protocols.WatchesCompletions`).
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "predict":
            writer_of(trainer, needed_by=self)


class Finisher(Follower):
    """Base of the callbacks that read the output folder once everything is in it.

    They act in ``teardown``, which also comes when a resumed run finds nothing left to do. They
    read files, not memory: pictures of other processes and of earlier starts count alike.
    """

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "predict":
            result = writer_of(trainer).result(trainer)
            if trainer.is_global_zero:
                self.finish(trainer, result)

    def finish(self, trainer: Trainer, run: RunResult) -> None:
        """Do the work; called on rank zero only."""
        raise NotImplementedError


def writer_of(trainer: Trainer, needed_by: object = None) -> CompletionWriter:
    """The trainer's CompletionWriter, which knows the output folder.

    Raises:
        UserError: There is none.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, CompletionWriter):
            return callback
    raise UserError(
        f"{type(needed_by).__name__} shows what CompletionWriter has written: add a CompletionWriter "
        "to the trainer's callbacks."
    )
