"""What happens once, on rank zero, after the last picture: tables, figures, the gallery."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from ..errors import UserError
from .layout import OutputFolder
from .records import table_rows

if TYPE_CHECKING:
    from .writer import CompletionWriter

__all__ = ["Finisher", "RunResult", "gather", "writer_of"]

T = TypeVar("T")


@dataclass
class RunResult:
    """What a run has come to, all processes and earlier starts together.

    Attributes:
        folder: Where everything lies.
        skipped: (id, reason) of each picture that could not be read.
        seconds: Time since the start.
        resumed: Pictures that were finished before this start.
        completed: Pictures finished since.
        evaluations: Gradient evaluations since, of all chains together.
        failed: (id, reason) of each picture that could be read, but not be completed.
    """

    folder: OutputFolder
    skipped: list[tuple[str, str]]
    seconds: float = 0.0
    resumed: int = 0
    completed: int = 0
    evaluations: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``energies.csv``: by position in the data set, then best first."""
        records = (self.folder.read_record(picture) for picture in self.folder.finished())
        by_picture = sorted((table_rows(record) for record in records), key=_place)
        return [row for rows in by_picture for row in rows]

    @property
    def pictures(self) -> list[str]:
        """Ids of the finished pictures, in the order of the data set."""
        return list(dict.fromkeys(row["id"] for row in self.rows))

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """(id, status) of each picture that has no completions."""
        skipped = [(picture, f"skipped: {reason}") for picture, reason in self.skipped]
        return [*skipped, *((picture, f"failed: {reason}") for picture, reason in self.failed)]

    @property
    def failures(self) -> list[tuple[str, str]]:
        """(id, reason) of what went wrong: pictures without completions and failed chains."""
        failed = [
            (f"{row['id']} (chain {row['chain']})", row["status"].removeprefix("failed: "))
            for row in self.rows
            if row["status"].startswith("failed")
        ]
        return [*self.skipped, *self.failed, *failed]


class Finisher(Callback):
    """Base of the callbacks that read the output folder once everything is in it.

    They act in ``teardown``, which also comes when a resumed run finds nothing left to do. They
    read files, not memory: pictures of other processes and of earlier starts count alike.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "predict":
            writer_of(trainer, needed_by=self)

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
    from .writer import CompletionWriter

    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, CompletionWriter):
            return callback
    raise UserError(
        f"{type(needed_by).__name__} shows what CompletionWriter has written: add a CompletionWriter "
        "to the trainer's callbacks."
    )


def gather(value: T) -> list[T]:
    """The values of all processes, by rank. Every process must call it, and it waits for them."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [value]
    values: list[Any] = [None] * torch.distributed.get_world_size()
    try:
        torch.distributed.all_gather_object(values, value)
    except RuntimeError as error:
        raise UserError(
            "Another process of this job has ended early and said why: start the same command again "
            "(finished pictures are kept)."
        ) from error
    return values


def _place(rows: Iterable[dict[str, Any]]) -> tuple[int, str]:
    first = next(iter(rows))
    return first["index"], first["id"]
