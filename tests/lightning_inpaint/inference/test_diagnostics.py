"""R-hat and effective sample size against chains whose values are known."""

from __future__ import annotations

import pytest
import torch

from lightning_inpaint.inference.agreement import agreement
from lightning_inpaint.inference.diagnostics import (
    bulk_ess,
    rank_normalize,
    split_rhat,
    tail_ess,
)


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


def test_tail_ess_of_independent_draws_is_their_number_and_less_where_tails_stick() -> None:
    free = autoregression(0.0, 4000, 8)
    assert abs(tail_ess(free) / free.numel() - 1) < 0.1
    # excursions last: the bulk mixes at once, the tail does not
    sticky = free.clone()
    far = autoregression(0.99, 4000, 8, seed=1) > 1.5
    sticky[far] = 6 + sticky[far]
    assert tail_ess(sticky) < 0.1 * tail_ess(free)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("figure", [split_rhat, bulk_ess, tail_ess])
def test_of_a_draw_that_is_not_finite_nothing_is_claimed(figure, bad) -> None:
    draws = autoregression(0.0, 100, 4)[..., None].repeat(1, 1, 2)
    draws[50, 2, 0] = bad
    found = figure(draws)
    assert found[0].isnan()
    assert found[1].isfinite()


def test_a_picture_with_such_a_draw_has_no_figures_and_its_neighbour_has() -> None:
    draws = autoregression(0.0, 40, 8)[..., None].repeat(1, 1, 3)
    draws[30, 1, 2] = float("nan")
    for name, values in agreement(draws, 4).items():
        assert values[:4].isnan().all(), name
        assert values[4:].isfinite().all(), name


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.9])
@pytest.mark.parametrize(("method", "figure"), [("bulk", bulk_ess), ("tail", tail_ess)])
def test_effective_sample_sizes_are_those_of_arviz(rho, method, figure) -> None:
    arviz = pytest.importorskip("arviz_stats.base").array_stats
    x = autoregression(rho, 500, 4)
    levels = {"prob": (0.05, 0.95)} if method == "tail" else {}
    expected = float(arviz.ess(x.T.numpy(), chain_axis=0, draw_axis=1, method=method, **levels))
    assert abs(figure(x) / expected - 1) < 0.01


def test_rhat_is_that_of_arviz() -> None:
    arviz = pytest.importorskip("arviz_stats.base").array_stats
    x = autoregression(0.9, 200, 4)
    expected = float(arviz.rhat(x.T.numpy(), chain_axis=0, draw_axis=1, method="rank"))
    assert abs(split_rhat(x) - expected) < 1e-6
