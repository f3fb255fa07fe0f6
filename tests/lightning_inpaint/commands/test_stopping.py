"""Ctrl-C is one line and status 130, whenever it comes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cli
from lightning_inpaint.callbacks import EnergyTable
from lightning_inpaint.generators import save_generator

ROOT = Path(__file__).parents[3]


@pytest.fixture
def words(tiny_generator, tmp_path):
    path = save_generator(tiny_generator, tmp_path / "tiny.safetensors")
    out = tmp_path / "out"
    return [
        "predict",
        "--model.generator",
        str(path),
        "--data.label",
        "0",
        "--output_dir",
        str(out),
    ]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="sees what a process has loaded")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_starting(words, number):
    command = [sys.executable, "cli.py", *words]
    job = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while job.poll() is None and "libtorch" not in Path(f"/proc/{job.pid}/maps").read_text():
        time.sleep(0.01)
    job.send_signal(number)
    error = job.communicate(timeout=120)[1]
    assert job.returncode == 128 + number
    assert error == f"{number.name}: stopped.\n"


def test_in_the_first_batch(words, monkeypatch, capsys):
    def interrupt(*args):
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(EnergyTable, "on_predict_batch_start", interrupt, raising=False)
    assert cli.main([*words, "--trainer.accelerator", "cpu"]) == 130
    error = capsys.readouterr().err.splitlines()[-1]
    begin = (
        "SIGINT: no picture is finished yet; start again with: lightning-inpaint predict --model"
    )
    assert error.startswith(begin)
    assert signal.getsignal(signal.SIGINT) is before


def test_of_a_rank_that_is_not_the_first_says_nothing(words, monkeypatch, capsys):
    def interrupt(words):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("lightning_inpaint.commands.predict.main", interrupt)
    assert cli.main(words) == 143
    assert capsys.readouterr().err == ""
