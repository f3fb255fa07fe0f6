"""What a run has come to, for the callbacks that show it."""

from __future__ import annotations

from collections.abc import Iterable
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
    def rows(self) -> list[dict[str, Any]]:
        """The rows of ``energies.csv``: by position in the data set, then best first."""
        found = (self.folder.find_record(picture) for picture in self.folder.recorded())
        by_picture = sorted((table_rows(record) for record in found if record), key=_place)
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


def _place(rows: Iterable[dict[str, Any]]) -> tuple[int, str]:
    first = next(iter(rows))
    return first["index"], first["id"]
