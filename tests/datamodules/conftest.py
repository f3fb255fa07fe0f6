"""Folders that several files test; lets these import their neighbours `awkward_files` and `folders`."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from folders import mask, picture, write


@pytest.fixture
def folder(tmp_path):
    """Three pictures, two of them in folders named after classes."""
    root = tmp_path / "in"
    for seed, name in enumerate(["a.png", "cat/1.png", "Ship/deep/2.png"]):
        write(root / name, picture(seed))
    return root


@pytest.fixture
def masks(tmp_path):
    root = tmp_path / "masks"
    write(root / "a.png", mask(8))
    write(root / "cat/1_mask001.png", mask(16))
    write(root / "cat/1_mask002.png", mask(24))
    write(root / "Ship/deep/2_mask.png", mask(31))
    return root
