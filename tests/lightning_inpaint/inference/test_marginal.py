"""An unknown sigma, integrated out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from lightning_inpaint import LatentInpainter, UserError
from lightning_inpaint.generators import load_generator
from lightning_inpaint.images.levels import from_uint8, to_uint8
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.marginal import ROUNDING, Marginal
from lightning_inpaint.inference.observation import Observation
from lightning_inpaint.inference.posterior import Posterior
from lightning_inpaint.noise import ChainStreams

NOISE = 0.2


class Linear(nn.Module):
    """One latent to 8x8 pictures, a straight line."""

    z_dim = 1
    img_channels, img_resolution = 1, 8

    def __init__(self, z_dim: int = 1) -> None:
        super().__init__()
        self.z_dim = z_dim
        gen = torch.Generator().manual_seed(1)
        self.mix = nn.Parameter(0.05 * torch.randn(z_dim, 64, generator=gen))

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.mix).view(-1, 1, 8, 8)


def observation(n: int) -> Observation:
    gen = torch.Generator().manual_seed(3)
    picture = Linear()(torch.full((1, 1), 0.7)).detach()
    picture = picture + NOISE * torch.randn(1, 1, 8, 8, generator=gen)
    known = torch.ones(n, 1, 8, 8)
    known[..., 4:] = 0
    return Observation(picture.expand(n, -1, -1, -1), known, None)


def posterior(n: int, sigma: float = 0.05) -> Posterior:
    streams = ChainStreams(0, ["a"] * n, list(range(n)))
    space = LatentSpace(load_generator(Linear(), value_range=[-1.0, 1.0]))
    return Posterior(space, observation(n), streams, marginal=Marginal(sigma))


@pytest.mark.parametrize("sigma", [0.02, 1.0])
def test_the_potential_is_the_integral_over_sigma(sigma: float) -> None:
    """Gaussian likelihoods over a fine grid of sigmas, under the prior 1 / sigma."""
    u = torch.tensor([[-2.0], [0.0], [0.7], [3.0]])
    seen = posterior(4, sigma)
    value, _ = seen.gradient(u)
    energy = seen.energy(u).double() + 32 * ROUNDING
    log_std = torch.linspace(-8, 6, 20_001, dtype=torch.float64)[:, None]
    density = -32 * log_std - energy / (2 * torch.exp(2 * log_std))  # of log sigma
    expected = -density.logsumexp(dim=0)
    found = value.double() / (2 * sigma**2)
    assert torch.allclose(found - found[0], expected - expected[0], atol=2e-4)


def test_its_gradient_is_that_of_the_profiled_sigma() -> None:
    u = torch.tensor([[-1.0], [2.0]])
    seen = posterior(2)
    plain = Posterior(seen.space, seen.observation, seen.streams)
    _, slope = seen.gradient(u)
    energy, other = plain.gradient(u)
    variance = energy / 32 + ROUNDING
    assert torch.allclose(slope / (2 * 0.05**2), other / (2 * variance[:, None]), rtol=1e-5)


def test_what_a_sampler_has_seen_gives_the_energy_back() -> None:
    energy, values = torch.tensor([1e-3, 1.0, 500.0]), torch.tensor([32.0, 1536.0, 1536.0])
    marginal = Marginal(0.02)
    assert torch.allclose(marginal.energy(marginal.seen(energy, values), values), energy, rtol=1e-3)


def test_where_nothing_is_known_there_is_no_slope() -> None:
    seen = posterior(1)
    blank = seen.observation._replace(known=torch.zeros(1, 1, 8, 8))
    value, slope = Posterior(seen.space, blank, seen.streams, marginal=Marginal(0.05)).gradient(
        torch.ones(1, 1)
    )
    assert value == 0
    assert slope == 0


def test_the_fisher_probe_has_the_profiled_sigma() -> None:
    seen = posterior(1)
    plain = Posterior(seen.space, seen.observation, seen.streams)
    u = torch.tensor([[1.0]])
    ratio = seen.squared_probe(u, 0) / plain.squared_probe(u, 0)
    assert float(ratio) == pytest.approx(
        0.05**2 / (float(plain.energy(u)) / 32 + ROUNDING), rel=1e-5
    )


@pytest.mark.parametrize("sampler", ["hmc", "slice"])
def test_draws_are_a_students_t_times_the_prior(sampler: str) -> None:
    """A line: (S + (u - m)^2 a)^(-d/2) exp(-u^2 / 2), by quadrature."""
    options = {"steps": 60, "burn_in": 0.5}
    module = LatentInpainter(
        Linear(),
        value_range=[-1.0, 1.0],
        sampler={"class_path": sampler, "init_args": options},
        noise_std="auto",
        chains=1500,
    )
    seen = observation(1)
    levels = to_uint8(seen.target)
    done = module.predict_step({"image": levels, "mask": 1 - seen.known, "id": ["a"]})
    assert done is not None
    grid = torch.linspace(-6, 6, 4001, dtype=torch.float64)[:, None]
    pictures = Linear().double()(grid).detach()
    target = from_uint8(levels).double()
    energy = ((pictures - target) * seen.known).square().sum(dim=(1, 2, 3)) + 32 * ROUNDING
    log = -16 * energy.log() - grid[:, 0].square() / 2
    weight = (log - log.logsumexp(0)).exp()
    mean = float((weight * grid[:, 0]).sum())
    std = math.sqrt(float((weight * (grid[:, 0] - mean).square()).sum()))
    draws = done.latents[0, :, 0].double()
    assert abs(float(draws.mean()) - mean) < 4 * std / math.sqrt(1500)
    assert float(draws.std()) == pytest.approx(std, rel=0.08)
    assert float(done.diagnostics["noise_std"].mean()) == pytest.approx(NOISE, rel=0.2)
    assert "chi2" not in done.diagnostics
    assert module.hparams["noise_std"] == "auto"


@pytest.mark.parametrize(
    ("sampler", "text"),
    [
        ("search", "the sampler Search has to know it"),
        ("plugin", "the sampler PluginDiffusion has to know it"),
        ({"class_path": "map", "init_args": {"stop_psnr": 30.0}}, "MAP with stop_psnr has to"),
    ],
)
def test_a_sampler_that_has_to_know_sigma_says_so(sampler, text: str) -> None:
    with pytest.raises(UserError, match=text):
        LatentInpainter(Linear(), sampler=sampler, noise_std="auto")


def test_by_default_a_sampler_walks_that_can() -> None:
    assert LatentInpainter(Linear(), noise_std="auto").sampler.name == "AnnealedHMC"
    with pytest.raises(UserError, match="positive number, or auto"):
        LatentInpainter(Linear(), noise_std="atuo")  # type: ignore[arg-type]
