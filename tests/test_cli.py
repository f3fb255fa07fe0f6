"""The real command line, in this process, on a tiny generator."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

import cli
from lightning_inpaint.commands.names import COMMANDS
from lightning_inpaint.commands.predict import without_overwrite
from lightning_inpaint.generators import save_generator


@pytest.fixture
def checkpoint(tiny_generator, tmp_path):
    return str(save_generator(tiny_generator, tmp_path / "tiny.safetensors", "float32"))


@pytest.fixture
def pictures(tmp_path):
    """Six 8x8 pictures in folders named after classes."""
    random = np.random.default_rng(0)
    for k in range(6):
        path = tmp_path / "in" / ("ant", "bee", "cow")[k % 3] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return tmp_path / "in"


SEED = ["--model.sampler", "seed", "--model.sampler.steps", "6"]


def predict(checkpoint, out, *words):
    common = ["--model.generator", checkpoint, "--output_dir", str(out)]
    devices = ["--trainer.accelerator", "cpu"]
    return cli.main(["predict", *common, *devices, *words])


def table(out):
    with open(out / "energies.csv", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def test_no_arguments_but_the_generator_makes_everything(checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(checkpoint, out, "--data.label", "1", *SEED) == 0
    for name in ("completions.png", "energies.png", "energies.csv", "run.json"):
        assert (out / name).is_file()
    rows = table(out)
    assert len(rows) == 8
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert all(int(row["steps"]) == 6 for row in rows.values())
    assert len(list((out / "composites").glob("*.png"))) == 8
    assert "8 pictures completed" in capsys.readouterr().out


def test_real_pictures_keep_their_known_pixels(checkpoint, pictures, tmp_path):
    out = tmp_path / "out"
    data = ["--data", "FolderMasks", "--data.images", str(pictures), "--data.masks", "left_half"]
    assert predict(checkpoint, out, *data, *SEED) == 0
    for source in pictures.rglob("*.png"):
        name = source.relative_to(pictures)
        given = np.asarray(Image.open(source))
        made = np.asarray(Image.open(out / "composites" / name))
        assert np.array_equal(made[:, 4:], given[:, 4:])
        assert not np.array_equal(made[:, :4], given[:, :4])
    assert table(out)["bee/1"]["label"] in ("1", "bee")


def test_a_second_start_finds_everything_done(checkpoint, pictures, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--data", "FolderMasks", "--data.images", str(pictures), *SEED]
    assert predict(checkpoint, out, *words) == 0
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    record = next((out / "records").rglob("*.json"))
    record.unlink()
    assert predict(checkpoint, out, *words) == 0
    assert {p: p.read_bytes() for p in before if p != record} == {
        p: b for p, b in before.items() if p != record
    }
    capsys.readouterr()
    assert predict(checkpoint, out, *words, "--model.chains", "2") == 2
    assert "model.chains" in capsys.readouterr().err


def test_yaml_and_flags_together(checkpoint, tmp_path):
    config = tmp_path / "job.yaml"
    config.write_text(
        "model:\n  chains: 2\n  sampler:\n    class_path: lightning_inpaint.optim.Diffusion\n"
        "    init_args: {steps: 4, noise_std: 0.3}\n"
        "data:\n  class_path: lightning_inpaint.datamodules.GeneratedMasks\n  init_args: {num: 2, label: 0}\n"
        "trainer:\n  enable_progress_bar: false\n"
    )
    out = tmp_path / "out"
    assert predict(checkpoint, out, "--config", str(config), "--data.masks", "center") == 0
    settings = json.loads((out / "run.json").read_text())["settings"]
    assert settings["model.sampler.steps"] == 4
    assert settings["model.sampler.noise_std"] == 0.3
    assert settings["data.masks"] == "center"


def test_a_chosen_class_inherits_nothing_from_the_default(checkpoint, capsys):
    words = ["--data", "CIFAR10Masks", "--model.sampler", "diffusion", "--print_config"]
    assert predict(checkpoint, "out", *words) == 0
    printed = capsys.readouterr().out
    assert "clip_std: null" in printed
    assert "beta_end: 0.3" in printed


def test_energy_and_completions_go_to_every_logger(checkpoint, tmp_path):
    loggers = tmp_path / "loggers.yaml"
    loggers.write_text(
        "trainer:\n  logger:\n"
        f"  - class_path: CSVLogger\n    init_args: {{save_dir: {tmp_path / 'csv'}}}\n"
        f"  - class_path: TensorBoardLogger\n    init_args: {{save_dir: {tmp_path / 'tb'}}}\n"
    )
    words = ["--config", str(loggers), "--data.num", "2", "--data.label", "0", *SEED]
    assert predict(checkpoint, tmp_path / "out", *words) == 0
    metrics = next((tmp_path / "csv").rglob("metrics.csv")).read_text()
    assert "langevin" in metrics.splitlines()[0]
    assert list((tmp_path / "tb").rglob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--data", "FolderMasks", "--data.images", "nowhere"], "nowhere"),
        (["--data.masks", "right_hafl", "--data.label", "0"], "right_hafl"),
        (["--data.label", "7"], "7"),
        (
            ["--model.sampler", "seed", "--model.sampler.steps", "0"],
            "steps must be at least 1, got 0",
        ),
        (["--model.sampler", "seed", "--model.sampler.temperature", "-1"], "-1.0"),
        (["--model.chains", "0"], "--model.chains is 0"),
        (["--model.latents", "q"], "'q'"),
        (["--model.chains", "many"], "many"),
        (["--trainer.devices", "20", "--data.label", "0"], "20 devices"),
    ],
)
def test_mistakes_get_one_sentence_and_a_status(checkpoint, tmp_path, capsys, words, text):
    assert predict(checkpoint, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert text in error
    assert "Traceback" not in error


def test_a_generator_that_does_not_exist(tmp_path, capsys):
    assert predict(str(tmp_path / "no.pkl"), tmp_path / "out") == 2
    assert "no.pkl: no such file" in capsys.readouterr().err


def test_usage_names_every_command(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert cli.main([]) == 2
    assert cli.main(["prdict"]) == 2
    assert "'prdict' is no command: did you mean predict?" in capsys.readouterr().err


def test_help_explains_every_option(capsys):
    assert cli.main(["predict", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--model.generator", "--model.latents", "--output_dir", "--writer.format"):
        assert option in text


def test_convert_sample_and_list(checkpoint, tmp_path, capsys):
    small = tmp_path / "half.safetensors"
    assert cli.main(["convert", checkpoint, str(small), "--dtype", "float16"]) == 0
    assert small.stat().st_size < 0.8 * (tmp_path / "tiny.safetensors").stat().st_size
    picture = tmp_path / "grid.png"
    words = ["sample", str(small), "--output", str(picture), "--columns", "3"]
    assert cli.main(words) == 0
    assert Image.open(picture).width > 24
    assert cli.main(["generators"]) == 0
    assert "stylegan2-ada-ffhq" in capsys.readouterr().out


def test_no_words_at_all_choose_nothing():
    """The README's first command has none."""
    assert cli.main(["predict", "--print_config"]) == 0


