"""What all data modules of masked pictures share: options, checks, the data loader, the skipped."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Container, Sequence
from typing import Any

from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from datamodules.collate import Sample, Skipped, collate
from datamodules.pictures import PictureError
from lightning_inpaint.errors import UserError

__all__ = ["MaskedPictures"]


class MaskedPictures(LightningDataModule):
    """Base class: a fixed sequence of masked pictures, served to `Trainer.predict` in order.

    A subclass fills `self.ids` in `setup` and makes one picture in `sample`. A picture that raises
    PictureError there does not stop the job: it is left out of its batch and listed in `skipped`.

    Attributes:
        ids: the id of each picture of the data set, known after `setup`.
        order: positions in `ids` that the loader serves, in this order.
        skipped: (id, one-line reason) of the pictures left out so far, on this process.
        notes: (id, kind, sentence) of what deserved a warning so far, on this process.
    """

    def __init__(
        self, batch_size: int = 8, limit: int | None = None, seed: int = 0, num_workers: int = 0
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise UserError(f"--data.batch_size is {batch_size}, and must be at least 1.")
        if limit is not None and limit < 1:
            raise UserError(
                f"--data.limit is {limit}, and must be at least 1 (or null for no limit)."
            )
        if num_workers < 0:
            raise UserError(f"--data.num_workers is {num_workers}, and must be at least 0.")
        self.batch_size = batch_size
        self.limit = limit
        self.seed = seed
        self.num_workers = num_workers
        self.ids: list[str] = []
        self.order: list[int] = []
        self.skipped: list[tuple[str, str]] = []
        self.notes: list[tuple[str, str, str]] = []

    @abstractmethod
    def sample(self, position: int) -> Sample:
        """Make the picture at a position of `ids`; PictureError if that cannot be done."""

    def __len__(self) -> int:
        """Number of pictures to be served."""
        return len(self.order)

    def begin(self, ids: Sequence[str], skipped: Sequence[tuple[str, str]] = ()) -> None:
        """Start over with these pictures (a subclass's `setup` ends with it)."""
        self.ids = list(ids)
        self.order = list(range(len(self.ids)))
        self.skipped = list(skipped)
        self.notes = []

    def leave_out(self, ids: Container[str]) -> int:
        """Serve all but these pictures, as when resuming; returns how many are left."""
        self.order = [position for position in self.order if self.ids[position] not in ids]
        return len(self.order)

    def predict_dataloader(self) -> DataLoader[Sample | Skipped]:
        """The pictures in order; see `collate` for the batches.

        Raises:
            UserError: if there are fewer pictures than devices.
        """
        world = self.trainer.world_size if self.trainer is not None else 1
        if 0 < len(self) < world:
            raise UserError(
                f"{len(self)} pictures cannot be shared by {world} devices: "
                f"pass --trainer.devices {len(self)} or fewer."
            )
        return DataLoader(
            _Served(self, self.order),
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            collate_fn=collate,
        )

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Take `skipped` and `notes` out of the batch and keep them.

        Lightning calls this in the training process, so that it sees what data-loader workers found.
        """
        if isinstance(batch, dict):
            for name, reason in batch.pop("skipped", ()):
                self.skipped.append((name, reason))
                warnings.warn(f"skipped {reason}", stacklevel=2)
            for name, kind, text in batch.pop("notes", ()):
                if all(kind != earlier for _, earlier, _ in self.notes):
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

    def __getitem__(self, item: int) -> Sample | Skipped:
        position = self.order[item]
        try:
            return self.pictures.sample(position)
        except PictureError as error:
            return Skipped(self.pictures.ids[position], str(error))
