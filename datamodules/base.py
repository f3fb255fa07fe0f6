"""What all data modules of masked pictures share: options, checks, the data loader, the skipped."""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch.utils.data import DataLoader, Dataset

from ..errors import ArgumentError, worded
from ..images.source import LateOriginal, PictureInfo
from ..inference.parts import PART
from ..inference.sizing import largest_batch
from .ahead import enlarged_ahead, most_in_memory, sizes_ahead
from .blocks import BlockSampler, block_size
from .collate import Sample, Skipped, collate
from .fitting import Fit, Fitted, fit_picture
from .inspection import inspect_mask
from .pairing import MaskProvider, MaskVariant
from .references import PictureError

__all__ = ["BatchSize", "MaskedPictures"]

BatchSize = int | Literal["auto"]
Load = Callable[[], tuple[np.ndarray, np.ndarray]]
_KEPT = 2**20  # pixels of an original that a batch may keep; larger ones are read again when needed


class MaskedPictures(LightningDataModule):
    """Base class: a fixed sequence of masked pictures, served to `Trainer.predict` in order.

    A subclass fills `self.ids` in `setup` and makes one picture in `sample`. A picture that raises
    PictureError there does not stop the job: it is left out of its batch and listed in `skipped`.

    Attributes:
        ids: the id of each picture of the data set, known after `setup`.
        order: positions in `ids` that the loader serves, in this order.
        skipped: (id, one-line reason) of the pictures left out so far, on this process.
        digests: SHA-256 of what each picture served so far was made from, by id, on this process.
        notes: (id, kind, sentence) of what deserved a warning so far, on this process.
        unrecorded: options that are data, which no record of the run holds.
    """

    unrecorded: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        batch_size: BatchSize = 8,
        limit: int | None = None,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        # when a resumed run has less left than there are devices, some have nothing to do
        self.allow_zero_length_dataloader_with_multiple_devices = True
        if batch_size != "auto" and batch_size < 1:
            raise ArgumentError(
                f"`batch_size` is {batch_size}, and must be at least 1, or auto.", "data"
            )
        if limit is not None and limit < 1:
            raise ArgumentError(
                f"`limit` is {limit}, and must be at least 1 (or null for no limit).", "data"
            )
        if num_workers < 0:
            raise ArgumentError(f"`num_workers` is {num_workers}, and must be at least 0.", "data")
        # the subclass's options, for records of the run
        self.save_hyperparameters(logger=False, ignore=list(self.unrecorded))
        self.batch_size: BatchSize = batch_size
        self.limit = limit
        self.seed = seed
        self.num_workers = num_workers
        self.ids: list[str] = []
        self._positions: dict[str, int] = {}
        self.order: list[int] = []
        self.whole = 0  # pictures before finished ones are left out
        self.skipped: list[tuple[str, str]] = []
        self.notes: list[tuple[str, str, str]] = []
        self.digests: dict[str, str] = {}
        self._told: set[str] = set()  # kinds of notes that were said before the job began

    @abstractmethod
    def sample(self, position: int) -> Sample:
        """Make the picture at a position of `ids`; PictureError if that cannot be done."""

    def original_size(self, position: int) -> tuple[int, int] | None:
        """Width and height of the picture before it is fitted; None = that of the generator.

        Raises:
            PictureError: if it cannot be read.
        """
        return None

    def digest(self, position: int) -> str | None:
        """SHA-256 of what the picture at a position is made from, beside the options.

        None stands for that of the sample itself; a subclass that has files need not decode them.

        Raises:
            PictureError: if it cannot be read.
        """
        return None

    def current_digest(self, picture: str) -> str | None:
        """SHA-256 of a picture, its mask and its label as they are now; None if they cannot be read."""
        if not self._positions:
            self._positions = {name: position for position, name in enumerate(self.ids)}
        position = self._positions.get(picture)
        if position is None:
            return None
        try:
            return self.digest(position) or self.sample(position).digest()
        except PictureError:
            return None

    def absent(self, pictures: Sequence[str]) -> list[str]:
        """Those of some ids that name no picture of the input, whatever limit there is."""
        return [] if self.limit is not None else sorted(set(pictures) - set(self.ids))

    def __len__(self) -> int:
        """Number of pictures to be served."""
        return len(self.order)

    def mask_picture(
        self,
        position: int,
        image: np.ndarray,
        masks: MaskProvider,
        variant: MaskVariant,
        resolution: int,
        label: int,
        *,
        fit: Fit = "resize",
        invert: bool = False,
        name: str | None = None,
        info: PictureInfo | None = None,
        load: Load | None = None,
    ) -> Sample:
        """Put a picture, uint8 (H, W, 3), and its mask together at the generator's resolution.

        Args:
            position: of the picture.
            image: the picture.
            masks: where its mask comes from.
            variant: which mask.
            resolution: of the generator.
            label: class index, -1 = unknown.
            fit: how it is fitted.
            invert: take black for fill.
            name: for messages.
            info: profile, EXIF and resolution of its file.
            load: reads picture and full mask again, for originals too large to be kept.

        Raises:
            PictureError: if the mask cannot be read or has the wrong size.
        """
        mask = masks.load(variant, self.ids[position], resolution)
        if invert:
            mask = np.uint8(255) - mask
        title = f"its mask {variant.file}" if variant.file else "its mask"
        name = name or self.ids[position]
        parts = fit_picture(image, mask, resolution, fit, name=name, mask_name=title, info=info)
        notes = inspect_mask(mask, parts, drawn_by_hand=masks.from_files, fit=fit)

        def sample(part: Fitted, number: int) -> Sample:
            source = part.source
            if source is not None and load is not None and image.shape[0] * image.shape[1] > _KEPT:
                source = LateOriginal(source, load)
            other = f"{PART}{number}" if number > 1 else ""
            return Sample(
                self.ids[position] + other, position, part.image, part.mask, label, source
            )

        samples = [sample(part, number) for number, part in enumerate(parts, 1)]
        return replace(samples[0], notes=notes, others=tuple(samples[1:]))

    def keep_shard(self, shard: str | None) -> None:
        """Serve part k of n only, for a shard written `k/n`: every n-th picture from the k-th.

        Raises:
            UserError: if it is not two whole numbers with 1 <= k <= n.
        """
        if shard is None:
            return
        part, _, parts = shard.partition("/")
        if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
            raise ArgumentError(
                f"`shard` is {shard!r}, and must be like 3/16, from 1/16 to 16/16.", "data"
            )
        self.order = self.order[int(part) - 1 :: int(parts)]
        self.whole = len(self.order)

    def begin(self, ids: Sequence[str], skipped: Sequence[tuple[str, str]] = ()) -> None:
        """Start over with these pictures (a subclass's `setup` ends with it)."""
        self.ids = list(ids)
        self._positions.clear()
        self.order = list(range(len(self.ids)))
        self.whole = len(self.order)
        self.skipped = list(skipped)
        self.notes = []
        if skipped:
            rank_zero_warn(f"left out {len(skipped)} of the pictures, the first: {skipped[0][1]}")

    def leave_out(self, ids: Container[str]) -> int:
        """Serve all but these pictures, as when resuming; returns how many are left."""
        self.order = [position for position in self.order if self.ids[position] not in ids]
        return len(self.order)

    def predict_dataloader(self) -> DataLoader[Sample | Skipped]:
        """The pictures in order; see `collate` for the batches.

        Raises:
            UserError: if there are fewer pictures than devices.
        """
        world, rank = 1, 0
        if self.trainer is not None:
            world, rank = self.trainer.world_size, self.trainer.global_rank
        if 0 < self.whole < world:
            raise ArgumentError(
                f"{self.whole} pictures cannot be shared by {world} devices: "
                f"pass `trainer.devices` {self.whole} or fewer.",
                "data",
            )
        block = self.block_size(world)
        self._say_ahead()
        return DataLoader(
            self.served(),
            batch_size=block,
            sampler=BlockSampler(self.order, block, world, rank),
            num_workers=self.num_workers,
            collate_fn=collate,
        )

    def served(self) -> Dataset[Sample | Skipped]:
        """What the loader draws from: a sample, or a Skipped, for each position in `order`."""
        return _Served(self, self.order)

    def block_size(self, devices: int) -> int:
        """Pictures per batch, the same before and after finished pictures are left out."""
        if self.batch_size == "auto":
            self.batch_size = self._largest_batch()
            rank_zero_info(worded(f"`batch_size=auto`: {self.batch_size} pictures", "data"))
        return block_size(self.whole, self.batch_size, devices)

    def _largest_batch(self) -> int:
        """What fits the trainer's device, where its module is a sampler; else 8."""
        module = getattr(self.trainer, "lightning_module", None)
        if not hasattr(module, "space"):
            return 8
        fitting = largest_batch(module.space, module.chains, self.trainer.strategy.root_device)
        held = most_in_memory(sizes_ahead(range(len(self.ids)), self.original_size), _KEPT)
        return min(fitting, 1 << (held.bit_length() - 1))

    def _say_ahead(self) -> None:
        """Say once, before the job begins, what would be said of many of its pictures."""
        side, fit = getattr(self, "image_size", None), getattr(self, "fit", None)
        if "enlarged" in self._told or side is None or fit is None:
            return
        said = enlarged_ahead(sizes_ahead(self.order, self.original_size), side, fit)
        if said:
            self._told.add("enlarged")
            rank_zero_warn(worded(said, "data"))

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Take `skipped`, `notes` and `digests` out of the batch and keep them.

        Lightning calls this in the main process, so what data-loader workers found arrives here.
        """
        if isinstance(batch, dict):
            for name, said in batch.pop("skipped", ()):
                reason = worded(said, "data")
                self.skipped.append((name, reason))
                warnings.warn(f"skipped {reason}", stacklevel=2)
            self.digests.update(batch.pop("digests", ()))
            for name, kind, said in batch.pop("notes", ()):
                text = worded(said, "data")
                new = all(kind != earlier for _, earlier, _ in self.notes)
                if new and kind not in self._told:
                    warnings.warn(f"{name}: {text}", stacklevel=2)
                self.notes.append((name, kind, text))
        return batch


class _Served(Dataset[Sample | Skipped]):
    """The pictures that a data module serves, as torch knows data sets."""

    def __init__(self, pictures: MaskedPictures, order: list[int]) -> None:
        self.pictures = pictures
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __getstate__(self) -> dict[str, Any]:
        # A worker that is not forked gets a pickle, and the trainer need not come along.
        pictures = copy.copy(self.pictures)
        pictures.trainer = None
        return {"pictures": pictures, "order": self.order}

    def __getitem__(self, item: int) -> Sample | Skipped:
        position = self.order[item]
        try:
            # Before the files are read for good: what changes between shows at the next start.
            digest = self.pictures.digest(position)
            sample = self.pictures.sample(position)
            return replace(sample, sha256=digest or sample.digest())
        except PictureError as error:
            return Skipped(self.pictures.ids[position], str(error))
