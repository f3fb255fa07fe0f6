"""Augmentation: identity at probability 0, differentiable, the same for real and fake."""

import pytest
import torch

from lightning_inpaint.training import diff_augment
from lightning_inpaint.training.augment import OPERATIONS


@pytest.fixture
def pictures():
    return torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def test_identity_at_probability_zero(pictures):
    assert torch.equal(diff_augment(pictures, p=0.0), pictures)


def test_identity_for_an_empty_policy(pictures):
    assert torch.equal(diff_augment(pictures, ""), pictures)


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_agree_with_differences(name):
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=seeded(0)).requires_grad_()
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
