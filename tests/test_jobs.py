"""Whole jobs of two processes through the command line: loggers, SIGKILL and resumption."""

import csv

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
