"""The script that calibrates: ranks with ties, and each of its tests on the bundled generator."""

import importlib
import sys

import pytest
import torch
from scipy import stats

from lightning_inpaint.noise import ChainStreams

calibration = importlib.import_module("benchmarks.calibration")


def test_ranks_are_uniform_also_where_a_chain_stands_still() -> None:
    n, draws = 4000, 4
    gen = torch.Generator().manual_seed(0)
    truth = torch.randn(n, 2, generator=gen)
    others = torch.randn(n, draws, 2, generator=gen)
    others[: n // 2] = truth[: n // 2, None]  # half of the chains never leave the truth
    streams = ChainStreams(0, ["ranks"] * n, list(range(n)))
    ranks = calibration.ranks_of(others, truth, streams)
    for q in range(2):
        counts = torch.bincount(ranks[:, q], minlength=draws + 1)
        assert stats.chisquare(counts.numpy()).pvalue > 0.01


@pytest.mark.parametrize(
    "options",
    [
        ["--draws", "2", "--chains", "2", "--thin", "1", "--burn_in", "2"],
        ["--test", "kernel", "--draws", "2", "--thin", "1", "--burn_in", "2"],
        ["--test", "geweke", "--alternations", "2"],
    ],
)
def test_each_test_runs_and_prints_its_table(options, monkeypatch, capsys) -> None:
    few = ["--simulations", "2", "--batch", "2", "--leapfrog", "2"]
    monkeypatch.setattr(sys, "argv", ["calibration.py", *few, *options])
    calibration.main()
    out = capsys.readouterr().out
    assert "|u|^2/D" in out
    assert ("all values normal" if "geweke" in options else "log-likelihood") in out
