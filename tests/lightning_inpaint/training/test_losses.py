"""Losses, their shared backward pass and R1 against values worked out by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from lightning_inpaint.training.losses import (
    Opposition,
    discriminator_loss,
    generator_loss,
    hinge_mismatch_loss,
    mismatch_loss,
    r1_penalty,
)


def test_logistic_losses_at_known_logits():
    real, fake = torch.tensor([0.0, 2.0]), torch.tensor([-1.0])
    expected = (math.log(2) + math.log1p(math.exp(-2))) / 2 + math.log1p(math.exp(-1))
    assert discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-6)
    assert generator_loss(fake).item() == pytest.approx(math.log1p(math.exp(1)), rel=1e-6)


def test_mismatch_counts_the_wrong_classes_alone():
    scores = torch.tensor([[9.0, 0.0, -1.0], [1.0, 9.0, 2.0]])
    wrong = [0.0, -1.0, 1.0, 2.0]
    expected = sum(math.log1p(math.exp(s)) for s in wrong) / 4
    loss = mismatch_loss(scores, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_hinge_mismatch_sums_places_and_counts_the_wrong_classes_alone():
    scores = torch.tensor([[[9.0, 9.0], [0.0, -3.0]], [[1.0, 2.0], [9.0, 9.0]]])
    loss = hinge_mismatch_loss(scores, torch.tensor([0, 1]), torch.tensor([0.5, 2.0]))
    # relu(1 + s): 1 and 0 for the first row, 2 and 3 for the second.
    assert loss.item() == pytest.approx((0.5 * 1 + 0.5 * 2 + 2.0 * 3) / 2, rel=1e-6)


def test_r1_of_a_quadratic_judge():
    # D(x) = sum a x^2 has gradient 2 a x: penalty gamma / 2 * mean_n sum (2 a x)^2.
    x = torch.arange(24, dtype=torch.float64).view(2, 3, 2, 2) / 10
    a = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    penalty = r1_penalty(lambda y: (a * y.square()).flatten(1).sum(1), x, gamma=5.0)
    square = x.square().sum() / 2
    assert penalty.item() == pytest.approx((2.5 * 4 * 0.09 * square).item(), rel=1e-12)
    penalty.backward()
    assert a.grad.item() == pytest.approx((2.5 * 8 * 0.3 * square).item(), rel=1e-12)


def test_r1_of_a_linear_judge_with_a_nonlinearity():
    # D(x) = softplus(w.x): gradient sigmoid(w.x) w, so R1 = gamma / 2 mean s^2 |w|^2.
    stream = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, dtype=torch.float64, generator=stream)
    w = torch.randn(5, dtype=torch.float64, generator=stream).requires_grad_()
    penalty = r1_penalty(lambda y: F.softplus(y @ w), x, gamma=2.0)
    s = (x @ w.detach()).sigmoid()
    norm = w.detach().square().sum()
    assert penalty.item() == pytest.approx((s.square() * norm).mean().item(), rel=1e-12)
    penalty.backward()
    slope = 2 * s.square() * (1 - s)  # derivative of s^2 in w.x
    by_hand = 2 * w.detach() * s.square().mean() + norm * (slope[:, None] * x).mean(0)
    torch.testing.assert_close(w.grad, by_hand, rtol=1e-12, atol=1e-14)


def test_r1_works_where_gradients_are_off():
    with torch.no_grad():
        penalty = r1_penalty(lambda y: y.flatten(1).sum(1), torch.zeros(2, 1, 2, 2), gamma=2.0)
    assert penalty.item() == pytest.approx(4.0)


def two_networks():
    torch.manual_seed(0)
    generator = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 6))
    judge = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    return generator.double(), judge.double()


def test_one_backward_pass_equals_two():
    generator, judge = two_networks()
    z, real = torch.randn(2, 7, 3).double().unbind()[0], torch.randn(7, 6).double()
    pairs = [
        (discriminator_loss(judge(real), judge(generator(z).detach())), judge),
        (generator_loss(judge(generator(z))), generator),
    ]
    separate = [
        torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
        for loss, network in pairs
    ]
    opposition = Opposition()
    fake = judge(opposition(generator(z)))[:, 0]
    opposition.set_logits(fake)
    discriminator_loss(judge(real)[:, 0], fake).backward()
    for expected, network in zip(separate, (judge, generator), strict=True):
        for gradient, parameter in zip(expected, network.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("logit", [-6000.0, -100.0, -75.0, -20.0, 0.0, 20.0, 75.0, 100.0])
def test_turned_gradient_at_any_logit(logit):
    x = torch.tensor([[logit]], requires_grad=True)
    opposition = Opposition()
    fake = opposition(x)[:, 0]
    opposition.set_logits(fake)
    discriminator_loss(torch.zeros(1), fake).backward()
    assert x.grad.item() == pytest.approx(-torch.sigmoid(torch.tensor(-logit)).item(), rel=1e-5)
