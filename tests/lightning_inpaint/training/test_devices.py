"""Two processes equal one with the joint batch."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lightning_inpaint.training.test_guidance import write_classifier

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("guided", [False, True])
def test_two_processes_equal_one_with_the_joint_batch(folder, tmp_path, guided):
    command = [sys.executable, "-m", "tests.lightning_inpaint.training.ddp_job", str(folder)]
    if guided:
        command.append(write_classifier(tmp_path / "guide.safetensors"))
    job = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert job.returncode == 0, job.stderr[-4000:]
    moved, difference = re.search(r"moved (\d+) difference (\S+)", job.stdout).groups()
    assert int(moved) > 40
    assert float(difference) < 1e-9
