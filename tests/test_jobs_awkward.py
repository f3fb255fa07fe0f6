"""Jobs on awkward input, and on disks that fail, through the command line."""

import csv
import errno
import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cli
from lightning_inpaint.datamodules.pictures import read_picture
from lightning_inpaint.datamodules.references import FileRef, printable
from lightning_inpaint.generators import save_generator
from tests.datamodules import awkward_files as awkward

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture
def job(tiny_generator, tmp_path):
    """Run ``predict`` on a folder of pictures; returns its exit status."""
    checkpoint = str(save_generator(tiny_generator, tmp_path / "tiny.safetensors", "float32"))
    words = ["--model.generator", checkpoint, "--model.sampler", "seed"]
    words += ["--model.sampler.steps", "2", "--trainer.accelerator", "cpu"]
    words += ["--trainer.enable_progress_bar", "false", "--data", "FolderMasks"]

    def run(images, out, *more):
        where = ["--data.images", str(images), "--output_dir", str(out)]
        return cli.main(["predict", *words, *where, *more])

    return run


@pytest.fixture
def pictures(tmp_path):
    """A folder with four small pictures."""
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(4):
        Image.fromarray(np.roll(awkward.RGB[:8, :8], k, 0)).save(folder / f"{k}.png")
    return folder


def rows_of(out):
    with (out / "energies.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def records_of(out):
    return [json.loads(path.read_text()) for path in (out / "records").rglob("*.json")]


def leftovers(out):
    return [path for path in out.rglob("*") if path.name.startswith(".")]


def test_each_awkward_file_gives_its_picture_or_one_line(job, tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    awkward.build(folder)
    assert job(folder, out, "--data.batch_size", "16") == 1

    expected = {printable(str(folder / name)): name for name in awkward.GOOD}
    records = {record["original"]["path"]: record for record in records_of(out)}
    assert set(expected) <= set(records)
    assert len(records) == len(expected) + 2  # a link to a picture, a name that is not UTF-8
    for path, record in records.items():
        (made,) = record["completions"]
        completed = np.asarray(Image.open(out / made["composite"]))
        name = expected.get(path, "rgb.png")
        given = read_picture(FileRef(str(folder / name)))
        _, right, tolerance = awkward.GOOD[name]
        assert completed.shape == right.shape, name
        known = slice(0, right.shape[1] // 2)
        assert np.array_equal(completed[:, known], given[:, known]), name
        assert np.abs(given.astype(int) - right).max() <= tolerance, name

    skipped = [row for row in rows_of(out) if row["status"].startswith("skipped: ")]
    assert len(skipped) == len(awkward.BAD) + 3  # an empty x.png/, a broken link, a pipe
    for name, (_, reason) in awkward.BAD.items():
        (line,) = (row["status"] for row in skipped if str(folder / name) in row["status"])
        assert re.search(reason, line), name
        assert line.isprintable()
    assert f"{len(skipped)} failed or skipped" in capsys.readouterr().out
    assert not leftovers(out)


def test_masks_of_all_sorts(job, pictures, tmp_path):
    masks, out = tmp_path / "masks", tmp_path / "out"
    masks.mkdir()
    for k, mask in enumerate([np.full((8, 8), 255), np.zeros((8, 8)), np.eye(8) * 255, np.eye(9)]):
        Image.fromarray(mask.astype(np.uint8)).save(masks / f"{k}.png")
    assert job(pictures, out, "--data.masks", str(masks)) == 1
    made = {name: np.asarray(Image.open(out / f"composites/{name}.png")) for name in "012"}
    given = {name: np.asarray(Image.open(pictures / f"{name}.png")) for name in "012"}
    assert not np.array_equal(made["0"], given["0"])
    assert np.array_equal(made["1"], given["1"])
    known = np.eye(8) == 0
    assert np.array_equal(made["2"][known], given["2"][known])
    (bad,) = (row["status"] for row in rows_of(out) if row["id"] == "3")
    assert "has 9 x 9 pixels and must have" in bad


def fails_after(count, code, monkeypatch):
    """Let so many files appear, then every rename fails, as when the disk is full."""
    replace, done = os.replace, []

    def limited(source, target):
        done.append(target)
        if len(done) > count:
            raise OSError(code, os.strerror(code))
        return replace(source, target)

    monkeypatch.setattr(os, "replace", limited)


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")]
)
def test_a_disk_that_fails_loses_nothing(job, pictures, tmp_path, monkeypatch, capsys, code, words):
    out, whole = tmp_path / "out", tmp_path / "whole"
    with monkeypatch.context() as patched:
        fails_after(
            10, code, patched
        )  # run.json, two pictures of four files, one file of the third
        assert job(pictures, out, "--data.batch_size", "2") == 2
    error = capsys.readouterr().err
    assert error.count("error: Cannot write") == 1
    assert words in error
    assert "Traceback" not in error
    assert {record["id"] for record in records_of(out)} == {"0", "1"}
    assert not leftovers(out)
    assert job(pictures, out, "--data.batch_size", "2") == 0
    assert job(pictures, whole, "--data.batch_size", "2") == 0
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert all((out / name).read_bytes() == (whole / name).read_bytes() for name in files)


def test_an_output_folder_that_cannot_be_made(job, pictures, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert job(pictures, tmp_path / "file/out") == 2
    assert "a file is where a folder is needed" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_an_output_folder_without_permission(job, pictures, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    assert job(pictures, out) == 2
    assert "permission is denied" in capsys.readouterr().err


def test_a_folder_of_pictures_that_is_not_there(job, tmp_path, capsys):
    assert job(tmp_path / "in", tmp_path / "out") == 2
    assert f"{tmp_path / 'in'}: no such file or folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_of_pictures_that_vanishes_on_the_way(job, pictures, tmp_path, monkeypatch):
    out, replace = tmp_path / "out", os.replace

    def vanishing(source, target):
        if Path(target).name == "0.json":
            shutil.rmtree(pictures)
        return replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", vanishing)
        assert job(pictures, out, "--data.batch_size", "1") == 1
    before = {path: path.read_bytes() for path in out.glob("*s/*.png")}
    assert {record["id"] for record in records_of(out)} == {"0"}
    lines = [row["status"] for row in rows_of(out) if row["id"] != "0"]
    assert len(lines) == 3
    assert all("no such file" in line for line in lines)
    for k in range(4):  # they come back: what was finished stays, the rest is made up for
        pictures.mkdir(exist_ok=True)
        Image.fromarray(np.roll(awkward.RGB[:8, :8], k, 0)).save(pictures / f"{k}.png")
    assert job(pictures, out, "--data.batch_size", "1") == 0
    assert {record["id"] for record in records_of(out)} == {"0", "1", "2", "3"}
    assert all(path.read_bytes() == data for path, data in before.items())


def test_ctrl_c_in_the_middle_of_a_write(job, pictures, tmp_path, monkeypatch, capsys):
    out, replace, before = tmp_path / "out", os.replace, signal.getsignal(signal.SIGINT)

    def interrupted(source, target):
        if Path(target).name == "2.png":
            os.kill(os.getpid(), signal.SIGINT)
        return replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    assert job(pictures, out, "--overwrite", "true") == 130
    assert signal.getsignal(signal.SIGINT) is before
    error = capsys.readouterr().err
    assert "SIGINT: 2 finished pictures are kept; go on with: lightning-inpaint predict" in error
    assert "--overwrite" not in error
    assert {record["id"] for record in records_of(out)} == {"0", "1"}
    assert not leftovers(out)
