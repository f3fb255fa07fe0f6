"""The closed-form diffusion over Gaussian latents."""

import pytest
import torch

from lightning_inpaint.optim.schedule import make_schedule, predict_start


def test_linear_schedule_is_the_seeds():
    schedule = make_schedule("linear", 500, 1e-4, 0.02)
    assert schedule.betas[0] == pytest.approx(0.02)  # t = T comes first
    assert schedule.betas[-1] == pytest.approx(1e-4)
    product = 1.0
    for k in range(500):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * k / 499)
    assert float(schedule.alphas_bar[0]) == pytest.approx(product, rel=1e-12)
    assert float(schedule.alphas_bar[-1]) == pytest.approx(1 - 1e-4, rel=1e-12)


def test_geometric_schedule_has_constant_ratios():
    betas = make_schedule("geometric", 5, 1e-6, 1e-2).betas
    assert torch.allclose(betas[:-1] / betas[1:], torch.full((4,), 10.0, dtype=torch.float64))


def test_predicted_start_has_the_stated_moments():
    u = torch.full((1, 200_000), 2.0, dtype=torch.float64)
    noise = torch.randn(u.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = predict_start(u, 0.36, noise)
    assert float(x.mean()) == pytest.approx(1.2, abs=4 * 0.8 / 200_000**0.5)
    assert float(x.var()) == pytest.approx(0.64, rel=0.02)
    assert torch.equal(predict_start(u, 1.0, noise), u)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("linear", 0, 0.1, 0.2), "steps must be at least 1, got 0"),
        (("linear", 5, 0.0, 0.2), "beta_start must lie in"),
        (("linear", 5, 0.1, 1.0), "beta_end must lie in"),
        (("cosine", 5, 0.1, 0.2), "'cosine'"),
    ],
)
def test_bad_settings_are_quoted(arguments, text):
    with pytest.raises(ValueError, match=text):
        make_schedule(*arguments)
