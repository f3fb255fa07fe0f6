"""Files per picture: what is in them, where they lie, and that they appear whole."""

import errno
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from lightning_inpaint.callbacks import CompletionWriter, UncertaintyMaps, WalkAnimation
from lightning_inpaint.callbacks.explaining import write_bytes
from lightning_inpaint.callbacks.imaging import masked_picture, split_masked
from lightning_inpaint.callbacks.layout import OutputFolder
from lightning_inpaint.callbacks.records import diversity
from lightning_inpaint.errors import UserError
from tests.callbacks.made_up import Pictures, collate, files_below


@pytest.fixture
def picture():
    """Pixels of a file of the output folder."""
    return lambda path: np.array(Image.open(path))


def test_one_file_each_in_mirrored_folders(tmp_path, predict):
    predict([CompletionWriter(str(tmp_path))], names=["a", "cat/c"])
    expected = [
        f"{kind}/{name}" for name in ("a", "cat/c") for kind in ("composites", "inputs", "raw")
    ]
    expected = [f"{name}.png" for name in expected] + ["records/a.json", "records/cat/c.json"]
    assert files_below(tmp_path) == sorted([*expected, "run.json"])


def test_several_chains_are_numbered_from_the_best(tmp_path, predict, made_up):
    predict([CompletionWriter(str(tmp_path))], module=made_up(chains=2), names=["a"])
    assert files_below(tmp_path / "raw") == ["a_c01.png", "a_c02.png"]
    record = json.loads((tmp_path / "records/a.json").read_text())
    energies = [each["last_energy"] for each in record["completions"]]
    assert energies == sorted(energies)
    assert [each["raw"] for each in record["completions"]] == ["raw/a_c01.png", "raw/a_c02.png"]


def test_known_pixels_survive_bit_for_bit_at_both_sizes(tmp_path, predict, picture):
    predict([CompletionWriter(str(tmp_path))], names=["large", "small"])
    data = Pictures(["large", "small"], with_sources=True)
    source = data[0]["source"]
    written = picture(tmp_path / "composites/large.png")
    assert written.shape == source.image.shape
    np.testing.assert_array_equal(written[source.mask == 0], source.image[source.mask == 0])
    small = picture(tmp_path / "composites/small.png")
    known = data[1]["mask"][0].numpy() == 0
    np.testing.assert_array_equal(small[known], data[1]["image"].permute(1, 2, 0).numpy()[known])
    np.testing.assert_array_equal(small[~known], picture(tmp_path / "raw/small.png")[~known])


def test_record_suffices_to_redo_the_picture(tmp_path, predict, made_up):
    predict([CompletionWriter(str(tmp_path))], module=made_up(seed=7), names=["a", "b"])
    record = json.loads((tmp_path / "records/b.json").read_text())
    assert (record["id"], record["index"], record["seed"], record["steps"]) == ("b", 1, 7, 30)
    assert record["settings"]["model.seed"] == 7
    assert record["completions"][0]["chain"] == 0
    assert record["completions"][0]["status"] == "ok"
    assert len(record["generator"]) == 64
    assert "torch" in record["versions"]
    assert record["curve"]["steps"][-1] == 30


def test_input_holds_picture_and_mask(tmp_path, predict, picture):
    predict([CompletionWriter(str(tmp_path))], names=["a"])
    item = Pictures(["a"])[0]
    image, mask = split_masked(picture(tmp_path / "inputs/a.png"))
    np.testing.assert_array_equal(image, item["image"].permute(1, 2, 0))
    np.testing.assert_array_equal(mask, item["mask"].permute(1, 2, 0))


@pytest.mark.parametrize("channels", [1, 3])
def test_masked_picture_round_trip_with_soft_masks(channels):
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (channels, 5, 6), generator=generator).byte()
    mask = torch.randint(0, 256, (1, 5, 6), generator=generator) / 255
    back, back_mask = split_masked(masked_picture(image, mask))
    np.testing.assert_array_equal(back, image.permute(1, 2, 0))
    np.testing.assert_allclose(back_mask, mask.permute(1, 2, 0), atol=1e-6)


@pytest.mark.parametrize(("kind", "ending"), [("jpeg", ".jpg"), ("webp", ".webp")])
def test_other_formats(tmp_path, predict, kind, ending):
    predict([CompletionWriter(str(tmp_path), format=kind, quality=80)], names=["a"])
    with Image.open(tmp_path / f"composites/a{ending}") as image:
        assert image.format == kind.upper()


