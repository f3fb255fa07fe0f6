"""The conditional Frechet distance against closed forms of Gaussians."""

import pytest
import torch

from lightning_inpaint.evaluation import conditional_frechet_distance, frechet_distance

COUNT = 400


@pytest.fixture
def parts():
    """Rows that are exactly uncorrelated, of covariance 1: a condition (N, 3), two noises (N, 2)."""
    random = torch.randn(COUNT, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    white = torch.linalg.qr(random - random.mean(dim=0)).Q * COUNT**0.5
    return white[:, :3], white[:, 3:5], white[:, 5:]


def test_equals_the_closed_form(parts):
    y, first, second = parts
    answer, other = torch.tensor([[1.0, 0.5], [0.0, 2.0], [0.3, 0.0]]).double(), torch.zeros(3, 2)
    real = y @ answer + 0.5 * first
    fake = y @ other.double() + first @ torch.diag(torch.tensor([2.0, 3.0]).double()) + 1.5
    # Means differ by 1.5 twice; answers by the matrix itself; deviations by 1.5 and 2.5.
    wanted = 2 * 1.5**2 + float(answer.square().sum()) + 1.5**2 + 2.5**2
    assert conditional_frechet_distance(real, fake, y) == pytest.approx(wanted, rel=1e-9)
    # Another noise of the same deviation is as good.
    again = y @ answer + 0.5 * second
    assert conditional_frechet_distance(real, again, y) == pytest.approx(0.0, abs=1e-9)


def test_does_not_depend_on_the_scale_of_the_condition(parts):
    y, first, second = parts
    real, fake = y[:, :2] + first, y[:, 1:] + 2 * second
    mixed = y @ torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.1, 0.0], [0.0, 3.0, 1.0]]).double() + 4
    once = conditional_frechet_distance(real, fake, y)
    assert conditional_frechet_distance(real, fake, mixed) == pytest.approx(once, rel=1e-9)
    repeated = torch.cat([y, y[:, :1]], dim=1)  # a singular covariance
    assert conditional_frechet_distance(real, fake, repeated) == pytest.approx(once, rel=1e-9)


def test_sees_answers_to_other_questions(parts):
    """The same pictures in another order: equal in distribution, wrong each for its condition."""
    y, first, _ = parts
    real = y[:, :2] + 0.1 * first
    wrong = real.roll(1, dims=0)
    assert frechet_distance(real, wrong) == pytest.approx(0.0, abs=1e-6)
    assert conditional_frechet_distance(real, wrong, y) > 2
    assert conditional_frechet_distance(real, real, y) == pytest.approx(0.0, abs=1e-9)
