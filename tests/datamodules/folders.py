"""Made-up folders of pictures and masks. Masks: white = fill."""

import zipfile

import numpy as np
from PIL import Image

from lightning_inpaint.datamodules import FolderMasks


def picture(seed=0, size=(32, 32)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def mask(column, size=(32, 32)):
    """White from a column on."""
    array = np.zeros(size, np.uint8)
    array[:, column:] = 255
    return array


def loaded(images, masks="right_half", **options):
    data = FolderMasks(str(images), str(masks), **options)
    data.setup("predict")
    return data


def samples(images, masks="right_half", **options):
    data = loaded(images, masks, **options)
    return {data.ids[i]: data.sample(i) for i in data.order}


def zipped(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path
