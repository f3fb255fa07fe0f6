"""R-hat and effective sample size against chains whose values are known."""

from __future__ import annotations

import pytest
import torch

from lightning_inpaint.inference.diagnostics import bulk_ess, rank_normalize, split_rhat


def autoregression(rho: float, draws: int, chains: int, seed: int = 0) -> torch.Tensor:
    gen = torch.Generator().manual_seed(seed)
    x = torch.randn(draws, chains, generator=gen, dtype=torch.float64)
    for t in range(1, draws):
        x[t] = rho * x[t - 1] + (1 - rho**2) ** 0.5 * x[t]
    return x


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.5, 0.9])
def test_ess_of_an_autoregression_is_the_textbook_value(rho: float) -> None:
    x = autoregression(rho, 4000, 8)
    assert abs(bulk_ess(x) / (x.numel() * (1 - rho) / (1 + rho)) - 1) < 0.1


def test_rhat_is_one_in_agreement_and_sees_location_scale_and_drift() -> None:
    same = autoregression(0.0, 500, 4)
    shifted, scaled, drifting = same.clone(), same.clone(), same.clone()
    shifted[:, 0] += 1
    scaled[:, 0] *= 4
    drifting += torch.linspace(-1, 1, 500)[:, None]
    values = split_rhat(torch.stack([same, shifted, scaled, drifting], dim=2))
    assert values[0] < 1.01
    assert (values[1:] > 1.05).all()


def test_rhat_does_not_change_under_monotone_maps() -> None:
    x = autoregression(0.5, 200, 4)
    assert abs(bulk_ess(x.exp()) - bulk_ess(x)) < 1e-9
    heavy = torch.tan(x.clamp(-1.5, 1.5))
    assert abs(split_rhat(heavy) - split_rhat(x)) < 0.02


def test_ranks_share_ties_and_are_standard_normal() -> None:
    scores = rank_normalize(torch.tensor([[1.0, 2.0], [2.0, 3.0]]))
    assert scores[0, 1] == scores[1, 0]
    assert abs(scores.sum()) < 1e-12
    many = rank_normalize(autoregression(0.0, 1000, 2) ** 3)
    assert abs(many.std() - 1) < 0.01


def test_constants_give_nan_and_short_chains_are_refused() -> None:
    assert split_rhat(torch.ones(10, 2)).isnan()
    assert bulk_ess(torch.ones(10, 2)).isnan()
    with pytest.raises(ValueError, match="at least 4 draws per chain, got 3"):
        split_rhat(torch.ones(3, 2))
    with pytest.raises(ValueError, match="at least 8 draws, got 7"):
        bulk_ess(torch.ones(7, 2))
