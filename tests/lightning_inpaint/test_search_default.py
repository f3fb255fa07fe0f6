"""What walks where nothing is asked for: a search where z is all there is."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from lightning_inpaint import LatentInpainter, UserError
from lightning_inpaint.completing import inpainter
from lightning_inpaint.optim import MAP, Search


class Wavy(nn.Module):
    """Four latents to 8x8 pictures with wrong valleys."""

    z_dim = 4

    def __init__(self, z_dim: int = 4) -> None:
        super().__init__()
        self.z_dim = z_dim
        gen = torch.Generator().manual_seed(1)
        self.mix = nn.Parameter(torch.randn(3 * z_dim, 64, generator=gen) / 3)

    def forward(self, z: Tensor) -> Tensor:
        waves = torch.cat([torch.sin(k * z + k) / k for k in (1, 2, 3)], dim=1)
        return torch.tanh(waves @ self.mix).view(-1, 1, 8, 8)


def batch(n: int) -> dict:
    z = torch.randn(n, 4, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        image = ((Wavy()(z) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    mask = torch.zeros(n, 1, 8, 8)
    mask[..., 4:] = 1
    return {"image": image, "mask": mask, "id": [f"p{i}" for i in range(n)]}


def test_a_module_of_ones_own_is_searched_and_arrives() -> None:
    module = LatentInpainter(Wavy(), chains=2)
    assert module.sampler.cls is Search
    done = module.predict_step(batch(6))
    assert done is not None
    assert done.diagnostics["arrived"][:, 0].mean() == 1
    assert (done.psnr[:, 0] > 30).all()
    assert done.draws_from is not None
    # what is recorded is what ran
    assert json.loads(json.dumps(module.hparams["sampler"]))["class_path"].endswith("Search")


def test_completions_do_not_depend_on_their_batch() -> None:
    module = LatentInpainter(Wavy())
    whole = module.predict_step(batch(6))
    some = {k: v[2:4] for k, v in batch(6).items()}
    part = module.predict_step(some)
    assert whole is not None
    assert part is not None
    assert torch.equal(part.raw, whole.raw[2:4])
    assert torch.equal(part.latents, whole.latents[2:4])


def test_native_networks_and_very_many_latents_are_not(tiny_generator) -> None:
    assert LatentInpainter(tiny_generator).sampler.cls is MAP
    assert LatentInpainter(Wavy(1025)).sampler.cls is MAP


@pytest.mark.parametrize(
    ("preset", "few", "many"),
    [("default", "Search", "MAP"), ("fast", "Search", "MAP"), ("exact", "Search", "AnnealedHMC")],
)
def test_a_preset_means_something_for_either(preset, few, many, tiny_generator) -> None:
    assert inpainter(preset, Wavy()).sampler.name == few
    assert inpainter(preset, tiny_generator).sampler.name == many
    assert inpainter(preset, Wavy(), noise_std=0.3).noise_std == 0.3


def test_the_default_preset_is_what_runs_without_one(tiny_generator) -> None:
    for generator in (Wavy(), tiny_generator):
        plain, preset = LatentInpainter(generator), inpainter("default", generator)
        assert plain.sampler == preset.sampler
        assert dict(plain.hparams) == dict(preset.hparams)


def test_options_without_a_sampler_are_those_of_the_one_that_walks(tiny_generator) -> None:
    assert inpainter(None, Wavy(), sampler_options={"screen": 9}).sampler.options["screen"] == 9
    with pytest.raises(UserError, match="MAP has no option 'screen': it belongs to search"):
        inpainter(None, tiny_generator, sampler_options={"screen": 9})
    own = {"sampler.few": {}, "screen": 9}
    with pytest.raises(UserError, match="has no option"):
        inpainter(None, Wavy(), sampler_options=own)


@pytest.mark.parametrize("noise_std", [0.02, 0.1])
def test_noise_std_of_the_model_is_the_searchs(noise_std: float) -> None:
    module = LatentInpainter(Wavy(), noise_std=noise_std)
    assert module.sampler.options["noise_std"] == noise_std
