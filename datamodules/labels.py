"""Classes by name or number."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import PurePosixPath

from ..errors import UserError
from ..generators import CIFAR10_CLASSES

__all__ = ["CIFAR10_CLASSES", "label_from_path", "label_index"]


def label_index(label: int | str | None, names: Sequence[str], where: str = "--data.label") -> int:
    """Class index of a name or number; None, "" and -1 mean unknown and give -1.

    Raises:
        UserError: if there is no such class; `where` says who asked for it.
    """
    text = "" if label is None else str(label).strip()
    if text in ("", "-1"):
        return -1
    folded = [name.casefold() for name in names]
    if text.casefold() in folded:
        return folded.index(text.casefold())
    try:
        number = int(text)
    except ValueError:
        close = difflib.get_close_matches(text.casefold(), folded, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(
            f"{where}: unknown class {text!r}{hint}; the classes are {', '.join(names)}."
        ) from None
    if not 0 <= number < len(names):
        raise UserError(f"{where}: class {number} is not in 0 to {len(names) - 1}.")
    return number


def label_from_path(name: str, names: Sequence[str]) -> int:
    """Class of a relative path: its innermost folder that is named after one; -1 without."""
    folded = {class_name.casefold(): index for index, class_name in enumerate(names)}
    for part in reversed(PurePosixPath(name).parts[:-1]):
        if part.casefold() in folded:
            return folded[part.casefold()]
    return -1
