"""Every completion as a picture file, with a record of how it came about."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter

from ..completions import Completions
from ..errors import UserError
from ..images.compositing import Blend
from ..protocols import WatchesCompletions
from .arviz import check_arviz, write_arviz
from .claim import FolderClaim
from .explaining import explained, persist, write_bytes, write_json
from .fingerprint import describe_run
from .imaging import PictureFormat, encode, masked_picture, suffix, to_array
from .layout import OutputFolder
from .processes import gather
from .records import picture_record
from .result import RunResult
from .resume import begin_run, begun_speed, set_changed_aside, whole_batches

__all__ = ["CompletionWriter"]


class CompletionWriter(BasePredictionWriter):
    """Writes each picture's completions, and resumes where an earlier start was interrupted.

    See :class:`.layout.OutputFolder` for the files. They appear whole or not at all, and the record
    comes last: a picture with a record is finished. Every process writes its own pictures; on
    several machines the folder must be on a file system that all of them see. A second start in the
    same folder continues, and refuses to if settings or generator have changed. A callback that defines
    ``on_composite(writer, completions, n, k, array)`` sees each completion as it is written.

    Example::

        trainer = Trainer(callbacks=[CompletionWriter("out")])
        trainer.predict(LatentInpainter(), batches, return_predictions=False)

    Args:
        output_dir: Folder for everything that is written; made if missing.
        overwrite: Start afresh in a folder that already holds a run, instead of resuming it.
        format: File type of completions. png keeps every pixel; jpeg and webp are smaller, but
            change known pixels a little, so that they no longer equal the input's.
        quality: Quality of jpeg and webp, 1 to 100.
        blend: How a completion gets back into an original larger than the generator's resolution:
            gradient fits its colours to the rim of the hole, so that no seam shows; none pastes it.
        arviz: Write the draws of each picture's chains as arviz/NAME.nc, in ArviZ's schema.
    """

    def __init__(
        self,
        output_dir: str = "outputs",
        overwrite: bool = False,
        format: PictureFormat = "png",
        quality: int = 90,
        blend: Blend = "gradient",
        arviz: bool = False,
    ) -> None:
        super().__init__(write_interval="batch")
        if not 1 <= quality <= 100:
            raise UserError(f"The quality of CompletionWriter is {quality}: it must be 1 to 100.")
        self.folder = OutputFolder(output_dir)
        self.claim = FolderClaim(self.folder.root)
        self.overwrite = overwrite
        self.format = format
        self.quality = quality
        self.blend = blend
        self.arviz = arviz
        self._forget()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Claim the folder, and take finished pictures out of a data module that can do so."""
        if stage != "predict":
            return
        if self.arviz:
            check_arviz(pl_module)
        self._forget()
        if hasattr(pl_module, "go_on_as"):
            goes_on = trainer.is_global_zero and not self.overwrite
            speed, *_ = gather(begun_speed(self.folder) if goes_on else None)
            pl_module.go_on_as(speed)
        self._run = describe_run(trainer, pl_module, self._settings())
        # the first process claims the folder and looks what is in it, for all of them
        begun, *_ = gather(self._begin(trainer) if trainer.is_global_zero else None)
        if isinstance(begun, UserError):
            raise begun
        self.claim.join()
        self._leave_out(trainer, begun)
        # The record is the last word about a picture, so other callbacks write theirs before.
        others = [each for each in trainer.callbacks if each is not self]  # type: ignore[attr-defined]
        trainer.callbacks = [*others, self]  # type: ignore[attr-defined]
        self._watchers = [each for each in others if isinstance(each, WatchesCompletions)]

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Completions | None,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write all files of a batch, picture by picture."""
        if prediction is None:
            return
        self._take_notes(trainer)
        written: list[Path] = []
        for n, picture in enumerate(prediction.id):
            if self.folder.usable(picture):
                written += self._write_picture(prediction, n)
                self._completed += 1
            else:
                self._unwritten.append((picture, "its name cannot be a file name: rename it"))
        persist(written)
        self._evaluations += _evaluations(prediction)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the folder back; this callback is the last one of the job to write to it."""
        self.claim.release()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give the folder back, for another start in the same process."""
        self.claim.release()

    def result(self, trainer: Trainer) -> RunResult:
        """What the run has come to. The first call waits for all processes: each must make it."""
        if self._result is None:
            data = getattr(trainer, "datamodule", None)
            skipped_here = [*getattr(data, "skipped", []), *self._unwritten]
            failed_here = list(getattr(trainer.lightning_module, "failures", []))
            own = (skipped_here, failed_here, self._completed, self._evaluations)
            skipped, failed, completed, evaluations = zip(*gather(own), strict=True)
            self._result = RunResult(
                folder=self.folder,
                skipped=sorted({entry for entries in skipped for entry in entries}),
                seconds=time.monotonic() - self._started,
                resumed=self._resumed,
                completed=sum(completed),
                evaluations=sum(evaluations),
                failed=sorted({entry for entries in failed for entry in entries}),
            )
        return self._result

    def _forget(self) -> None:
        self._result: RunResult | None = None
        self._run: dict[str, Any] = {}
        self._unwritten: list[tuple[str, str]] = []
        self._notes: dict[str, list[dict[str, str]]] = {}  # of the pictures under way
        self._noted = 0
        self._digests: dict[str, str] = {}  # of the pictures under way
        self._watchers: list[Any] = []
        self._started = time.monotonic()
        self._resumed = self._completed = self._evaluations = 0

    def _settings(self) -> dict[str, Any]:
        quality = {} if self.format == "png" else {"quality": self.quality}
        return {"format": self.format, "blend": self.blend, **quality}

    def _begin(self, trainer: Trainer) -> set[str] | UserError:
        """Claim the folder and return the ids of the finished pictures, or why that cannot be done."""
        try:
            self.claim.take()
            finished = begin_run(self.folder, self._run, self.overwrite)
            data = getattr(trainer, "datamodule", None)
            if not (finished and hasattr(data, "current_digest")):
                return set(finished)
            absent = data.absent(list(finished))
            present = set(data.ids)
            return set_changed_aside(self.folder, finished, absent, present, data.current_digest)
        except UserError as error:
            return error

    def _leave_out(self, trainer: Trainer, finished: set[str]) -> None:
        data = getattr(trainer, "datamodule", None)
        if not hasattr(data, "leave_out"):
            return
        served = [data.ids[position] for position in data.order]
        devices = trainer.world_size
        left_out = whole_batches(served, finished, data.block_size(devices), devices)
        data.leave_out(left_out)
        self._resumed = len(left_out)

    def _take_notes(self, trainer: Trainer) -> None:
        notes = getattr(getattr(trainer, "datamodule", None), "notes", [])
        for picture, kind, text in notes[self._noted :]:
            self._notes.setdefault(picture, []).append({"kind": kind, "text": text})
        self._noted = len(notes)
        digests = getattr(getattr(trainer, "datamodule", None), "digests", {})
        self._digests.update(digests)
        digests.clear()

    def _write_picture(self, completions: Completions, n: int) -> list[Path]:
        """Write a picture's files, its record last; returns them all."""
        picture, chains, kinds = completions.id[n], completions.chains, ("composite", "raw")
        record = self.folder.record(picture)
        with explained(record):
            record.unlink(missing_ok=True)  # until its files belong together again
        visible = self.folder.file("inputs", picture, ".png")
        write_bytes(visible, encode(masked_picture(completions.image[n], completions.mask[n])))
        files: dict[str, Any] = {"input": self.folder.relative(visible), "composite": [], "raw": []}
        source = completions.source[n]
        info = None if source is None else source.info
        for k in range(chains):
            raw, composite = to_array(completions.raw[n, k]), completions.array(n, k, self.blend)
            for watcher in self._watchers:
                watcher.on_composite(self, completions, n, k, composite)
            for kind, pixels in zip(kinds, (composite, raw), strict=True):
                folder = "composites" if kind == "composite" else "raw"
                path = self.folder.file(folder, picture, suffix(self.format), k, chains)
                kept = info if kind == "composite" else None
                write_bytes(path, encode(pixels, self.format, self.quality, kept))
                files[kind].append(self.folder.relative(path))
        notes = self._notes.pop(picture, [])
        if self.arviz:
            write_arviz(completions, n, self.folder.file("arviz", picture, ".nc"))
        paths = [visible, *(self.folder.root / name for kind in kinds for name in files[kind])]
        paths += self.folder.extras(picture)
        value = picture_record(completions, n, files, self._run, notes)
        value["input_sha256"] = self._digests.pop(picture, None)
        value["bytes"] = {self.folder.relative(path): path.stat().st_size for path in paths}
        write_json(record, value)
        return [*paths, record]


def _evaluations(completions: Completions) -> int:
    counted = completions.diagnostics.get("gradient_evaluations")
    if counted is not None:
        return int(counted.sum())
    return completions.steps * len(completions) * completions.chains
