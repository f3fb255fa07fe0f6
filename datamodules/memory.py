"""Pictures and masks that are in memory already, or files given one by one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import UserError
from .base import BatchSize, MaskedPictures
from .collate import Sample
from .fitting import Fit
from .listing import number_repeats, safe_id, stem
from .originals import Original
from .pairing import MaskProvider, MaskVariant, PictureKey
from .pictures import read_with_info
from .references import FileRef

__all__ = ["GivenMask", "GivenPictures"]


class GivenMask:
    """A mask in memory, for any picture.

    Args:
        mask: uint8 ``(H, W)``, **255 = fill, 0 = known**.
    """

    from_files = True

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    def variants(self, picture: PictureKey) -> list[MaskVariant]:
        """The one mask."""
        return [MaskVariant()]

    def load(self, variant: MaskVariant, picture_id: str, resolution: int) -> np.ndarray:
        """The mask."""
        return self.mask


class GivenPictures(MaskedPictures):
    """Masked pictures given as arrays or files.

    Args:
        pictures: uint8 arrays ``(H, W, 1 or 3)``, or paths, which are read when their turn comes.
        masks: a provider for each of them (**255 = fill**); :class:`GivenMask`, or a mask by name or file.
        labels: class index of each, -1 = unknown.
        image_size: resolution of the generator in pixels.
        ids: names, which key the random streams; None takes a file's name, or else the position.
        fit: how a picture of another size meets the generator, as in ``FolderMasks``.
        invert_mask: take black for fill instead of white.
        batch_size: pictures completed at the same time.
        seed: of random masks.
    """

    unrecorded = ("pictures", "masks", "labels", "ids")

    def __init__(
        self,
        pictures: Sequence[np.ndarray | str | Path],
        masks: Sequence[MaskProvider],
        labels: Sequence[int],
        image_size: int,
        ids: Sequence[str] | None = None,
        fit: Fit = "resize",
        invert_mask: bool = False,
        batch_size: BatchSize = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, None, seed, 0)
        self.pictures, self.masks, self.labels = pictures, masks, labels
        self.image_size, self.fit, self.invert_mask = image_size, fit, invert_mask
        self.names = ids

    def setup(self, stage: str | None = None) -> None:
        """Give every picture its id."""
        if self.names is not None:
            if len(self.names) != len(self.pictures):
                raise UserError(
                    f"there are {len(self.names)} ids for {len(self.pictures)} pictures."
                )
            if len(set(self.names)) < len(self.pictures):
                raise UserError("id must give each picture a name of its own.")
            self.begin(self.names)
            return
        named = [
            f"{number}" if isinstance(each, np.ndarray) else stem(safe_id(Path(each).name))
            for number, each in enumerate(self.pictures)
        ]
        self.begin(number_repeats(named))

    def sample(self, position: int) -> Sample:
        """Read the picture at a position, if it is a file, and fit it to the generator."""
        picture = self.pictures[position]
        masks, info, load, file = self.masks[position], None, None, None
        key = PictureKey(self.ids[position])
        if not isinstance(picture, np.ndarray):
            file = FileRef(str(picture))
            key = key._replace(file=file)
            picture, info = read_with_info(file)
        variant = masks.variants(key)[0]
        if file is not None:
            options = (self.ids[position], self.image_size, self.fit, self.invert_mask)
            load = Original(file, masks, variant, *options)
        return self.mask_picture(
            position,
            picture,
            masks,
            variant,
            self.image_size,
            self.labels[position],
            fit=self.fit,
            invert=self.invert_mask,
            info=info,
            load=load,
        )
