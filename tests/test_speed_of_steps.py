"""The script that measures the step loop knows presets of one sampler and of several."""

import runpy
import sys
from pathlib import Path

import pytest

from lightning_inpaint.generators import save_generator

SCRIPT = Path(__file__).parents[1] / "benchmarks/sampler.py"


@pytest.mark.parametrize("preset", ["plugin", "fast", "default"])
def test_a_row_for_each_preset(tiny_generator, tmp_path, monkeypatch, capsys, preset):
    path = save_generator(tiny_generator, tmp_path / "tiny.safetensors")
    words = f"--generator {path} --batches 2 --steps 4 --rounds 1 --presets {preset}"
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words.split()])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith(f"| {preset} | float32 | eager | 2 | ")
    assert float(row.split("|")[5]) > 0
