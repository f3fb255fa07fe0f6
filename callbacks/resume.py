"""Interrupted runs: what is finished, what is left, and whether the settings are still the same."""

from __future__ import annotations

import json
import warnings
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from .explaining import explained, write_json
from .layout import OutputFolder

__all__ = ["begin_run", "finished_ids", "whole_batches"]


def finished_ids(output_dir: str | Path) -> set[str]:
    """Ids of the pictures of which everything has been written."""
    return set(OutputFolder(output_dir).finished())


def begin_run(
    folder: OutputFolder, run: dict[str, Any], overwrite: bool = False, write: bool = True
) -> None:
    """Claim an output folder for a run, or find that it is the continuation of one.

    Args:
        folder: The output folder; made if missing.
        run: Description of the run (:func:`lightning_inpaint.callbacks.fingerprint.describe_run`).
        overwrite: Remove the pictures of an earlier run, whatever its settings.
        write: Whether to touch the folder: one process does, the others only look.

    Raises:
        UserError: The folder holds a run with other settings or another generator, or cannot be
            written to.
    """
    path = folder.root / "run.json"
    if write:
        with explained(folder.root):
            folder.sweep()
    earlier = None if overwrite else _read(path)
    if earlier is not None:
        _refuse_changes(folder.root, earlier, run)
        if write:
            _warn_of_versions(folder.root, earlier.get("versions", {}), run["versions"])
    elif write:
        # Records without a run.json are leftovers of nobody knows what: they must not pass as done.
        for picture in list(folder.finished()):
            with explained(folder.record(picture)):
                folder.forget(picture)
        write_json(path, run)


def whole_batches(
    ids: Sequence[str], finished: Container[str], batch_size: int, devices: int
) -> set[str]:
    """The finished pictures that a resumed run can leave out without re-cutting a batch.

    How a batch is cut shows in the last digits of floating-point results. Batches are consecutive
    pictures, dealt out to the devices in turn. So only batches that are finished as a whole are
    left out, and each batch of the resumed run is one of the uninterrupted run.

    Args:
        ids: All pictures, in the order in which they are served.
        finished: Those that are finished.
        batch_size: Pictures per batch.
        devices: Number of devices; if anything is left, each gets a batch (Lightning wants that),
            if need be one that is finished.

    Returns:
        Ids to leave out.
    """
    batches = [ids[start : start + batch_size] for start in range(0, len(ids), batch_size)]
    done = [all(picture in finished for picture in batch) for batch in batches]
    if not all(done):
        missing = devices - done.count(False)
        again = [i for i, is_done in enumerate(done) if is_done][-missing:] if missing > 0 else []
        for i in again:
            done[i] = False
    return {
        picture
        for batch, is_done in zip(batches, done, strict=True)
        if is_done
        for picture in batch
    }


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}): pass --overwrite or another --output_dir."
        ) from error


def _refuse_changes(root: Path, earlier: dict[str, Any], run: dict[str, Any]) -> None:
    changes = list(_changes(earlier.get("settings", {}), run["settings"]))
    if earlier.get("generator") != run["generator"]:
        changes.append("the generator's weights are others")
    if changes:
        raise UserError(
            f"{root} holds a run with other settings ({'; '.join(changes)}): pass --overwrite to "
            "replace it, or another --output_dir."
        )


def _warn_of_versions(root: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    # no refusal: the same draws to the eye, but not to the last digit
    changes = list(_changes(before, now))
    if changes:
        warnings.warn(
            f"{root} was begun with other versions ({'; '.join(changes)}): pictures of now and of then "
            "may differ from a single run's in their last digits.",
            stacklevel=2,
        )


def _changes(before: dict[str, Any], now: dict[str, Any]) -> Iterable[str]:
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old != new:
            yield f"{name} was {old!r} and is {new!r}"