def test_two_runs_write_the_same_bytes(tmp_path, predict, made_up):
    for name in ("one", "two"):
        predict([CompletionWriter(str(tmp_path / name))], module=made_up(chains=2))
    names = files_below(tmp_path / "one")
    assert names == files_below(tmp_path / "two")
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_record_comes_last_whatever_the_order_of_callbacks(tmp_path, predict):
    from pytorch_lightning import Callback

    class Late(Callback):
        records = None

        def on_predict_batch_end(self, trainer, pl_module, outputs, *_):
            self.records = files_below(tmp_path / "records")

    late = Late()
    predict([CompletionWriter(str(tmp_path)), late], names=["a"])
    assert late.records == []


def test_batches_without_pictures_are_passed_over(tmp_path, predict, made_up):
    class Empty(made_up):
        def predict_step(self, batch, batch_idx):
            return None

    predict([CompletionWriter(str(tmp_path))], module=Empty())
    assert files_below(tmp_path) == ["run.json"]


@pytest.mark.parametrize("name", ["../a", "/a", "a//b", "a/./b", "ü" * 125])
def test_an_id_that_cannot_be_a_file_name_is_listed_and_passed_over(
    tmp_path, predict, made_up, name
):
    callbacks = [UncertaintyMaps(), WalkAnimation(), CompletionWriter(str(tmp_path / "out"))]
    trainer = predict(callbacks, module=made_up(chains=2), names=[name, "b"])
    assert {file for file in files_below(tmp_path) if "/b" not in file} == {"out/run.json"}
    assert callbacks[2].result(trainer).skipped == [
        (name, "its name cannot be a file name: rename it")
    ]


def test_the_longest_names_are_written(tmp_path, predict):
    name = "n" * 244
    predict([CompletionWriter(str(tmp_path))], names=[name])
    assert f"raw/{name}.png" in files_below(tmp_path)


@pytest.mark.parametrize("quality", [0, 101])
def test_bad_quality(quality):
    with pytest.raises(UserError, match=f"quality of CompletionWriter is {quality}"):
        CompletionWriter(quality=quality)


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")],
)
def test_a_file_that_cannot_be_written_is_one_sentence_and_leaves_nothing(
    tmp_path, monkeypatch, code, words
):
    def fail(source, target):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match=words) as caught:
        write_bytes(tmp_path / "deep" / "a.png", b"x")
    assert str(tmp_path / "deep" / "a.png") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files_below(tmp_path) == []


def test_a_file_in_place_of_the_folder(tmp_path, predict):
    (tmp_path / "out").write_text("not a folder")
    with pytest.raises(UserError, match="a file is where a folder is needed"):
        predict([CompletionWriter(str(tmp_path / "out"))])


def test_remains_of_a_killed_write_disappear(tmp_path, monkeypatch, predict):
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda source, target: None)  # killed before it
        write_bytes(tmp_path / "raw/cat/a.png", b"half")
    assert len(files_below(tmp_path)) == 1
    (tmp_path / "raw/cat/.mine.tmp").write_text("not ours")
    predict([CompletionWriter(str(tmp_path))], names=["b"])
    hidden = [name for name in files_below(tmp_path) if name.endswith(".tmp")]
    assert hidden == ["raw/cat/.mine.tmp"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "a.png", b"half")
    assert files_below(tmp_path) == []


def test_finished_lists_whole_records_only(tmp_path):
    folder = OutputFolder(tmp_path)
    (tmp_path / "records/cat").mkdir(parents=True)
    for name in ("a.json", "cat/b.b.json", ".c.json.tmp"):
        (tmp_path / "records" / name).write_text("{}")
    assert sorted(folder.recorded()) == ["a", "cat/b.b"]


def test_diversity_counts_the_hole_only():
    raw = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    raw[0, ..., 1] = 255
    raw[1, ..., 0] = 255  # known: does not count
    mask = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    assert diversity(raw, mask) == pytest.approx(2 / 3)
    assert diversity(raw[:1], mask) is None
    assert diversity(raw, torch.zeros_like(mask)) is None


def test_works_with_a_plain_loader_and_several_batches(tmp_path, predict):
    loader = DataLoader(Pictures("abcde"), batch_size=2, collate_fn=collate)
    predict([CompletionWriter(str(tmp_path))], data=loader)
    assert files_below(tmp_path / "raw") == [f"{name}.png" for name in "abcde"]
