"""Features made again for the gradient: the same walk in less memory."""

import pytest
import torch
from torch import nn

from lightning_inpaint import LatentInpainter
from lightning_inpaint.errors import UserError
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.sizing import bytes_per_chain
from lightning_inpaint.optim import MAP


@pytest.fixture
def generator():
    torch.manual_seed(0)
    made = StyleGAN2Generator(16, 3, 16, 64, mapping_layers=2, channel_base=512, channel_max=16)
    return made.eval().requires_grad_(False)


def batch():
    mask = torch.zeros(2, 1, 64, 64)
    mask[..., 32:] = 1
    image = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    return {"image": image.to(torch.uint8), "mask": mask, "label": torch.tensor([0, 2])}


def test_completions_are_the_same(generator):
    def completed(**options):
        module = LatentInpainter(generator, sampler=lambda p: MAP(p, steps=4), **options)
        return module.predict_step(batch())

    plain, saving = completed(), completed(recompute=True)
    assert torch.equal(plain.raw, saving.raw)
    assert torch.equal(plain.energy, saving.energy)


def test_less_is_kept_for_the_gradient(generator):
    def kept():
        total = {}

        def note(t):
            total[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        space = LatentSpace(generator, "z++noise+slack")
        u = torch.ones(2, space.dim, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            space(u, torch.tensor([0, 1])).square().sum().backward()
        return sum(total.values()), bytes_per_chain(space), u.grad

    plain, fits, gradient = kept()
    generator.synthesis.recompute = True
    saving, fits_saving, same = kept()
    assert torch.equal(gradient, same)
    assert saving < 0.6 * plain
    assert fits_saving < fits
    assert generator.synthesis.recompute


def test_other_modules_cannot():
    class Own(nn.Module):
        z_dim, num_classes, resolution, img_channels = 4, 0, 8, 3

        def forward(self, z, labels=None):
            return z.new_zeros(len(z), 3, 8, 8)

    with pytest.raises(UserError, match="`recompute` is for StyleGAN2 generators"):
        LatentInpainter(Own(), recompute=True)


def test_not_in_compiled_steps():
    with pytest.raises(UserError, match="`recompute` has no effect in compiled steps"):
        LatentInpainter("placeholder", recompute=True, compile=True)
