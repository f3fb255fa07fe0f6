"""Folders, zips and lists in; batches out. Masks: white = fill."""

import json
import os
import pickle
import warnings
import zipfile

import awkward_files as awkward
import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import LightningModule, Trainer

from datamodules import FolderMasks
from lightning_inpaint.errors import UserError


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


@pytest.fixture
def folder(tmp_path):
    """Three pictures, two of them in folders named after classes."""
    root = tmp_path / "in"
    for seed, name in enumerate(["a.png", "cat/1.png", "Ship/deep/2.png"]):
        write(root / name, picture(seed))
    return root


@pytest.fixture
def masks(tmp_path):
    root = tmp_path / "masks"
    write(root / "a.png", mask(8))
    write(root / "cat/1_mask001.png", mask(16))
    write(root / "cat/1_mask002.png", mask(24))
    write(root / "Ship/deep/2_mask.png", mask(31))
    return root


def zipped(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


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


# --- lists


def test_csv(folder, masks, tmp_path):
    (tmp_path / "list.csv").write_text(
        "image,mask,label\n"
        "in/cat/1.png,masks/a.png,dog\n"
        "in/a.png,,\n"
        f"{folder / 'a.png'},center:0.25,9\n"
        "\n"
        "in/gone.png,,\n"
        "in/a.png,gone_mask.png,\n",
        encoding="utf-8",
    )
    data = loaded(tmp_path / "list.csv", masks="left_half", label="frog")
    (batch,) = data.predict_dataloader()
    assert batch["id"] == ["in/cat/1", "in/a_png", "in/a_png~2"]
    assert batch["label"].tolist() == [5, 6, 9]
    np.testing.assert_array_equal(batch["mask"][0, 0], mask(8) / 255)
    np.testing.assert_array_equal(batch["mask"][1, 0], 1 - mask(16) / 255)
    assert batch["mask"][2].sum() == 64
    assert [name for name, _ in batch["skipped"]] == ["in/gone", "in/a_png~3"]
    assert all("no such file" in reason for _, reason in batch["skipped"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "in/a.png\nin/cat/1.png\n"),
        ("l.csv", "\ufeffimage\r\nin/a.png\r\nin/cat/1.png\r\n"),
        ("l.csv", 'label,image\n,"in/a.png"\n,in/cat/1.png\n'),
        ("l.tsv", "image\tmask\nin/a.png\t\nin/cat/1.png\tright_half\n"),
        ("l.txt", "in/a.png\n\nin/cat/1.png"),
        ("l.jsonl", '{"image": "in/a.png"}\n{"image": "in/cat/1.png", "label": null}\n'),
    ],
)
def test_forms_of_lists(folder, tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert list(samples(tmp_path / name)) == ["in/a", "in/cat/1"]


def test_a_list_gives_what_its_folder_gives(folder):
    """So that a folder can be cut into lists, for array jobs."""
    plain = samples(folder, "strokes")
    (folder / "list.txt").write_text("a.png\ncat/1.png\nShip/deep/2.png\n")
    listed = samples(folder / "list.txt", "strokes")
    assert {name: item.label for name, item in listed.items()} == {
        name: item.label for name, item in plain.items()
    }
    for name, item in listed.items():
        np.testing.assert_array_equal(item.mask, plain[name].mask)
    (folder / "list.csv").write_text("image,label\ncat/1.png,-1\n")
    assert samples(folder / "list.csv")["cat/1"].label == -1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.csv", "image,label\na.png,sheep\n", r"l\.csv:2: unknown class 'sheep'"),
        ("l.csv", "image,label\na.png,10\n", r"l\.csv:2: class 10"),
        ("l.csv", "image,label\n,cat\n", r"l\.csv:2: there is no image"),
        ("l.csv", "image,label\n", r"l\.csv: the list is empty"),
        ("l.jsonl", '{"image": "a.png"}\n{"image": \n', r"l\.jsonl:2: not a line of JSON"),
        ("l.jsonl", "[1, 2]\n", r"l\.jsonl:1: expected an object"),
        ("l.jsonl", '{"mask": "a.png"}\n', r"l\.jsonl:1: there is no image"),
    ],
)
def test_wrong_lists_name_the_line(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        loaded(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_names_that_no_file_can_have(folder, tmp_path):
    (tmp_path / "l.jsonl").write_text(
        '{"image": "in/a.png"}\n{"image": "a\\u0000.png"}\n{"image": "\\ud800.png"}\n'
    )
    (batch,) = loaded(tmp_path / "l.jsonl").predict_dataloader()
    assert batch["id"] == ["in/a"]
    assert [name for name, _ in batch["skipped"]] == ["a%00", "%ED%A0%80"]
    assert all(reason.isprintable() for _, reason in batch["skipped"])


def test_a_list_that_is_not_text(tmp_path):
    (tmp_path / "l.csv").write_bytes(b"\xff\xfe\x00image")
    with pytest.raises(UserError, match="not UTF-8"):
        loaded(tmp_path / "l.csv")


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
        ({"shard": "0/4"}, r"--data\.shard"),
        ({"shard": "2"}, r"--data\.shard"),
        ({"fit": "stretch"}, r"--data\.fit"),
        ({"limit": 0}, r"--data\.limit"),
        ({"batch_size": -1}, r"--data\.batch_size"),
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


# --- awkward files


@pytest.fixture(scope="module")
def awkward_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("awkward")
    awkward.build(root)
    return root


def all_batches(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.setup("predict")
        return [data.on_before_batch_transfer(b, 0) for b in data.predict_dataloader()]


def test_awkward_folder_gives_a_picture_or_a_line_for_each(awkward_folder):
    data = FolderMasks(str(awkward_folder), batch_size=7)
    batches = all_batches(data)
    ids = [name for batch in batches for name in batch["id"]]
    # besides the table: a link to a picture and a name that is not UTF-8
    assert len(ids) == len(awkward.GOOD) + 2
    # besides the table: an empty folder called x.png, a broken link and a pipe
    assert len(data.skipped) == len(awkward.BAD) + 3
    assert sum(len(batch["image"]) for batch in batches) == len(ids)
    for _, reason in data.skipped:
        assert reason.isprintable()
        assert str(awkward_folder) in reason
    sources = [source for batch in batches for source in batch["source"] if source is not None]
    assert all(source.path.isprintable() for source in sources)


def test_awkward_ids_make_distinct_harmless_file_names(awkward_folder):
    data = loaded(awkward_folder)
    assert len({name.casefold() for name in data.ids}) == len(data.ids)
    for name in data.ids:
        name.encode()  # no lone surrogates
        assert name.isprintable()
        parts = name.split("/")
        assert all(part not in ("", ".", "..") for part in parts)
    assert {"sub/deep/er", "sub_deep/er", "folder_png/inside"} <= set(data.ids)
    assert {"same_png~2", "same_bmp", "SAME_png", "Grüße 猫 🐈"} <= set(data.ids)


def test_awkward_zip(awkward_folder, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, (content, *_) in {**awkward.GOOD, **awkward.BAD}.items():
            archive.writestr(name, content)
        archive.writestr("../../evil.png", awkward.PNG)
        archive.writestr("/absolute.png", awkward.PNG)
        archive.writestr("windows\\style.png", awkward.PNG)
        archive.writestr("__MACOSX/._rgb.png", b"resource fork")
    data = FolderMasks(str(path))
    ids = [name for batch in all_batches(data) for name in batch["id"]]
    assert len(ids) == len(awkward.GOOD) + 1
    assert "windows/style" in ids
    assert len(data.skipped) == len(awkward.BAD) + 2
    assert {"evil.png", "absolute.png"} <= {name for name, _ in data.skipped}


def test_an_encrypted_zip_member_is_left_out(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", awkward.PNG)
    data = bytearray(path.read_bytes())
    data[6] |= 1  # flag bit 0: encrypted, in both headers
    data[data.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    module = FolderMasks(str(path))
    (batch,) = all_batches(module)
    assert batch["id"] == []
    assert "encrypted" in module.skipped[0][1]


def test_an_unreadable_sub_folder_is_listed(folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("cat"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.warns(UserWarning, match="left out"):
        data = loaded(folder)
    assert data.ids == ["Ship/deep/2", "a"]
    assert "cannot be read: Permission denied" in data.skipped[0][1]


def test_input_that_vanishes_is_listed(folder):
    data = loaded(folder)
    (folder / "a.png").unlink()
    (batch,) = data.predict_dataloader()
    assert batch["id"] == ["Ship/deep/2", "cat/1"]
    assert "no such file" in batch["skipped"][0][1]


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
    assert sum("--data.invert_mask" in text for text in texts) == 1  # once, not for each picture


def test_a_loader_for_workers_that_are_not_forked(folder):
    data = loaded(folder)
    data.trainer = object()  # stands for what must not travel
    served = pickle.loads(pickle.dumps(FolderMasks.served(data)))
    assert served.pictures.trainer is None
    assert served[0].id == "Ship/deep/2"


def test_json_list_with_classes_of_another_generator(folder, tmp_path):
    path = tmp_path / "l.jsonl"
    path.write_text(json.dumps({"image": "in/a.png", "label": "tabby"}))
    assert samples(path, class_names=["hound", "Tabby"])["in/a"].label == 1
    assert samples(folder, class_names=["hound", "cat"])["cat/1"].label == 1
