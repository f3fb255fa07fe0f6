"""Classes by name or number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from ..errors import ArgumentError, UserError
from ..generators import CIFAR10_CLASSES
from ..inference.batch import class_index

__all__ = ["CIFAR10_CLASSES", "label_from_path", "label_index"]


def label_index(label: int | str | None, names: Sequence[str], where: str = "") -> int:
    """Class index of a name or number; None, "" and -1 mean unknown and give -1.

    Raises:
        UserError: if there is no such class; `where` says who asked for it, else the argument `label`.
    """
    try:
        return class_index(label, names, where or "`label`")
    except UserError as error:
        raise error if where else ArgumentError(str(error), "data") from None


def label_from_path(name: str, names: Sequence[str]) -> int:
    """Class of a relative path: its innermost folder that is named after one; -1 without."""
    folded = {class_name.casefold(): index for index, class_name in enumerate(names)}
    for part in reversed(PurePosixPath(name).parts[:-1]):
        if part.casefold() in folded:
            return folded[part.casefold()]
    return -1
