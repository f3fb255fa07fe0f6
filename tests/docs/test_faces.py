"""The worked example of own_generator.md, word for word, where its package is installed."""

import csv
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

import cli

PAGE = (Path(__file__).parents[2] / "docs" / "own_generator.md").read_text()
BLOCK = re.search(r"```shell\n(.*?)```", PAGE, re.DOTALL)[1]
COMMANDS = [shlex.split(line) for line in BLOCK.replace("\\\n", " ").splitlines()]


def test_the_example_runs_as_printed(tmp_path, monkeypatch):
    pytest.importorskip(
        "gan_face_generate",
        reason="the page's faces are not tried: pip install --no-deps gan-face-generate",
    )
    monkeypatch.chdir(tmp_path)
    assert COMMANDS[0][:2] == ["pip", "install"]
    for words in COMMANDS[1:]:
        assert words[:2] == ["python", "cli.py"]
        assert cli.main(words[2:]) == 0
    assert Image.open("faces.png").size[0] > 64
    assert len(list(Path("out_faces/raw").rglob("*.png"))) == 4
    with open("out_faces/energies.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_the_example_names_the_package_that_its_test_asks_for():
    assert COMMANDS[0][-1] == "gan-face-generate"
    assert len(COMMANDS) == 3
