"""Interrupted runs: what is finished, what is left, and whether all is still the same."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from .explaining import explained, write_json
from .layout import SET_ASIDE, OutputFolder

__all__ = ["begin_run", "begun_speed", "finished_ids", "set_changed_aside", "whole_batches"]


def finished_ids(output_dir: str | Path) -> set[str]:
    """Ids of the pictures of which everything has been written and is still there."""
    return set(_finished(OutputFolder(output_dir)))


def begin_run(
    folder: OutputFolder, run: dict[str, Any], overwrite: bool = False
) -> dict[str, dict[str, Any]]:
    """Begin a run in an output folder, or find that it is the continuation of one.

    One process of the job does it, and the folder is its own. Unfinished files go, and so do records that
    are damaged, or whose files are gone, empty or of another size: those pictures are done again.

    Args:
        folder: The output folder; made if missing.
        run: Description of the run (:func:`lightning_inpaint.callbacks.fingerprint.describe_run`).
        overwrite: Remove the pictures of an earlier run, whatever its settings.

    Returns:
        The records of the finished pictures by their ids.

    Raises:
        UserError: The folder holds a run with other settings, other code or another generator, or
            pictures of nobody knows which run, or cannot be written to.
    """
    path = folder.root / "run.json"
    with explained(folder.root):
        folder.sweep()
        if overwrite:
            for picture in list(folder.recorded()):
                folder.forget(picture)
    earlier = None if overwrite else _read(path)
    if earlier is not None:
        _refuse_changes(folder.root, earlier, run)
        _warn_of_versions(folder.root, earlier.get("versions", {}), run["versions"])
    elif not overwrite and any(folder.recorded()):
        _refuse_strangers(folder, path, run)
    finished = _finished(folder)
    for picture in list(folder.recorded()):
        if picture not in finished:
            with explained(folder.record(picture)):
                folder.record(picture).unlink(missing_ok=True)
    if earlier is None:
        write_json(path, run)
    return finished


def begun_speed(folder: OutputFolder) -> tuple[Any, bool] | None:
    """Precision of an earlier start in a folder, and whether it was compiled; None where there was none."""
    run = _read(folder.root / "run.json") or {}
    precision = run.get("settings", {}).get("model.precision")
    known = precision in ("float32", "bfloat16")
    return (precision, run.get("compiled") is True) if known else None


def set_changed_aside(
    folder: OutputFolder,
    finished: dict[str, dict[str, Any]],
    absent: Iterable[str],
    present: Container[str],
    digest: Callable[[str], str | None],
) -> set[str]:
    """Part with finished pictures that are no longer those of the input.

    Args:
        folder: The output folder.
        finished: Records by id.
        absent: Ids that name no picture of the input any more.
        present: Ids of the pictures that can be looked at; a limit keeps others from it.
        digest: The SHA-256 of a picture and its mask as they are now; None where they cannot be
            read.

    Returns:
        The ids of those that are left.
    """
    gone = set(absent) & finished.keys()
    changed = {
        picture
        for picture in finished.keys() - gone
        if picture in present and digest(picture) != finished[picture]["input_sha256"]
    }
    for picture in sorted(gone | changed):
        with explained(folder.record(picture)):
            folder.set_aside(picture, finished[picture])
    for names, what in (
        (gone, "no longer among the input (removed or renamed)"),
        (changed, "of pictures, masks or labels that have changed since, and are done again"),
    ):
        if names:
            first = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
            warnings.warn(
                f"{len(names)} finished in an earlier start are {what}: {first}; their files are in "
                f"{folder.root / SET_ASIDE}",
                stacklevel=2,
            )
    return set(finished) - gone - changed


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


def _finished(folder: OutputFolder) -> dict[str, dict[str, Any]]:
    records = ((picture, folder.find_record(picture)) for picture in folder.recorded())
    return {name: record for name, record in records if record and folder.whole(record)}


def _read(path: Path) -> dict[str, Any] | None:
    """The description of the run in a folder; None where there is none, or a damaged one."""
    try:
        run = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error}): pass --overwrite true or another --output_dir."
        ) from error
    return run if isinstance(run, dict) and isinstance(run.get("settings"), dict) else None


def _refuse_strangers(folder: OutputFolder, path: Path, run: dict[str, Any]) -> None:
    """Pictures without a run.json: a damaged one is made up for if all their records are this run's."""
    known = [folder.find_record(picture) for picture in folder.recorded()]
    same = ("settings", "generator", "code")
    agree = any(known) and all(
        record is None or all(record.get(key) == run[key] for key in same) for record in known
    )
    if path.exists() and agree:
        warnings.warn(f"{path} was damaged, and is written anew from the records", stacklevel=3)
        return
    what = "is damaged" if path.exists() else "is not there"
    raise UserError(
        f"{folder.root} holds finished pictures, and {path.name}, which says how they were made, {what}: "
        "put it back, pass --overwrite true to replace the pictures, or another --output_dir."
    )


def _refuse_changes(root: Path, earlier: dict[str, Any], run: dict[str, Any]) -> None:
    changes = list(_changes(earlier["settings"], run["settings"]))
    if earlier.get("generator") != run["generator"]:
        changes.append("the generator's weights are others")
    before, now = earlier.get("code") or {}, run["code"]
    changes += [
        f"the code of {name} has changed"
        for name in sorted(before.keys() & now.keys())
        if before[name] != now[name]
    ]
    changes += [f"{name} is code of another module" for name in sorted(now.keys() - before.keys())]
    if changes:
        raise UserError(
            f"{root} holds a run with other settings ({'; '.join(changes)}): pass --overwrite true to "
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
