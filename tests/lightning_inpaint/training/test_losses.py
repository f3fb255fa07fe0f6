"""Losses and R1 against values worked out by hand."""

import math

import pytest
import torch

from lightning_inpaint.training.losses import (
    hinge_discriminator_loss,
    hinge_generator_loss,
    logistic_discriminator_loss,
    logistic_generator_loss,
    r1_penalty,
)


def test_logistic_losses_at_known_logits():
    real, fake = torch.tensor([0.0, 2.0]), torch.tensor([-1.0])
    expected = (math.log(2) + math.log1p(math.exp(-2))) / 2 + math.log1p(math.exp(-1))
    assert logistic_discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-6)
    assert logistic_generator_loss(fake).item() == pytest.approx(math.log1p(math.exp(1)), rel=1e-6)


def test_hinge_losses_sum_over_heads():
    real = [torch.tensor([0.5, 2.0]), torch.tensor([-1.0])]
    fake = [torch.tensor([-3.0, 0.0]), torch.tensor([1.0])]
    assert hinge_discriminator_loss(real, fake).item() == pytest.approx(0.25 + 0.5 + 2 + 2)
    assert hinge_generator_loss(fake).item() == pytest.approx(1.5 - 1)
    assert hinge_generator_loss(fake, [2.0, 1.0]).item() == pytest.approx(3 - 1)


def test_r1_of_a_quadratic_judge():
    # D(x) = sum a x^2 has gradient 2 a x: penalty gamma / 2 * mean_n sum (2 a x)^2.
    x = torch.arange(24, dtype=torch.float64).view(2, 3, 2, 2) / 10
    a = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty(lambda y: (a * y.square()).flatten(1).sum(1), x, gamma=5.0)
    square = x.square().sum() / 2
    assert penalty.item() == pytest.approx((2.5 * 4 * 0.09 * square).item(), rel=1e-12)
    penalty.backward()
    assert a.grad.item() == pytest.approx((2.5 * 8 * 0.3 * square).item(), rel=1e-12)


def test_r1_works_where_gradients_are_off():
    with torch.no_grad():
        penalty = r1_penalty(lambda y: y.flatten(1).sum(1), torch.zeros(2, 1, 2, 2), gamma=2.0)
    assert penalty.item() == pytest.approx(4.0)
