"""Folders, zips and lists in; batches out. Masks: white = fill."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from folders import loaded, mask, picture, samples, write, zipped
from pytorch_lightning import LightningModule, Trainer

from lightning_inpaint.datamodules import FolderMasks
from lightning_inpaint.errors import UserError


def test_the_batch(folder):
    (batch,) = loaded(folder).predict_dataloader()
    assert batch["id"] == ["Ship/deep/2", "a", "cat/1"]
    assert batch["index"] == [0, 1, 2]
    assert batch["label"].tolist() == [8, -1, 3]
    assert batch["label"].dtype == torch.int64
    assert batch["image"].dtype == torch.uint8
    expected = np.stack([picture(seed) for seed in (2, 0, 1)]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(batch["image"], expected)
    assert batch["mask"].dtype == torch.float32
    np.testing.assert_array_equal(batch["mask"][:, 0], np.stack([mask(16)] * 3) / 255)
    assert batch["source"] == [None] * 3


def test_a_zip_gives_what_its_folder_gives(folder, tmp_path):
    (one,) = loaded(folder, "strokes").predict_dataloader()
    (two,) = loaded(zipped(folder, tmp_path / "in.zip"), "strokes").predict_dataloader()
    assert one["id"] == two["id"]
    for key in ("image", "mask", "label"):
        assert torch.equal(one[key], two[key])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_masks_depend_on_the_picture_alone(folder, batch_size, workers):
    expected = {name: item.mask for name, item in samples(folder, "strokes").items()}
    data = loaded(folder, "strokes", batch_size=batch_size, num_workers=workers)
    for batch in data.predict_dataloader():
        for name, got in zip(batch["id"], batch["mask"], strict=True):
            np.testing.assert_array_equal(got[0], expected[name])


def test_a_single_picture(folder):
    items = samples(folder / "cat/1.png")
    assert list(items) == ["1"]
    assert items["1"].label == 3


def test_a_picture_of_another_size_brings_its_source(tmp_path):
    write(tmp_path / "in/big.png", picture(0, (96, 64)))
    item = samples(tmp_path / "in")["big"]
    assert item.image.shape == (32, 32, 3)
    np.testing.assert_array_equal(item.source.image, picture(0, (96, 64)))
    np.testing.assert_array_equal(item.source.mask, mask(32, (96, 64)))
    assert item.source.box == (0, 0, 64, 96)
    assert samples(tmp_path / "in", fit="crop")["big"].source.box == (0, 16, 64, 80)


# --- masks as files


def columns(items):
    """The first filled column of each mask."""
    return {name: int(np.argmax(item.mask[0] == 1)) for name, item in items.items()}


PAIRS = {"Ship/deep/2_mask": 31, "a": 8, "cat/1_mask001": 16, "cat/1_mask002": 24}


def test_masks_are_paired_by_relative_stem(folder, masks):
    items = samples(folder, masks)
    assert columns(items) == PAIRS
    np.testing.assert_array_equal(items["cat/1_mask001"].image, items["cat/1_mask002"].image)


@pytest.mark.parametrize("image_prefix", ["", "pictures/"])
@pytest.mark.parametrize("mask_prefix", ["", "holes/"])
def test_zips_with_a_folder_around_everything(folder, masks, tmp_path, image_prefix, mask_prefix):
    images = zipped(folder, tmp_path / "i.zip", image_prefix)
    items = samples(images, zipped(masks, tmp_path / "m.zip", mask_prefix))
    assert columns(items) == {image_prefix + name: at for name, at in PAIRS.items()}


def test_masks_beside_the_pictures(folder, masks):
    for file in masks.rglob("*_mask*.png"):
        target = folder / file.relative_to(masks)
        target.write_bytes(file.read_bytes())
    with pytest.warns(UserWarning, match="a: no mask in"):
        data = loaded(folder, folder)
    assert data.ids == [name for name in PAIRS if name != "a"]


def test_masks_below_the_pictures(folder, masks):
    masks.rename(folder / "masks")
    assert columns(samples(folder, folder / "masks")) == PAIRS


def test_one_mask_for_all(folder, masks):
    assert set(columns(samples(folder, masks / "a.png")).values()) == {8}


def test_inverted_and_grey_masks(folder, tmp_path):
    grey = np.arange(1024, dtype=np.uint16).reshape(32, 32).astype(np.uint8)
    write(tmp_path / "m.png", grey)
    straight = samples(folder, tmp_path / "m.png")["a"].mask
    inverted = samples(folder, tmp_path / "m.png", invert_mask=True)["a"].mask
    np.testing.assert_allclose(straight, grey / 255, rtol=0, atol=1e-6)
    np.testing.assert_allclose(straight + inverted, 1, rtol=0, atol=1e-6)


def test_transparency_as_the_hole(tmp_path):
    rgba = np.concatenate([picture(), 255 - mask(20)[..., None]], -1)
    write(tmp_path / "in/a.png", rgba)
    write(tmp_path / "in/b.png", picture())
    data = loaded(tmp_path / "in", "alpha")
    (batch,) = data.predict_dataloader()
    assert batch["id"] == ["a"]
    np.testing.assert_array_equal(batch["mask"][0, 0], mask(20) / 255)
    assert "no transparency" in batch["skipped"][0][1]


def test_a_picture_without_a_mask_is_left_out(folder, masks):
    (masks / "a.png").unlink()
    with pytest.warns(UserWarning, match="left out 1 of the pictures"):
        data = loaded(folder, masks)
    assert "a" not in data.ids
    assert [name for name, _ in data.skipped] == ["a"]
    assert "no mask in" in data.skipped[0][1]


def test_a_mask_of_another_size_is_left_out(folder, masks):
    write(masks / "a.png", mask(8, (20, 20)))
    (batch,) = loaded(folder, masks).predict_dataloader()
    assert "a" not in batch["id"]
    ((name, reason),) = batch["skipped"]
    assert name == "a"
    assert "20 x 20 pixels and must have the picture's 32 x 32" in reason


def test_a_mask_on_the_generators_grid_fits_any_picture(tmp_path):
    write(tmp_path / "in/a.png", picture(0, (64, 64)))
    write(tmp_path / "m.png", mask(8))
    item = samples(tmp_path / "in", tmp_path / "m.png")["a"]
    np.testing.assert_array_equal(item.mask, mask(8) / 255)
    np.testing.assert_array_equal(item.source.mask, mask(16, (64, 64)))


# --- options


def test_limit_and_shards_keep_ids_indices_and_masks(folder):
    whole = samples(folder, "strokes")
    assert list(samples(folder, "strokes", limit=2)) == list(whole)[:2]
    parts = [samples(folder, "strokes", shard=f"{k}/2") for k in (1, 2)]
    assert [list(part) for part in parts] == [list(whole)[::2], list(whole)[1::2]]
    for name, item in {**parts[0], **parts[1]}.items():
        assert item.index == whole[name].index
        np.testing.assert_array_equal(item.mask, whole[name].mask)


def test_leaving_out_finished_pictures(folder):
    data = loaded(folder, batch_size=1)
    assert data.leave_out({"a"}) == 2
    batches = list(data.predict_dataloader())
    assert [batch["id"] for batch in batches] == [["Ship/deep/2"], ["cat/1"]]
    assert [batch["index"] for batch in batches] == [[0], [2]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label": "sheep"}, "unknown class 'sheep'.*did you mean ship"),
        ({"label": 12}, "class 12 is not in 0 to 9"),
        ({"masks": "rigth_half"}, "did you mean right_half"),
        ({"shard": "0/4"}, "`shard`"),
        ({"shard": "2"}, "`shard`"),
        ({"fit": "stretch"}, "`fit`"),
        ({"limit": 0}, "`limit`"),
        ({"batch_size": -1}, "`batch_size`"),
    ],
)
def test_wrong_options_get_one_sentence(folder, options, said):
    with pytest.raises(UserError, match=said) as caught:
        loaded(folder, **options)
    assert "\n" not in str(caught.value)


def test_missing_and_empty_inputs(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.zip").write_bytes(b"PK, but no")
    (tmp_path / "bad.png").write_bytes(b"no mask")
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    for images, masks, said in [
        ("gone", "center", "gone: no such file or folder"),
        ("empty", "center", "empty: holds no pictures"),
        ("empty.zip", "center", "holds no pictures"),
        ("bad.zip", "center", "cannot be opened as a zip"),
        ("in", tmp_path / "empty", "there are no masks in it"),
        ("in", tmp_path / "bad.png", "not a picture"),
        ("in", tmp_path / "gone.png", "neither a file"),
    ]:
        with pytest.raises(UserError, match=said):
            loaded(tmp_path / images, masks)


# --- under Lightning


class Recorder(LightningModule):
    """Remembers its batches."""

    def predict_step(self, batch, batch_idx):
        return batch


@pytest.mark.parametrize("workers", [0, 1])
def test_under_a_plain_trainer(tmp_path, workers):
    for seed in range(3):
        write(tmp_path / f"in/{seed}.png", picture(seed))
    (tmp_path / "in/1.png").write_bytes(b"no picture")
    frame = np.full((32, 32), 255, np.uint8)
    frame[8:24, 8:24] = 0
    write(tmp_path / "m.png", frame)
    data = FolderMasks(
        str(tmp_path / "in"), str(tmp_path / "m.png"), batch_size=1, num_workers=workers
    )
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    with pytest.warns(UserWarning, match="looks inverted") as caught:
        batches = trainer.predict(Recorder(), data)
    assert [batch["id"] for batch in batches] == [["0"], [], ["2"]]
    assert [name for name, _ in data.skipped] == ["1"]
    assert [(name, kind) for name, kind, _ in data.notes] == [("0", "inverted"), ("2", "inverted")]
    assert "skipped" not in batches[0]
    texts = [str(w.message) for w in caught]
    assert sum("1.png: not a picture" in text for text in texts) == 1
    assert sum("`invert_mask=True`" in text for text in texts) == 1  # once, not for each picture


def test_a_loader_for_workers_that_are_not_forked(folder):
    data = loaded(folder)
    data.trainer = object()  # stands for what must not travel
    served = pickle.loads(pickle.dumps(FolderMasks.served(data)))
    assert served.pictures.trainer is None
    assert served[0].id == "Ship/deep/2"
