"""Chains that start near a completion."""

import numpy as np
import pytest
import torch

from lightning_inpaint import UserError, complete
from lightning_inpaint.inference.starts import moved_near

PHOTO = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def started(alike):
    draws = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    row = torch.tensor([3.0, -2.0, 0.0])
    return moved_near(draws, row, alike), draws, row


def test_starts_have_the_moments_of_the_proposal():
    """Mean alike * row, variance 1 - alike^2."""
    chains, _, row = started(0.6)
    torch.testing.assert_close(chains.mean(0), 0.6 * row.double(), atol=0.02, rtol=0)
    torch.testing.assert_close(chains.var(0), torch.full((3,), 0.64).double(), atol=0.02, rtol=0)


@pytest.mark.parametrize("alike", [0, 1])
def test_the_ends(alike):
    chains, draws, row = started(alike)
    torch.testing.assert_close(chains, row.double().expand(20_000, 3) if alike else draws)


@pytest.mark.parametrize("config", ["fast", "default", "matched"])
def test_completions_are_nearer_to_the_one_that_they_are_like(tiny_generator, config):
    options = {"config": config, "generator": tiny_generator, "label": 1, "n": 4}
    first = complete(PHOTO, "right_half", seed=0, **options)
    row = first.latents[0, 0]
    fresh = complete(PHOTO, "right_half", seed=1, **options)
    alike = complete(PHOTO, "right_half", seed=1, like=row, **options)
    far, near = ((each.latents[0] - row).square().mean() for each in (fresh, alike))
    assert near < 0.5 * far
    again = complete(PHOTO, "right_half", seed=1, like=row.numpy(), **options)
    assert torch.equal(again.raw, alike.raw)


@pytest.mark.parametrize(
    ("like", "words"),
    [
        (torch.zeros(2, 3), "give the latents of one completion"),
        (torch.full((8,), torch.nan), "give the latents of one completion"),
        (torch.zeros(3), "like has 3 latents, and these settings have"),
    ],
)
def test_what_cannot_be_a_start(tiny_generator, like, words):
    with pytest.raises(UserError, match=words):
        complete(PHOTO, "right_half", generator=tiny_generator, label=0, config="fast", like=like)
