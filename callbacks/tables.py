"""``energies.csv``: one row per completion."""

from __future__ import annotations

import csv
import io
from typing import Any

from pytorch_lightning import Trainer

from .explaining import write_text
from .finish import Finisher
from .result import RunResult

__all__ = ["EnergyTable"]

COLUMNS = (
    "id",
    "index",
    "chain",
    "seed",
    "steps",
    "first_energy",
    "last_energy",
    "known_psnr",
    "status",
    "label",
    "diversity",
)

#: What a formula begins with in one spreadsheet or another.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class EnergyTable(Finisher):
    """Writes ``energies.csv`` when all pictures are done.

    One row per completion, in the order of the data set and best first, with the columns id, index,
    chain, seed, steps, first_energy, last_energy, known_psnr (dB, of the raw output), status, label
    (of the picture, if known), diversity (mean distance between the picture's completions in the
    hole; several chains only) and the sampler's own diagnostics, rhat and ess of a picture's chains among
    them. Where labels are inferred there are inferred_label, inferred_probability, class_entropy (nats),
    class_posterior (JSON) and chain_class; where masks deserve a look, notes. An energy is the sum over
    the known values of (generated - given)^2 with pictures in [-1, 1]. Pictures without completions come last.
    A text that a spreadsheet would take for a formula (an id ``=1+1``) has an apostrophe in front.
    The table is made from the records, so an interrupted and resumed run ends with the same one.
    """

    def finish(self, trainer: Trainer, run: RunResult) -> None:
        write_text(run.folder.root / "energies.csv", energies_csv(run))


def energies_csv(run: RunResult) -> str:
    """The table as text."""
    extra = sorted({name for row in run.rows for name in row} - set(COLUMNS))
    left_out: list[dict[str, Any]] = [
        {"id": picture, "status": status} for picture, status in run.left_out
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *extra], lineterminator="\n")
    writer.writeheader()
    rows = [*run.rows, *left_out]
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: an apostrophe goes before one."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
