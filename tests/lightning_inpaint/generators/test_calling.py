"""What a network takes and returns is found out, or said in one sentence."""

import math

import my_networks
import pytest
import torch

from lightning_inpaint import LatentInpainter
from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import load_generator
from lightning_inpaint.generators.priors import PRIORS, prior_map
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.optim import PluginDiffusion


@pytest.mark.parametrize(
    ("name", "sizes", "labels"),
    [
        ("LabelsFirst", (6, 4, 8, 3), "index"),
        ("Embedded", (6, 5, 8, 3), "shared"),
        ("OneHotMaps", (7, 3, 8, 1), "one_hot_map"),
        ("OneHotMaps(nz=4, n_classes=2)", (4, 2, 8, 1), "one_hot_map"),
        ("InnerTable", (9, 10, 28, 1), "index"),
        ("Half", (6, 0, 8, 3), "index"),
    ],
)
def test_inputs_are_found_out(name, sizes, labels):
    g = load_generator(f"my_networks:{name}")
    assert (g.z_dim, g.num_classes, g.resolution, g.img_channels) == sizes
    assert g.call.labels == labels
    z = torch.randn(3, g.z_dim)
    out = g(z, torch.tensor([0, 1, 1]) if g.num_classes else None)
    assert out.shape == (3, g.img_channels, g.resolution, g.resolution)
    assert out.dtype == torch.float32


def test_labels_reach_the_network():
    g = load_generator("my_networks:LabelsFirst")
    z, labels = torch.randn(2, 6), torch.tensor([1, 3])
    torch.testing.assert_close(g(z, labels), g.module(labels, z))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((784,), (1, 28)),
        ((3072,), (3, 32)),
        ((28, 28), (1, 28)),
        ((28, 28, 1), (1, 28)),
        ((20, 20, 3), (3, 20)),
        ((1, 28, 28), (1, 28)),
        ((3, 48, 48), (3, 48)),
    ],
)
def test_pictures_of_any_layout(shape, expected):
    g = load_generator(my_networks.line(shape=shape))
    assert (g.img_channels, g.resolution) == expected
    z = torch.randn(2, 6)
    raw = g.module(z)
    raw = raw.permute(0, 3, 1, 2) if shape[-1] in (1, 3) else raw
    torch.testing.assert_close(g(z), raw.reshape(2, expected[0], expected[1], expected[1]))


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 1), (0, 255)])
def test_the_range_is_noticed_by_samples(low, high):
    g = load_generator(my_networks.line(low=low, high=high))
    z = torch.randn(4, 6)
    torch.testing.assert_close(g(z), (g.module(z) - low) * 2 / (high - low) - 1)


@pytest.mark.parametrize("by", ["argument", "attribute"])
def test_any_range_can_be_set(by):
    own = {"low": -0.42, "high": 2.82}
    if by == "argument":
        g = load_generator(my_networks.line(**own), value_range=[-0.42, 2.82])
    else:
        g = load_generator(my_networks.line(value_range=(-0.42, 2.82), **own))
    pictures = g(torch.randn(64, 6))
    assert float(pictures.min()) == pytest.approx(-1, abs=0.02)
    assert float(pictures.max()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"low": -0.4, "high": 2.8}, r"samples lie between -0\.4 and 2\.8.*set `value_range`"),
        ({"low": -4, "high": 4}, r"set `value_range` to the values of black and white"),
        ({"shape": (3, 8, 16)}, r"draws pictures of 8x16 .height x width., and only square ones"),
        ({"shape": (4, 8, 8)}, "pictures with 4 channels, and only 1 .grey. or 3 .colour."),
        ({"shape": (2, 8, 8)}, "pictures with 2 channels"),
        ({"shape": (5,)}, r"gives no square pictures .N, C, R, R.: it returned .2, 5."),
        ({"value_range": (1, 0)}, "`value_range` is .1, 0.; it must be two numbers"),
        ({"latent_prior": "cauchy"}, "`latent_prior` is 'cauchy'; it must be one of gaussian"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_write(attributes, sentence):
    with pytest.raises(UserError, match=sentence):
        load_generator(my_networks.line(**attributes))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ThreeInputs", "takes z, alpha and steps, and only latents and labels can be given"),
        ("Unnamed", "takes z and alpha, and nothing says what the second is"),
        ("LabelsOfUnknownNumber", r"forward\(z, label\) wants labels, .*attribute num_classes"),
    ],
)
def test_several_inputs_are_explained(name, sentence):
    with pytest.raises(UserError, match=sentence):
        load_generator(f"my_networks:{name}")


