"""The script that makes the classifier, on made-up pictures, and ``evaluate`` with its file."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import cli
from lightning_inpaint.evaluation import load_judge
from lightning_inpaint.generators import save_generator
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

SCRIPT = Path(__file__).parents[3] / "benchmarks/train_classifier.py"


def write_pictures(folder, names=("blue", "red"), each=20):
    random = np.random.default_rng(0)
    for k, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            picture = random.integers(0, 128, (32, 32, 3), dtype=np.uint8)
            picture[..., 2 - 2 * k] += 100
            Image.fromarray(picture).save(folder / name / f"{i}.png")
    return folder


def train(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as stop:
        return stop.code
    return 0


def test_from_folders_to_a_report(tmp_path, monkeypatch, capsys):
    pictures, out = write_pictures(tmp_path / "in"), tmp_path / "mine.safetensors"
    settings = ["--epochs", 6, "--batch_size", 8, "--widths", 4, 4, 4, "--output", out]
    assert train(monkeypatch, "--train", pictures, "--test", pictures, *settings) == 0
    assert "accuracy on 40 test pictures" in capsys.readouterr().out
    judge = load_judge(out)
    assert judge.class_names == ("blue", "red")
    assert judge.name.startswith("classifier mine (")

    torch.manual_seed(0)
    network = StyleGAN2Generator(
        4, 2, 4, 32, channel_base=128, channel_max=4, class_names=("blue", "red")
    )
    path = save_generator(network, tmp_path / "tiny.safetensors")
    words = ["--path", pictures, "--samples", 20, "--classifier", out, "--device", "cpu"]
    report = tmp_path / "report.json"
    assert cli.main(["evaluate", *map(str, [path, *words, "--output", report])]) == 0
    figures = json.loads(report.read_text())["figures"]
    assert figures["intended_class_accuracy"]["real"] == 1.0
    assert figures["frechet_distance"]["measured_with"] == judge.name


def test_classes_must_agree(tmp_path, monkeypatch, capsys):
    pictures = write_pictures(tmp_path / "in", each=1)
    others = write_pictures(tmp_path / "other", ("blue", "green"), each=1)
    assert train(monkeypatch, "--train", pictures, "--test", others) == 2
    assert "its classes (blue, green) are not those of --train" in capsys.readouterr().err
    assert train(monkeypatch, "--train", pictures) == 2
    assert "belong together" in capsys.readouterr().err
