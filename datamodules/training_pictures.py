"""Pictures to train a generator on: a folder, a zip, or CIFAR-10, held in memory as uint8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from ..errors import ArgumentError, UserError
from .labels import CIFAR10_CLASSES
from .listing import list_pictures
from .pictures import read_picture
from .references import FileRef

__all__ = ["Pictures", "TrainingBatches", "TrainingPictures", "read_cifar"]


class Pictures(NamedTuple):
    """uint8 (N, 3, H, W), labels int64 (N,), names of the classes (empty = unconditional)."""

    image: Tensor
    label: Tensor
    class_names: tuple[str, ...]


class TrainingBatches(IterableDataset[dict[str, Tensor]]):
    """Batch k as a pure function of seed and k, so that a resumed run goes on exactly.

    Each epoch is a permutation of the pictures without its last incomplete batch. Mirroring is
    drawn in one epoch and reversed in the next, so that two epochs show every picture and its
    mirror image once (Jordan 2024, arXiv:2404.00498). Several devices take rows of the joint batch.

    Args:
        pictures: the pictures and labels.
        batch_size: of the joint batch of all devices.
        mirror: show pictures as they are and mirrored, half and half.
        seed: of order and mirroring.
        served: gives the number of batches consumed so far, asked for whenever an epoch begins.
        rank, world: which rows to take: the rank-th of ``world`` equal parts.
    """

    def __init__(
        self,
        pictures: Pictures,
        batch_size: int,
        mirror: bool,
        seed: int,
        served: Callable[[], int] = lambda: 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.pictures, self.batch_size, self.mirror = pictures, batch_size, mirror
        self.seed, self.served, self.rank, self.world = seed, served, rank, world

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.pictures.image) // self.batch_size

    def plan(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Order of the pictures and whether each is mirrored, both (N,)."""
        count = len(self.pictures.image)
        order = torch.randperm(
            count, generator=torch.Generator().manual_seed(2**20 * self.seed + epoch)
        )
        draw = torch.Generator().manual_seed(2**20 * self.seed + 2**19 + epoch // 2)
        mirrored = (torch.rand(count, generator=draw) < 0.5) ^ bool(epoch % 2)
        return order, mirrored & self.mirror

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """The rest of the epoch that the next batch lies in."""
        epoch, start = divmod(self.served(), len(self))
        order, mirrored = self.plan(epoch)
        part = self.batch_size // self.world
        for k in range(start, len(self)):
            begin = k * self.batch_size + self.rank * part
            rows = order[begin : begin + part]
            image = self.pictures.image[rows]
            chosen = mirrored[rows].view(-1, 1, 1, 1)
            yield {
                "image": torch.where(chosen, image.flip(3), image),
                "label": self.pictures.label[rows],
                "index": rows + len(order) * mirrored[rows],
            }


class TrainingPictures(pl.LightningDataModule):
    """Pictures of a folder, a zip or CIFAR-10 as training batches.

    Classes are the sub-folders that hold pictures; pictures in no sub-folder make an unconditional
    set. Grey pictures become RGB and transparent ones are put over white.

    Args:
        path: Folder or zip of pictures; null for CIFAR-10 through torchvision.
        root: Folder of CIFAR-10 (`cifar-10-batches-py`), where `path` is null.
        download: Download CIFAR-10 (163 MB) if it is not there.
        resolution: Pixels per side.
        resize: Crop pictures of another size to a square and scale them; without, they are errors.
        conditional: Use the sub-folders as classes.
        batch_size: Pictures per step, over all devices together.
        mirror: Show each picture mirrored as often as not.
        limit: Take only this many pictures of each class, from the first; null for all.
        seed: Seed of order and mirroring.
    """

    def __init__(
        self,
        path: str | None = None,
        root: str = "data",
        download: bool = False,
        resolution: int = 32,
        resize: bool = False,
        conditional: bool = True,
        batch_size: int = 64,
        mirror: bool = True,
        limit: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if resolution < 8 or resolution & (resolution - 1):
            raise ArgumentError(
                f"The resolution is {resolution}, and must be a power of two from 8 on: pass "
                "another `model.resolution`.",
                "data",
            )
        if batch_size < 1:
            raise ArgumentError(f"`batch_size` is {batch_size}, and must be at least 1.", "data")
        self.path, self.root, self.download = path, root, download
        self.resolution, self.resize, self.conditional = resolution, resize, conditional
        self.batch_size, self.mirror, self.limit, self.seed = batch_size, mirror, limit, seed
        self.served = 0
        self._pictures: Pictures | None = None

    @property
    def pictures(self) -> Pictures:
        """All pictures, read on first use.

        Raises:
            UserError: no pictures, a damaged one, one of another size, an empty class.
        """
        if self._pictures is None:
            self._pictures = self._read()
            if not self.conditional:
                self._pictures = self._pictures._replace(class_names=())
        return self._pictures

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; empty for an unconditional set."""
        return self.pictures.class_names

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 for an unconditional set."""
        return len(self.class_names)

    def setup(self, stage: str | None = None) -> None:
        """Read the pictures; see :attr:`pictures` for what may be wrong with them."""
        count = len(self.pictures.image)
        if count < self.batch_size:
            raise ArgumentError(
                f"{self.path or self.root}: {count} pictures do not fill one batch: pass "
                f"`batch_size` {count} or less.",
                "data",
            )

    def train_dataloader(self) -> DataLoader[Any]:
        """One epoch of batches {image uint8 (N, 3, H, W), label (N,), index (N,)}.

        ``index`` numbers a picture and its mirror image apart, so that features can be kept.
        """
        world = self.trainer.world_size if self.trainer else 1
        rank = self.trainer.global_rank if self.trainer else 0
        if self.batch_size % world:
            raise ArgumentError(
                f"`batch_size` is {self.batch_size}, and must be a multiple of the "
                f"{world} devices.",
                "data",
            )
        batches = TrainingBatches(
            self.pictures,
            self.batch_size,
            self.mirror,
            self.seed,
            lambda: self.served,
            rank,
            world,
        )
        device = self.trainer.strategy.root_device.type if self.trainer else "cpu"
        # From pinned memory the copy to a GPU does not wait for the work queued there.
        return DataLoader(batches, batch_size=None, pin_memory=device == "cuda")

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Count the batches that reached the model, for resuming."""
        if self.trainer and self.trainer.training:
            self.served += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """How many batches were served; kept in Lightning's checkpoints."""
        return {"served": self.served}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the batches of ``state_dict``."""
        self.served = state_dict["served"]

    def _read(self) -> Pictures:
        return self._read_files(Path(self.path)) if self.path else self._read_cifar()

    def _read_files(self, path: Path) -> Pictures:
        listing = list_pictures(path, "path")
        if listing.skipped:
            raise UserError(f"{path}: {listing.skipped[0][1]}")
        if not listing.files:
            raise UserError(f"{path}: there are no pictures in it to train on.")
        classes = [PurePosixPath(name).parent.name for name, _ in listing.files]
        names = tuple(sorted(set(classes)))
        conditional = self.conditional and len(names) > 1
        if conditional and "" in names:
            loose = listing.files[classes.index("")][0]
            raise ArgumentError(
                f"{path}: {loose} lies outside the class folders: move it into one, or pass "
                "`conditional=False`.",
                "data",
            )
        if conditional:
            _refuse_empty_classes(path, names)
        kept = _first_of_each(classes, self.limit)
        images = np.stack([self._picture(listing.files[i][1]) for i in kept])
        labels = [names.index(classes[i]) if conditional else 0 for i in kept]
        image = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        return Pictures(image, torch.tensor(labels), names if conditional else ())

    def _picture(self, file: FileRef) -> np.ndarray:
        picture = read_picture(file)
        height, width = picture.shape[:2]
        side = self.resolution
        if (height, width) == (side, side):
            return picture
        if not self.resize:
            raise ArgumentError(
                f"{file}: the picture is {width}x{height} pixels and the resolution is {side}x{side}: "
                "pass `resize=True` to crop pictures to a square and scale them.",
                "data",
            )
        fitted = ImageOps.fit(Image.fromarray(picture), (side, side), Image.Resampling.LANCZOS)
        return np.asarray(fitted)

    def _read_cifar(self) -> Pictures:
        if self.resolution != 32:
            raise ArgumentError(
                f"The resolution is {self.resolution}, and CIFAR-10 has 32x32 pictures: pass `path` "
                "with a folder or zip of your own.",
                "data",
            )
        whole = read_cifar(self.root, self.download)
        kept = _first_of_each([str(k) for k in whole.label.tolist()], self.limit)
        return Pictures(whole.image[kept], whole.label[kept], whole.class_names)


def read_cifar(root: str, download: bool = False, train: bool = True) -> Pictures:
    """CIFAR-10's 50,000 training or 10,000 test pictures.

    Args:
        root: folder that holds `cifar-10-batches-py`.
        download: fetch it (163 MB) if it is not there.
        train: the training pictures, not the test pictures.

    Raises:
        UserError: it is not there, or cannot be downloaded.
    """
    from torchvision.datasets import CIFAR10  # a second to load, and not always needed

    try:
        data = CIFAR10(root, train=train, download=download)
    except RuntimeError:
        raise ArgumentError(
            f"{root}: CIFAR-10 is not there, or damaged: pass `download=True` to "
            "download it (163 MB), or `path` with a folder or zip of pictures.",
            "data",
        ) from None
    except OSError as error:
        raise UserError(f"CIFAR-10 could not be downloaded to {root}: {error}.") from None
    image = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
    return Pictures(image, torch.tensor(data.targets), CIFAR10_CLASSES)


def _refuse_empty_classes(path: Path, names: tuple[str, ...]) -> None:
    """A class folder with no pictures is more often a mistake than meant."""
    if not path.is_dir():
        return
    for folder in sorted(path.iterdir()):
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in names:
            holds = any(part in names for part in (p.name for p in folder.rglob("*") if p.is_dir()))
            if not holds:
                raise UserError(
                    f"{folder}: the class has no pictures: add some, or remove the folder."
                )


def _first_of_each(classes: list[str], limit: int | None) -> list[int]:
    """Positions of the first ``limit`` members of each class, in order."""
    if limit is None:
        return list(range(len(classes)))
    counts: dict[str, int] = {}
    kept = []
    for position, name in enumerate(classes):
        counts[name] = counts.get(name, 0) + 1
        if counts[name] <= limit:
            kept.append(position)
    return kept
