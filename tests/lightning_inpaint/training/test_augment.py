"""Augmentation: identity at probability 0, differentiable, the same for real and fake."""

import pytest
import torch

from lightning_inpaint.training import diff_augment
from lightning_inpaint.training.augment import OPERATIONS
from lightning_inpaint.training.draws import RowStream, StepDraws


@pytest.fixture
def pictures():
    return torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def seeded(seed=1):
    return RowStream(torch.Generator().manual_seed(seed))


def test_identity_at_probability_zero(pictures):
    assert torch.equal(diff_augment(pictures, p=0.0), pictures)


def test_identity_for_an_empty_policy(pictures):
    assert torch.equal(diff_augment(pictures, ""), pictures)


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_agree_with_differences(name):
    source = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=source).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: diff_augment(y, name, 1.0, seeded()), x)


@pytest.mark.parametrize("name", OPERATIONS)
def test_equal_draws_do_the_same_to_equal_pictures(name, pictures):
    first = diff_augment(pictures, name, 0.7, seeded())
    assert torch.equal(first, diff_augment(pictures.clone(), name, 0.7, seeded()))
    assert not torch.equal(first, pictures)


def test_share_of_augmented_pictures():
    x = torch.ones(4000, 1, 8, 8)
    changed = (diff_augment(x, "cutout", 0.3, seeded()) != x).flatten(1).any(1).float().mean()
    # The square lies wholly outside in no case, so the share is the probability itself.
    assert abs(changed.item() - 0.3) < 0.03


def test_translation_moves_content_and_keeps_its_values():
    x = torch.zeros(50, 1, 16, 16)
    x[:, :, 8, 8] = 1
    moved = diff_augment(x, "translation", 1.0, seeded())
    assert torch.equal(moved.sum(dim=(1, 2, 3)), torch.ones(50))
    assert len({int(i) for i in moved.flatten(1).argmax(1)}) > 10


def test_unknown_operation(pictures):
    with pytest.raises(ValueError, match="choose from color, translation, cutout"):
        diff_augment(pictures, "sharpen")


def test_real_and_generated_pictures_are_treated_alike():
    # The two streams of a step differ, and what they do to one set of pictures does not.
    x = torch.rand(3000, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    draws = StepDraws(0, 5, torch.device("cpu"))
    fake, real = (diff_augment(x, stream=draws.stream(k)) for k in (1, 2))
    assert not torch.equal(fake, real)
    for statistic in (torch.mean, torch.std):
        torch.testing.assert_close(statistic(fake), statistic(real), rtol=0, atol=0.01)
        across = statistic(fake, dim=(0, 2, 3)), statistic(real, dim=(0, 2, 3))
        torch.testing.assert_close(*across, rtol=0, atol=0.02)
    blank = [(part == 0).all(dim=1).float().mean(dim=0) for part in (fake, real)]
    torch.testing.assert_close(*blank, rtol=0, atol=0.06)


@pytest.mark.parametrize("name", OPERATIONS)
def test_parts_of_a_joint_batch_are_its_rows(name, pictures):
    def part(rank, world):
        return StepDraws(0, 3, torch.device("cpu"), rank, world).stream(1)

    whole = diff_augment(pictures, name, 0.7, part(0, 1))
    halves = [diff_augment(pictures[3 * r : 3 * r + 3], name, 0.7, part(r, 2)) for r in (0, 1)]
    assert torch.equal(torch.cat(halves), whole)
