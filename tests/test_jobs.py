"""Whole jobs of two processes through the command line: loggers, SIGKILL and resumption."""

import csv
import errno
import os
import signal
import time

import pytest

from benchmarks import kill_and_resume as job

PICTURES = 24
LOGGERS = """
trainer:
  logger:
  - class_path: CSVLogger
    init_args: {{save_dir: {folder}, name: csv, version: ''}}
  - class_path: TensorBoardLogger
    init_args: {{save_dir: {folder}, name: tensorboard, version: ''}}
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with pictures and a generator, and the options of a job on them."""
    root = tmp_path_factory.mktemp("job")
    return root, job.make_inputs(root, PICTURES)


def with_loggers(words, folder):
    folder.mkdir()
    config = folder / "loggers.yaml"
    config.write_text(LOGGERS.format(folder=folder))
    return ["--config", str(config), *words]


@pytest.fixture(scope="module")
def whole(inputs):
    """The folder of an uninterrupted run with loggers."""
    root, words = inputs
    folder, log = root / "whole", root / "whole.log"
    words = [*with_loggers(words, root / "logs"), "--output_dir", str(folder)]
    job.finish(job.start(words, log), log)
    return folder


def test_loggers_show_energies_and_completions_of_both_processes(whole):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logs = whole.with_name("logs")
    keys = ["langevin/energy_median", "langevin/rank1/energy_median"]
    with (logs / "csv/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    events = accumulator.EventAccumulator(str(logs / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    for key in keys:  # four batches for each process, one report a batch
        logged = [float(row[key]) for row in rows if row.get(key)]
        assert len(logged) == 4
        assert [event.value for event in events.Scalars(key)] == pytest.approx(logged, rel=1e-5)
    assert len(events.Images("completions")) == PICTURES / 8
    assert len(events.Images("energies")) == PICTURES / 8
    assert not list(whole.glob(".langevin*"))


def test_a_job_killed_at_random_moments_ends_with_the_files_of_a_whole_one(whole, inputs):
    root, words = inputs
    words = with_loggers(words, root / "other_logs")
    when = job.moments(PICTURES, kills=3, seed=1)
    seen = job.kill_and_resume(words, root / "killed", root / "killed.log", when)
    assert len(seen) == 3
    assert "in an earlier start" in (root / "killed.log").read_text()
    assert job.differences(whole, root / "killed", PICTURES) == []


def test_sigterm_ends_the_job_and_says_how_to_go_on(inputs, tmp_path):
    _, words = inputs
    log, out = tmp_path / "log", tmp_path / "out"
    words = [*words, "--model.sampler.steps", "150", "--output_dir", str(out)]
    ranks = job.start(words, log)
    while job.finished(out) < 3 and all(rank.is_alive() for rank in ranks):
        time.sleep(0.01)
    for rank in ranks:
        os.kill(rank.pid, signal.SIGTERM)
    for rank in ranks:
        rank.join()
    assert [rank.exitcode for rank in ranks] == [143, 143], log.read_text()
    text = log.read_text()
    assert text.count("kept; go on with: lightning-inpaint predict --model") == 1
    assert "Traceback" not in text
    assert 3 <= job.finished(out) < PICTURES
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]


def rank_one_on_a_full_disk(number, port, words, log):
    """A process of the job; every file that rank one wants to write after its sixth fails."""
    replace, done = os.replace, []

    def limited(source, target):
        done.append(target)
        if number == 1 and len(done) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(source, target)

    os.replace = limited
    job.run_rank(number, port, words, log)


def test_a_disk_that_is_full_for_one_process_is_one_sentence_and_resumed(whole, inputs):
    root, words = inputs
    folder, log = root / "full", root / "full.log"
    words = [*words, "--output_dir", str(folder)]
    ranks = job.start(words, log, rank_one_on_a_full_disk)
    for rank in ranks:
        rank.join()
    text = log.read_text()
    assert [rank.exitcode for rank in ranks] == [2, 2], text
    assert text.count("because the disk is full: free some space") == 1
    assert text.count("Another process of this job has ended early") == 1
    assert "Traceback" not in text
    job.finish(job.start(words, log), log)
    assert job.differences(whole, folder, PICTURES) == []
