"""Two jobs in one folder: the second is told so; a dead one blocks nobody."""

import os
import signal
import subprocess
import sys

import pytest

from lightning_inpaint.callbacks import CompletionWriter, claim
from lightning_inpaint.callbacks.claim import FolderClaim
from lightning_inpaint.errors import UserError
from tests.callbacks.made_up import files_below

fcntl = pytest.importorskip("fcntl")
OTHER = """
import os, sys, time
from pathlib import Path
from lightning_inpaint.callbacks.claim import FolderClaim
FolderClaim(Path(sys.argv[1])).take()
if os.fork() == 0:
    time.sleep(600)
print(os.getpid(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """A process that has claimed the folder, and has a child, as data loaders do."""
    command = [sys.executable, "-c", OTHER, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_a_second_job_is_one_sentence_and_a_killed_one_blocks_nobody(
    tmp_path, predict, other, monkeypatch
):
    with monkeypatch.context() as impatient:
        impatient.setattr(claim, "PATIENCE", 0.0)
        with pytest.raises(UserError, match=rf"in use by another job \(process {other.pid} on "):
            predict([CompletionWriter(str(tmp_path))])
    assert files_below(tmp_path) == [".lock"]
    other.kill()  # not its child
    predict([CompletionWriter(str(tmp_path))], names=["a"])
    assert ".lock" not in files_below(tmp_path)


def test_processes_of_one_job_share_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "PATIENCE", 0.0)
    first, second, third = (FolderClaim(tmp_path) for _ in range(3))
    first.take()
    second.join()
    first.release()
    with pytest.raises(UserError, match="in use by another job"):
        third.take()
    second.release()
    third.take()
    third.release()
    assert files_below(tmp_path) == []


def test_a_failed_run_gives_the_folder_back(tmp_path, predict, made_up):
    for _ in range(2):
        with pytest.raises(KeyError):
            predict([CompletionWriter(str(tmp_path))], module=made_up(dies_at=0))
    predict([CompletionWriter(str(tmp_path))], names=["a"])
    assert ".lock" not in files_below(tmp_path)


def test_a_file_system_without_locks_is_mentioned(tmp_path, predict, monkeypatch):
    def refuse(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="has no locks"):
        predict([CompletionWriter(str(tmp_path))], names=["a"])
    assert ".lock" not in files_below(tmp_path)
