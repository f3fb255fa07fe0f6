"""``python cli.py fit`` for real, in this process, on four made-up pictures."""

import errno
import os
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cli
from lightning_inpaint.datamodules.training_pictures import TrainingPictures
from lightning_inpaint.generators import load_generator
from lightning_inpaint.training import GeneratorTraining

NETWORK = {
    "resolution": 8,
    "z_dim": 4,
    "w_dim": 4,
    "channel_base": 32,
    "channel_max": 4,
    "discriminator_base": 32,
}


def picture(mode, side=8, seed=0):
    """A random picture; grey, colour or half transparent."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (side, side, *channels), dtype=np.uint8))


@pytest.fixture
def pictures(tmp_path):
    """Two classes of two pictures, one of them grey and one with transparency."""
    modes = {"ant/0": "RGB", "ant/1": "L", "bee/0": "RGBA", "bee/1": "RGB"}
    for seed, (name, mode) in enumerate(modes.items()):
        path = tmp_path / "in" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(mode, seed=seed).save(path)
    return tmp_path / "in"


def fit(data, out, steps, *words):
    network = [f"--model.{name}={value}" for name, value in NETWORK.items()]
    trainer = {"accelerator": "cpu", "devices": 1, "max_steps": steps, "default_root_dir": out}
    trainer |= {"enable_progress_bar": False, "enable_model_summary": False}
    common = [f"--trainer.{name}={value!s}" for name, value in trainer.items()]
    return cli.main(
        [
            *("fit", "--data.path", str(data), "--data.batch_size", "2"),
            *("--checkpoint.every_n_train_steps", "1"),
            *network,
            *common,
            *words,
        ]
    )


def state(path):
    return torch.load(path, weights_only=True)["state_dict"]


def test_three_steps_and_two_more_after_resuming(pictures, tmp_path):
    out = tmp_path / "run"
    assert fit(pictures, out, 3, "--samples.every_n_steps", "2", "--samples.rows", "2") == 0
    generator = load_generator(str(out / "generator.safetensors"))
    assert generator.class_names == ("ant", "bee")
    drawn = generator(torch.randn(2, 4), torch.tensor([0, 1]))
    assert drawn.shape == (2, 3, 8, 8)
    assert torch.isfinite(drawn).all()
    assert (out / "samples/step0000002.png").is_file()
    last = out / "checkpoints/last.ckpt"
    first = state(last)
    assert (int(first["steps"]), int(first["seen"])) == (3, 6)
    assert fit(pictures, out, 5, "--ckpt_path", str(last)) == 0
    assert int(state(last)["steps"]) == 5


def test_loose_pictures_in_a_zip_make_an_unconditional_generator(pictures, tmp_path, capsys):
    archive = tmp_path / "loose.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for i, path in enumerate(sorted(pictures.rglob("*.png"))):
            file.write(path, f"{i}.png")
    assert fit(archive, tmp_path / "run", 1) == 0
    generator = load_generator(str(tmp_path / "run/generator.safetensors"))
    assert generator.num_classes == 0
    assert generator(torch.randn(1, 4)).shape == (1, 3, 8, 8)
    words = ["--ckpt_path", str(tmp_path / "run/checkpoints/last.ckpt")]
    assert fit(pictures, tmp_path / "other", 2, *words) == 2
    error = capsys.readouterr().err
    assert "made with other settings (num_classes 0 there and 2 here)" in error


def test_grey_and_transparent_pictures_become_rgb(pictures):
    image = TrainingPictures(str(pictures), resolution=8).pictures.image
    assert image.shape == (4, 3, 8, 8)
    grey = np.asarray(Image.open(pictures / "ant/1.png"))
    assert np.array_equal(image[1], np.stack([grey] * 3))
    layers = np.asarray(Image.open(pictures / "bee/0.png")).astype(float)
    alpha = layers[..., 3:] / 255
    over_white = (layers[..., :3] * alpha + 255 * (1 - alpha)).transpose(2, 0, 1)
    assert np.abs(image[2].numpy() - over_white).max() <= 1


def no_pictures(folder):
    for path in folder.rglob("*.png"):
        path.unlink()


def mixed_sizes(folder):
    picture("RGB", 12).save(folder / "bee/1.png")


def an_empty_class(folder):
    (folder / "cow").mkdir()


def a_damaged_picture(folder):
    (folder / "ant/0.png").write_bytes(b"\x89PNG\r\n\x1a\n")


def as_it_is(folder):
    pass


@pytest.mark.parametrize(
    ("change", "words", "text"),
    [
        (no_pictures, [], "there are no pictures in it to train on"),
        (mixed_sizes, [], "bee/1.png: the picture is 12x12 pixels and the resolution is 8x8"),
        (an_empty_class, [], "cow: the class has no pictures"),
        (a_damaged_picture, [], "ant/0.png"),
        (as_it_is, ["--model.resolution", "12"], "12, and must be a power of two from 8 on"),
        (as_it_is, ["--model.augment", "blur"], "unknown augmentation 'blur'"),
        (as_it_is, ["--data.batch_size", "5"], "4 pictures do not fill one batch"),
        (
            as_it_is,
            ["--data.batch_size", "3", "--model.group", "2"],
            "are no multiple of --model.group 2",
        ),
        (as_it_is, ["--data.path", "nowhere"], "nowhere: no such file or folder"),
        (as_it_is, ["--ckpt_path", "gone.ckpt"], "gone.ckpt: there is no such file"),
    ],
)
def test_mistakes_get_one_sentence_and_a_status(pictures, tmp_path, capsys, change, words, text):
    change(pictures)
    assert fit(pictures, tmp_path / "run", 1, *words) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert not list(tmp_path.rglob("*.ckpt"))


def full_disk(monkeypatch, on):
    """Writes of checkpoints fail while ``on`` says so; returns the names that failed."""
    replace, failed = os.replace, []

    def fill(source, target):
        if Path(target).suffix == ".ckpt" and on(Path(target)):
            failed.append(Path(target).name)
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(source, target)

    monkeypatch.setattr(os, "replace", fill)
    return failed


def test_a_full_disk_keeps_the_last_good_checkpoint(pictures, tmp_path, capsys, monkeypatch):
    out, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    failed = full_disk(monkeypatch, lambda path: "step=3" in path.name)
    assert fit(pictures, out, 5) == 2
    error = capsys.readouterr().err
    assert failed
    assert "cannot be written (No space left on device)" in error
    assert "Traceback" not in error
    assert int(state(out / "checkpoints/last.ckpt")["steps"]) == 2
    assert not list(out.rglob("*.tmp"))
    (rescued,) = elsewhere.glob("*.ckpt")
    assert str(rescued) in error
    assert int(state(rescued)["steps"]) == 3


def test_a_damaged_checkpoint_is_one_sentence(pictures, tmp_path, capsys):
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"PK\x03\x04 and no more")
    assert fit(pictures, tmp_path / "run", 1, "--ckpt_path", str(broken)) == 2
    error = capsys.readouterr().err
    assert "broken.ckpt: the file is damaged or no checkpoint of training" in error
    assert "Traceback" not in error


def test_a_signal_ends_training_after_the_step_with_a_checkpoint(
    pictures, tmp_path, capsys, monkeypatch
):
    ended = GeneratorTraining.on_train_batch_end

    def end(module, *args):
        ended(module, *args)
        if module.steps == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(GeneratorTraining, "on_train_batch_end", end)
    before = signal.getsignal(signal.SIGTERM)
    try:
        status = fit(pictures, tmp_path, 100, "--checkpoint.every_n_train_steps", "2")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert status == 128 + signal.SIGTERM
    last = tmp_path / "checkpoints/last.ckpt"
    assert (
        f"SIGTERM: stopped after 3 steps; go on with --ckpt_path {last}" in capsys.readouterr().err
    )
    assert int(state(last)["steps"]) == 3


@pytest.mark.parametrize("guard", ["1", "1000"])
def test_divergence_keeps_the_last_good_checkpoint(pictures, tmp_path, capsys, monkeypatch, guard):
    loss = GeneratorTraining.joint_loss

    def poisoned(module, *args):
        return loss(module, *args) * (float("nan") if module.steps == 2 else 1.0)

    monkeypatch.setattr(GeneratorTraining, "joint_loss", poisoned)
    assert fit(pictures, tmp_path, 5, "--guard.every_n_steps", guard) == 2
    error = capsys.readouterr().err
    last = tmp_path / "checkpoints/last.ckpt"
    assert "Training diverged at step 3" in error
    assert f"not finite; resume with --ckpt_path {last}" in error
    assert int(state(last)["steps"]) == 2


def test_a_full_disk_does_not_stop_training_for_a_picture(pictures, tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lightning_inpaint.callbacks.training.samples.save_image", refuse)
    with pytest.warns(UserWarning, match=r"step0000001\.png: cannot be written \(No space left"):
        assert fit(pictures, tmp_path, 2, "--samples.every_n_steps", "1") == 0
