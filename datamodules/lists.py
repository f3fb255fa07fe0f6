"""Lists of (image, mask, label) as CSV, TSV, JSON lines or plain text."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from .masks import MASK_KINDS
from .references import FileRef

__all__ = ["LIST_SUFFIXES", "Row", "read_list"]

LIST_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".txt"})


class Row(NamedTuple):
    """One line of a list.

    Attributes:
        name: path of the picture relative to the list where it lies below it, else its file name.
        file: the picture.
        mask: mask file, folder or name; empty for that of the job.
        label: class name or number; empty if unknown.
        where: `list.csv:3`, for messages.
    """

    name: str
    file: FileRef
    mask: str
    label: str
    where: str


def read_list(path: Path) -> list[Row]:
    """Read a list; relative paths in it start from the list's own folder.

    CSV and TSV have a header with the columns `image` and, if wanted, `mask` and `label`, or no
    header and these three in this order. A JSON line is an object with these keys. A text file has
    one path a line.

    Raises:
        UserError: if the list cannot be read; it names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: the list is not UTF-8 text ({error.reason}).") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}.") from None
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        records = _json_records(path, text)
    elif suffix == ".txt":
        records = ((n, {"image": line}) for n, line in enumerate(text.splitlines(), 1))
    else:
        records = _table_records(path, text, "\t" if suffix == ".tsv" else ",")
    rows = [_row(path, number, record) for number, record in records if any(record.values())]
    if not rows:
        raise UserError(f"{path}: the list is empty.")
    return rows


def _table_records(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    columns = ["image", "mask", "label"]
    try:
        for cells in reader:
            if reader.line_num == 1 and "image" in [cell.strip().lower() for cell in cells]:
                columns = [cell.strip().lower() for cell in cells]
            else:
                yield reader.line_num, dict(zip(columns, cells, strict=False))
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: {error}.") from None


def _json_records(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}:{number}: not a line of JSON: {error.msg}.") from None
        if not isinstance(record, dict):
            raise UserError(f'{path}:{number}: expected an object such as {{"image": "a.png"}}.')
        yield number, record


def _row(path: Path, number: int, record: dict[str, Any]) -> Row:
    where = f"{path}:{number}"
    fields = {key: "" if value is None else str(value).strip() for key, value in record.items()}
    if not fields.get("image"):
        raise UserError(f"{where}: there is no image on this line.")
    image = _absolute(path.parent, fields["image"])
    mask = fields.get("mask", "")
    if mask and mask.partition(":")[0] not in MASK_KINDS:
        mask = str(_absolute(path.parent, mask))
    folder = path.parent.absolute()
    name = image.relative_to(folder).as_posix() if image.is_relative_to(folder) else image.name
    return Row(name, FileRef(str(image)), mask, fields.get("label", ""), where)


def _absolute(folder: Path, text: str) -> Path:
    # Not resolve(): it would follow symbolic links to names nobody asked for.
    return Path(os.path.normpath(folder.absolute() / Path(text).expanduser()))
