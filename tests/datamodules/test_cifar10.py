"""CIFAR-10 through torchvision, on a tiny forgery of its files."""

import hashlib
import pickle

import numpy as np
import pytest
import torch

from lightning_inpaint.datamodules import CIFAR10Masks
from lightning_inpaint.errors import UserError

torchvision = pytest.importorskip("torchvision")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Six pictures laid out as torchvision expects, with checksums to match."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)

    def write(name, content):
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    pixels = rng.integers(0, 256, (6, 3072), dtype=np.uint8)
    batch = {"data": pixels, "labels": [3, 8, 8, 0, 6, 1]}
    meta = write("batches.meta", {"label_names": list("abcdefghij")})
    cifar = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cifar, "test_list", [write("test_batch", batch)])
    monkeypatch.setattr(cifar, "train_list", [write("data_batch_1", batch)])
    entry = {"filename": meta[0], "key": "label_names", "md5": meta[1]}
    monkeypatch.setattr(cifar, "meta", entry)
    return tmp_path, pixels.reshape(6, 3, 32, 32)


def test_pictures_labels_and_ids(root):
    path, pixels = root
    data = CIFAR10Masks(str(path), batch_size=4)
    data.prepare_data()
    data.setup("predict")
    first, second = data.predict_dataloader()
    assert torch.equal(torch.cat([first["image"], second["image"]]), torch.from_numpy(pixels))
    assert first["label"].tolist() + second["label"].tolist() == [3, 8, 8, 0, 6, 1]
    assert first["id"] == ["test/00000", "test/00001", "test/00002", "test/00003"]
    assert second["index"] == [4, 5]
    assert first["mask"][:, :, :, 16:].min() == 1
    assert first["mask"][:, :, :, :16].max() == 0


def test_masks_do_not_depend_on_the_batch(root):
    def masks(**options):
        data = CIFAR10Masks(str(root[0]), masks="random_box", **options)
        data.setup()
        return torch.cat([batch["mask"] for batch in data.predict_dataloader()])

    everything = masks()
    assert torch.equal(masks(batch_size=1), everything)
    assert torch.equal(masks(limit=2), everything[:2])
    assert not torch.equal(masks(split="train"), everything)
    assert torch.equal(masks(invert_mask=True), 1 - everything)


def test_a_larger_generator(root):
    data = CIFAR10Masks(str(root[0]), image_size=64, limit=1)
    data.setup()
    (batch,) = data.predict_dataloader()
    assert batch["image"].shape == (1, 3, 64, 64)
    assert batch["source"][0].image.shape == (32, 32, 3)


def test_missing_data_says_how_to_get_it(tmp_path):
    data = CIFAR10Masks(str(tmp_path))
    data.prepare_data()
    with pytest.raises(UserError, match="`download=True`"):
        data.setup()


def test_wrong_split():
    with pytest.raises(UserError, match="`split`"):
        CIFAR10Masks(split="validation")
