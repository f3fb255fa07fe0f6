"""The random streams: published test vectors, independence, distribution."""

import pytest
import torch
from scipy import stats

from lightning_inpaint.noise import ChainStreams, Purpose, philox4x32


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_matches_the_published_vectors(counter, key, expected):
    words = philox4x32([torch.tensor([c]) for c in counter], [torch.tensor([k]) for k in key])
    assert [int(w) for w in words] == expected


def test_a_chain_has_the_same_numbers_in_any_company():
    alone = ChainStreams(7, ["cat/1"], [2]).normal(5, 33)
    crowd = ChainStreams(7, ["dog", "cat/1", "cat/1"], [2, 1, 2]).normal(5, 33)
    assert torch.equal(alone[0], crowd[2])


@pytest.mark.parametrize(
    "other",
    [
        ChainStreams(8, ["a"], [0]).normal(0, 64),
        ChainStreams(7, ["b"], [0]).normal(0, 64),
        ChainStreams(7, ["a"], [1]).normal(0, 64),
        ChainStreams(7, ["a"], [0]).normal(1, 64),
        ChainStreams(7, ["a"], [0]).normal(0, 64, Purpose.START),
    ],
    ids=["seed", "picture", "chain", "draw", "purpose"],
)
def test_everything_in_the_key_changes_all_numbers(other):
    mine = ChainStreams(7, ["a"], [0]).normal(0, 64)
    assert not (mine == other).any()


def test_grid_and_select_agree():
    grid = ChainStreams.grid(0, ["a", "b"], 3)
    assert len(grid) == 6
    chosen = grid.select(torch.tensor([4]))
    assert torch.equal(chosen.normal(0, 8), ChainStreams(0, ["b"], [1]).normal(0, 8))


def test_normal_numbers_are_normal_within_and_across_chains():
    streams = ChainStreams.grid(0, [f"{i}" for i in range(200)], 1)
    x = streams.normal(0, 1001).double()
    assert stats.kstest(x.flatten().numpy(), "norm").pvalue > 0.01
    # neighbours in a chain, chains and draws are uncorrelated: |r| sqrt(n) is a z-score
    pairs = [(x[:, 1:], x[:, :-1]), (x[1:], x[:-1]), (x, streams.normal(1, 1001).double())]
    pairs.append((x[:, :500], x[:, 501:]))  # the two halves of Box and Muller's pairs
    for a, b in pairs:
        assert abs(float((a * b).mean())) * a.numel() ** 0.5 < 4


def test_uniform_numbers_are_uniform_and_open():
    u = ChainStreams.grid(0, ["a"], 50).uniform(0, 2000).flatten()
    assert 0 < float(u.min()) < float(u.max()) < 1
    assert stats.kstest(u.numpy(), "uniform").pvalue > 0.01


def test_as_many_names_as_chains():
    with pytest.raises(ValueError, match="2 picture ids but 1 chain"):
        ChainStreams(0, ["a", "b"], [0])


def test_large_draws_are_made_in_parts_without_a_trace():
    count = 30_001
    many = ChainStreams.grid(0, [str(i) for i in range(40)], 1)
    numbers = many.normal(3, count)
    alone = [many.select(torch.tensor([i])).normal(3, count) for i in (0, 16, 17, 39)]
    assert torch.equal(numbers[[0, 16, 17, 39]], torch.cat(alone))
