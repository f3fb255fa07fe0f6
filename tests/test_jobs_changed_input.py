"""Pictures, masks and labels that change between two starts, through the command line."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import cli
from lightning_inpaint.generators import save_generator
from tests.callbacks.made_up import files_below

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
RANDOM = np.random.default_rng(0)


def picture(path, value=None, side=8):
    path.parent.mkdir(exist_ok=True)
    array = RANDOM.integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(array if value is None else np.full_like(array, value)).save(path)


@pytest.fixture
def given(tmp_path):
    """Folders of four pictures and their masks."""
    for name in "jklm":
        picture(tmp_path / f"in/{name}.png")
        picture(tmp_path / f"masks/{name}.png", 255)
    return tmp_path


@pytest.fixture
def job(tiny_generator, given):
    """Run ``predict`` on the folders; returns its exit status."""
    checkpoint = str(save_generator(tiny_generator, given / "tiny.safetensors", "float32"))
    words = ["--model.generator", checkpoint, "--model.sampler", "seed", "--data", "FolderMasks"]
    words += ["--model.sampler.steps", "2", "--trainer.accelerator", "cpu"]
    words += ["--trainer.enable_progress_bar", "false", "--data.batch_size", "1"]
    words += ["--data.images", str(given / "in"), "--data.masks", str(given / "masks")]

    def run(out, *more):
        return cli.main(["predict", *words, "--output_dir", str(given / out), *more])

    return run


def contents(root):
    return {name: (root / name).read_bytes() for name in files_below(root)}


def ids(out):
    with (out / "energies.csv").open(newline="") as file:
        return [row["id"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("folder", ["in", "masks"])
def test_a_changed_picture_or_mask_is_done_again_alone(job, given, folder):
    assert job("out") == 0
    before = contents(given / "out")
    picture(given / folder / "k.png", 77 if folder == "in" else 0)
    with pytest.warns(UserWarning, match="1 finished in an earlier start are of pictures, masks"):
        assert job("out") == 0
    assert job("whole") == 0
    after = contents(given / "out")
    aside = {name: after.pop(name) for name in list(after) if name.startswith("set_aside/")}
    assert after == contents(given / "whole")
    assert aside["set_aside/records/k.json"] == before["records/k.json"]
    assert aside["set_aside/composites/k.png"] == before["composites/k.png"]
    assert not [name for name in aside if "/k." not in name]


def test_a_changed_label_is_noticed(job, given):
    for name in "jk":
        (given / "in/ant").mkdir(exist_ok=True)
        shutil.move(given / f"in/{name}.png", given / f"in/ant/{name}.png")
    lines = ["image,label", "in/ant/j.png,ant", "in/ant/k.png,bee"]
    (given / "list.csv").write_text("\n".join(lines))
    words = ["--data.images", str(given / "list.csv"), "--data.masks", "right_half"]
    assert job("out", *words) == 0
    (given / "list.csv").write_text("\n".join(lines).replace("bee", "cow"))
    assert job("out", *words) == 0
    record = json.loads((given / "out/records/in/ant/k.json").read_text())
    assert record["class_name"] == "cow"
    assert files_below(given / "out/set_aside/records") == ["in/ant/k.json"]


def test_removed_and_renamed_pictures_are_set_aside_and_not_counted(job, given):
    assert job("out") == 0
    (given / "in/j.png").unlink()
    shutil.copy(given / "in/m.png", given / "in/m.jpg")  # their ids are m_png and m_jpg now
    shutil.copy(given / "masks/m.png", given / "masks/n.png")
    with pytest.warns(UserWarning, match=r"among the input \(removed or renamed\): j, m;"):
        assert job("out") == 0
    assert ids(given / "out") == ["k", "l", "m_jpg", "m_png"]
    assert not (given / "out/composites/m.png").exists()
    assert (given / "out/set_aside/composites/m.png").exists()


def test_a_limit_removes_nothing(job, given):
    assert job("out") == 0
    before = contents(given / "out")
    assert job("out", "--data.limit", "2") == 0
    assert contents(given / "out") == before


def test_an_input_that_cannot_be_read_any_more_is_noticed(job, given):
    assert job("out") == 0
    (given / "in/k.png").write_bytes(b"")
    assert job("out") == 1
    assert ids(given / "out") == ["j", "l", "m", "k"]
    assert (given / "out/set_aside/composites/k.png").exists()


def test_no_cell_of_the_table_is_a_formula(job, given):
    (given / "in/k.png").rename(given / "in/=1+1.png")
    assert job("out", "--data.masks", "right_half") == 0
    assert ids(given / "out") == ["'=1+1", "j", "l", "m"]
