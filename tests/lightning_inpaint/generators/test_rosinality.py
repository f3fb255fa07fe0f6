"""Checkpoints of rosinality's stylegan2-pytorch."""

import io

import pytest
import torch
import wire

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import load_generator
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator


@pytest.fixture
def original() -> StyleGAN2Generator:
    torch.manual_seed(3)
    generator = StyleGAN2Generator(
        z_dim=8, w_dim=8, resolution=16, mapping_layers=3, channel_base=128, channel_max=12
    )
    for value in generator.state_dict().values():
        value.add_(torch.randn_like(value) * 0.1)
    return generator.double().eval().requires_grad_(False)


@pytest.mark.parametrize("old_form", [False, True])
@pytest.mark.parametrize("average", [False, True])
def test_same_pictures_from_either_form(tmp_path, original, old_form, average):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(wire.rosinality(original, old_form=old_form, average=average))
    loaded = load_generator(path)
    z = torch.randn(2, 8, dtype=torch.float64)
    truncation = 0.7 if average else 1.0
    expected = original(z, noise="const", truncation=truncation)
    torch.testing.assert_close(
        loaded(z, noise="const", truncation=truncation), expected, rtol=0, atol=1e-12
    )


def test_average_w_is_estimated_where_the_file_has_none(tmp_path, original):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(wire.rosinality(original, average=False))
    z = torch.randn(20000, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    w = original.mapping.single(z, None)
    bound = 6 * w.std(dim=0) / 4096**0.5
    assert ((load_generator(path).mapping.w_avg - w.mean(dim=0)).abs() < bound).all()


def test_two_filters_are_refused(tmp_path, original):
    state = wire.rosinality_state(original)
    state["to_rgbs.0.upsample.kernel"] = torch.ones(4, 4) / 4
    stream = io.BytesIO()
    torch.save({"g_ema": state}, stream)
    (tmp_path / "two.pt").write_bytes(stream.getvalue())
    with pytest.raises(UserError, match="different filters"):
        load_generator(tmp_path / "two.pt")


def test_missing_weights_are_named(tmp_path, original):
    (tmp_path / "ema.pt").write_bytes(wire.rosinality(original))
    with pytest.raises(UserError, match=r"ema\.pt: it holds no g;"):
        load_generator(tmp_path / "ema.pt", weights="G")