def test_noise_of_its_own_is_noticed():
    before = torch.get_rng_state()
    assert not load_generator(my_networks.FreshNoise()).deterministic
    assert load_generator(my_networks.line()).deterministic
    torch.set_rng_state(before)


def test_exact_samplers_refuse_noise_that_is_drawn_anew():
    batch = {"image": torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "mask": torch.zeros(1, 1, 8, 8)}
    with pytest.raises(UserError, match="gives other pictures when called again"):
        LatentInpainter(my_networks.FreshNoise()).predict_step(batch)
    seed = LatentInpainter(my_networks.FreshNoise(), sampler=lambda u: PluginDiffusion(u, steps=2))
    assert seed.predict_step(batch).raw.shape == (1, 1, 3, 8, 8)


# -- priors ----------------------------------------------------------------------------------------

U = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("prior", "low", "high"), [("uniform", -1, 1), ("uniform01", 0, 1)])
def test_uniform_latents_are_uniform(prior, low, high):
    z = PRIORS[prior](U)
    assert low < float(z.min()) < float(z.max()) < high
    assert float(z.mean()) == pytest.approx((low + high) / 2, abs=0.005)
    assert float(z.var()) == pytest.approx((high - low) ** 2 / 12, abs=0.005)
    torch.testing.assert_close(
        torch.quantile(z, 0.25).item(), low + (high - low) / 4, atol=0.005, rtol=0
    )


@pytest.mark.parametrize("prior", ["uniform", "uniform01"])
def test_the_slope_of_uniform_latents(prior):
    u = torch.linspace(-4, 4, 41, dtype=torch.float64)[:, None].requires_grad_()
    PRIORS[prior](u).sum().backward()
    density = torch.exp(-u.detach().square() / 2) / math.sqrt(2 * math.pi)
    torch.testing.assert_close(u.grad, density * (2 if prior == "uniform" else 1))


@pytest.mark.parametrize(("prior", "radius"), [("sphere", 1), ("large_sphere", math.sqrt(7))])
def test_the_sphere(prior, radius):
    u = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    z = prior_map(prior)(u)
    torch.testing.assert_close(z.norm(dim=1), torch.full((5,), float(radius), dtype=torch.float64))
    torch.testing.assert_close(
        z.detach() * u.norm(dim=1, keepdim=True).detach() / radius, u.detach()
    )
    assert torch.autograd.gradcheck(PRIORS[prior], (u,))


@pytest.mark.parametrize("prior", PRIORS)
def test_the_network_gets_latents_of_its_prior(prior):
    module = my_networks.line()
    g = load_generator(module, latent_prior=prior)
    u = torch.randn(4, 6)
    torch.testing.assert_close(g(u), module(PRIORS[prior](u)))
    assert LatentSpace(g).scale_free == ([0] if "sphere" in prior else [])


def test_a_prior_may_be_an_attribute():
    assert load_generator(my_networks.line(latent_prior="uniform")).latent_prior == "uniform"


@pytest.mark.parametrize("option", [{"latent_prior": "uniform"}, {"value_range": (0, 1)}])
def test_bundled_networks_know_theirs(option):
    with pytest.raises(UserError, match="leave it out"):
        load_generator("cifar10", **option)


def test_a_posterior_under_a_uniform_prior_is_the_closed_form():
    """One latent, a linear picture: u's density is known, and the sampler's draws have its moments."""

    class Ramp(torch.nn.Module):
        z_dim, latent_prior, value_range = 1, "uniform", (-1.0, 1.0)

        def forward(self, z):
            return z[:, :, None, None].expand(-1, 1, 2, 2)

    g = load_generator(Ramp())
    u = torch.linspace(-4, 4, 4001, dtype=torch.float64)[:, None]
    target, std = 0.5, 0.3
    exact = torch.exp(-((torch.erf(u / math.sqrt(2)) - target) ** 2) / (2 * std**2) - u**2 / 2)
    grid = torch.exp(-((g(u)[:, 0, 0, 0] - target) ** 2)[:, None] / (2 * std**2) - u**2 / 2)
    torch.testing.assert_close(grid, exact)
    # in z the prior is flat: the posterior of z is a normal cut off at the ends
    z = torch.linspace(-1, 1, 4001, dtype=torch.float64)
    flat = torch.exp(-((z - target) ** 2) / (2 * std**2))
    mean_by_u = (g(u)[:, 0, 0, 0] * exact[:, 0]).sum() / exact.sum()
    torch.testing.assert_close(mean_by_u, (z * flat).sum() / flat.sum(), atol=1e-3, rtol=0)


def test_from_python():
    model = LatentInpainter(my_networks.line(latent_prior="sphere"))
    assert model.space.scale_free == [0]
