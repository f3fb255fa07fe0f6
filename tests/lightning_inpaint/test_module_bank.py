"""The bank of prior draws: its energies are those of the pictures, and its memory is bounded."""

import pytest
import torch
from torch import nn

from lightning_inpaint.inference.bank import PriorBank
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.observation import masked_squared_error


class Shades(nn.Module):
    """Flat pictures: dark for class 0, light for class 1."""

    z_dim, num_classes, img_channels = 3, 2, 3

    def __init__(self, resolution):
        super().__init__()
        self.resolution = resolution

    def forward(self, z, labels):
        shade = (labels - 0.5)[:, None, None, None] + 0.1 * z[:, :, None, None]
        return shade.expand(-1, -1, self.resolution, self.resolution)


def evidence(resolution):
    random = torch.Generator().manual_seed(0)
    known = torch.zeros(2, 1, resolution, resolution)
    known[..., : resolution // 2] = 1
    noise = 0.1 * torch.randn(2, 3, resolution, resolution, generator=random)
    return torch.tensor([-0.5, 0.5]).view(2, 1, 1, 1) + noise, known


def test_energies_are_those_of_the_pictures():
    bank = PriorBank(LatentSpace(Shades(8)), draws=4)
    target, known = evidence(8)
    pictures = bank.pictures.view(8, 3, 8, 8)
    for n in range(2):
        expected = masked_squared_error(pictures, target[[n]], known[[n]]).view(2, 4)
        torch.testing.assert_close(bank.energies(target, known)[n], expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("resolution", [8, 64])
def test_classes_and_starts_at_any_resolution(resolution):
    bank = PriorBank(LatentSpace(Shades(resolution)), draws=16)
    assert bank.pictures.shape == (32, 3 * min(resolution, 32) ** 2)
    target, known = evidence(resolution)
    hidden = target.clone()
    hidden[..., resolution // 2 :] = 9.0  # what the mask hides must not count
    posterior = bank.class_posterior(hidden, known)
    assert posterior.argmax(dim=1).tolist() == [0, 1]
    torch.testing.assert_close(posterior, bank.class_posterior(target, known))
    start = bank.start(hidden, known, torch.tensor([0, 1]), torch.full((2, 1), 0.5))
    drawn = bank.space(start, torch.tensor([0, 1]))
    best = bank.energies(target, known)[[0, 1], [0, 1]]
    energy = masked_squared_error(drawn, target, known)
    assert (energy < best.median(dim=1).values * 1.5).all()
