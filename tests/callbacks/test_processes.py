"""Two processes share a job, and a job killed half-way ends with the files of an uninterrupted one."""

import csv
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.callbacks.made_up import files_below

ROOT = Path(__file__).parents[2]


def start(folder, seconds=0.0):
    command = [sys.executable, "-m", "tests.callbacks.ddp_job", str(folder), str(seconds)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-4000:]
    return output


def kill_after_records(process, folder, count):
    """SIGKILL to all processes of the job as soon as so many pictures are finished."""
    end = time.monotonic() + 600
    while len(list(folder.glob("records/**/[!.]*.json"))) < count:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an uninterrupted run on two processes."""
    folder = tmp_path_factory.mktemp("jobs") / "whole"
    finish(start(folder))
    return folder


def test_each_picture_is_written_once_by_one_process(whole):
    rows = list(csv.DictReader((whole / "energies.csv").open()))
    assert [int(row["index"]) for row in rows[::2]] == list(range(19))
    assert len(files_below(whole / "raw")) == 2 * 19
    assert not [name for name in files_below(whole) if name.endswith(".tmp") or "/." in name]


def test_energies_of_rank_one_reach_the_logger(whole):
    rows = list(csv.DictReader((whole.with_name("whole-logs") / "metrics.csv").open()))
    keys = ("langevin/energy_median", "langevin/rank1/energy_median")
    counts = [sum(bool(row.get(key)) for row in rows) for key in keys]
    assert counts == [15, 15]  # five batches each, three reports a batch
    assert not list(whole.glob(".langevin*"))


def test_killed_and_resumed_job_ends_with_the_same_bytes(whole, tmp_path):
    folder = tmp_path / "killed"
    kill_after_records(start(folder, seconds=0.1), folder, count=7)
    output = finish(start(folder))
    assert "in an earlier start" in output
    assert files_below(folder) == files_below(whole)
    for name in files_below(whole):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
