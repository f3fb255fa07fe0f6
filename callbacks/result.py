"""What a run has come to, for the callbacks that show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .layout import OutputFolder
from .records import table_rows

__all__ = ["RunResult"]


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
    def records(self) -> list[dict[str, Any]]:
        """The records of the finished pictures, in the order of the data set; read once for all callbacks."""
        found = (self.folder.find_record(picture) for picture in self.folder.recorded())
        return sorted(filter(None, found), key=lambda record: (record["index"], record["id"]))

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``energies.csv``: by position in the data set, then best first."""
        return [row for record in self.records for row in table_rows(record)]

    @property
    def pictures(self) -> list[str]:
        """Ids of the finished pictures, in the order of the data set."""
        return [record["id"] for record in self.records]

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