def test_the_command_that_resumes_does_not_overwrite():
    words = ["--overwrite", "true", "--model.chains", "2"]
    assert without_overwrite(words) == ["--model.chains", "2"]
    assert without_overwrite(["--overwrite", "--model.chains", "2"]) == ["--model.chains", "2"]
    assert without_overwrite(["--overwrite=true", "--data.num", "3"]) == ["--data.num", "3"]


def test_finished_chains_make_room_for_waiting_pictures(checkpoint, pictures, tmp_path, capsys):
    def complete(out, *words):
        data = ["--data", "FolderMasks", "--data.images", str(pictures), "--data.batch_size", "6"]
        sampler = ["--model.sampler", "map", "--model.sampler.steps", "20"]
        return predict(checkpoint, tmp_path / out, *data, *sampler, *words)

    stop = ["--model.sampler.stop_psnr", "12"]
    assert complete("slots", *stop, "--model.slots", "2") == 0
    assert complete("whole", *stop) == 0
    slots, whole = table(tmp_path / "slots"), table(tmp_path / "whole")
    assert len(slots) == 6
    for name, row in slots.items():
        assert row["status"] == "ok"
        assert float(row["last_energy"]) == pytest.approx(
            float(whole[name]["last_energy"]), rel=1e-3
        )
    capsys.readouterr()
    assert complete("refused", "--model.slots", "2") == 2
    assert "--model.slots needs chains that stop" in capsys.readouterr().err


def test_presets_are_found_by_name_from_any_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in (["--config", "fast"], ["--config=fast"]):
        assert cli.main(["predict", *words, "--print_config"]) == 0
        assert "anchor: start" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "hint"), [("fats", "did you mean fast?"), ("nothing.yaml", "presets are default,")]
)
@pytest.mark.parametrize("command", ["predict", "fit"])
def test_an_unknown_preset_is_one_sentence(command, name, hint, capsys):
    assert cli.main([command, "--config", name]) == 2
    error = capsys.readouterr().err
    assert hint in error
    assert len(error.splitlines()) == 1
