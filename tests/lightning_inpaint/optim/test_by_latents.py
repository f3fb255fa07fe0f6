"""The choice between two samplers, by the latents that there are."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from lightning_inpaint.optim import (
    HMC,
    MAP,
    SAMPLERS,
    ByLatents,
    ChainContext,
    SamplerSpec,
    Search,
)

FEW, MAPS, MANY = [(8,)], [(8,), (4, 4)], [(8,), (4, 4, 2)]
MAPS_INIT = {"noise_std": 0.03, "trajectories": 0, "anchor": "start"}
MANY_INIT = {"steps": 100, "noise_std": 0.03, "anchor": "start"}


@pytest.mark.parametrize(
    ("shapes", "cls"),
    [(FEW, Search), (MAPS, Search), (MANY, MAP), ([(1025,)], MAP), ([(8,), (256, 256)], MAP)],
)
def test_one_for_few_latents_and_one_for_many(shapes, cls) -> None:
    spec = SamplerSpec.of(ByLatents, SAMPLERS, shapes)
    assert spec.cls is cls
    own = MANY_INIT if cls is MAP else MAPS_INIT if shapes is MAPS else {}
    group = {"params": [nn.Parameter(torch.zeros(1, 1))], "context": BLANK}
    assert spec.options == cls([group], **own).options


BLANK = ChainContext(probe=lambda u, draw: u, observed=torch.ones(1), residual=lambda u, rows: u)


def test_it_makes_the_sampler_itself() -> None:
    u = nn.Parameter(torch.zeros(2, 3))
    assert isinstance(ByLatents([{"params": [u], "context": BLANK}], steps=150), Search)
    assert isinstance(ByLatents([u], few={"class_path": "map", "init_args": {"steps": 3}}), MAP)


@pytest.mark.parametrize(("shapes", "steps"), [(FEW, 5), (MAPS, 7), (MANY, 7)])
def test_a_preset_says_both(shapes, steps) -> None:
    both = {
        "few": {"class_path": "map", "init_args": {"steps": 5}},
        "many": {"class_path": "hmc", "init_args": {"steps": 7, "noise_std": 0.3}},
    }
    spec = SamplerSpec.of(functools.partial(ByLatents, **both), SAMPLERS, shapes)
    assert spec.cls is (MAP if steps == 5 else HMC)
    assert spec.options["steps"] == steps
    assert SamplerSpec.of(spec.portable, SAMPLERS) == spec._replace(free=False)


def test_an_option_is_the_chosen_ones() -> None:
    spec = SamplerSpec.of({"class_path": "ByLatents", "init_args": {"screen": 9}}, TABLE, FEW)
    assert spec.options["screen"] == 9
    with pytest.raises(ValueError, match="MAP has no option 'screen': it belongs to search"):
        SamplerSpec.of(ByLatents, SAMPLERS, MANY, screen=9)


TABLE = {**SAMPLERS, "by_latents": ByLatents}


def test_sigma_of_a_preset_is_a_default_and_a_users_is_not() -> None:
    many = {"class_path": "hmc", "init_args": {"noise_std": 0.3}}
    spec = SamplerSpec.of(ByLatents, SAMPLERS, MANY, many=many)
    assert spec.noise_std == 0.3
    assert spec.with_noise_std(0.1).noise_std == 0.1
    spec = SamplerSpec.of(ByLatents, SAMPLERS, MANY, many=many, noise_std=0.2)
    with pytest.raises(
        ValueError, match=r"noise_std is 0\.1, and the sampler's own noise_std 0\.2"
    ):
        spec.with_noise_std(0.1)
