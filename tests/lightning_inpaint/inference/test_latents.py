"""Latent spaces: names, layout, and that each is what it says."""

import pytest
import torch

from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator
from lightning_inpaint.inference.latents import LatentSpace, parse_latents, smooth


def test_names_come_apart():
    assert parse_latents("z").base == "z"
    wide = parse_latents("z++noise+slack")
    assert (wide.base, wide.noise, wide.slack) == ("z+", True, True)
    assert parse_latents("w+slack").base == "w"
    for bad in ("", "y", "z+slack+noise", "noise"):
        with pytest.raises(ValueError, match="unknown"):
            parse_latents(bad)


def test_z_is_the_generator(tiny_generator):
    u = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2])
    space = LatentSpace(tiny_generator, "z")
    assert space.dim == 8
    assert torch.equal(space(u, labels, "const"), tiny_generator(u, labels, "const"))


def test_noise_maps_are_latents(tiny_generator):
    space = LatentSpace(tiny_generator, "z+noise")
    assert space.dim == 8 + 16 + 64 + 64
    u = torch.randn(2, space.dim, generator=torch.Generator().manual_seed(0))
    maps = [u[:, 8:24].view(2, 1, 4, 4), *u[:, 24:].view(2, 2, 1, 8, 8).unbind(1)]
    expected = tiny_generator(u[:, :8], torch.tensor([0, 1]), maps)
    assert torch.allclose(space(u, torch.tensor([0, 1])), expected, atol=1e-6)


def test_equal_z_in_all_layers_is_z(tiny_generator):
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([2, 0])
    wide = LatentSpace(tiny_generator, "z+")
    assert wide.dim == 8 * tiny_generator.num_ws
    u = z[:, None].expand(-1, tiny_generator.num_ws, -1).flatten(1)
    plain = LatentSpace(tiny_generator, "z")(z, labels)
    assert torch.allclose(wide(u, labels), plain, atol=1e-6)


def test_no_slack_is_the_generator_and_slack_moves_it_in_proportion(tiny_generator):
    labels = torch.tensor([1])
    u = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    plain = LatentSpace(tiny_generator, "z")(u, labels)
    none = LatentSpace(tiny_generator, "z+slack", 0.0)
    assert none.dim == 8
    assert torch.equal(none(u, labels), plain)
    changes = []
    for tau in (1e-4, 2e-4):
        space = LatentSpace(tiny_generator, "z+slack", tau)
        xi = torch.ones(1, space.dim - 8)
        changes.append((space(torch.cat([u, xi], dim=1), labels) - plain).norm())
    assert float(changes[1] / changes[0]) == pytest.approx(2, rel=0.02)


def test_smooth_fields_are_correlated_and_keep_their_variance():
    gen = torch.Generator().manual_seed(0)
    field = smooth(torch.randn(4000, 6, 6, 2, generator=gen))
    assert (field.var(dim=0) - 1).abs().max() < 0.12  # five standard errors, also at the rim
    inner = field[:, 1:-1, 1:-1]
    neighbours = (inner[:, :, 1:] * inner[:, :, :-1]).mean()
    assert float(neighbours) == pytest.approx(2 / 3, abs=0.01)
    assert abs(float((field[:, 1:-1, 4] * field[:, 1:-1, 1]).mean())) < 0.02
    impulse = torch.zeros(1, 6, 6, 1)
    impulse[0, 2, 3, 0] = 6
    line = torch.tensor([1.0, 2.0, 1.0])
    torch.testing.assert_close(smooth(impulse)[0, 1:4, 2:5, 0], line[:, None] * line)


def test_slack_is_where_something_is_known(tiny_generator):
    torch.manual_seed(0)
    space = LatentSpace(tiny_generator, "z+slack", 0.3)
    u, other = torch.randn(2, 2, space.dim)
    side, z = tiny_generator.resolution, space.parts[0].size
    elsewhere = torch.cat([u[:, :z], other[:, z:]], 1)
    known = torch.ones(2, 1, side, side)

    def draw(latents, known=None):
        return space(latents, torch.tensor([0, 2]), known=known)

    assert torch.equal(draw(u, known), draw(u))
    assert torch.equal(draw(u, 0 * known), draw(elsewhere, 0 * known))
    assert not torch.equal(draw(u), draw(elsewhere))
    known[..., side // 2 :] = 0
    right = u.clone()
    for part in space.parts[1:]:  # the right half of every slack map
        space.split(right)[part.name][:, :, part.shape[1] // 2 :] += 1
    assert torch.equal(draw(right, known), draw(u, known))
    assert not torch.equal(draw(right), draw(u))
    known[..., side // 2] = 1  # one column more: every map's next column has its slack again
    assert not torch.equal(draw(right, known), draw(u, known))
    # Half known everywhere is half the slack.
    weak = LatentSpace(tiny_generator, "z+slack", 0.15)
    half = torch.full_like(known, 0.5)
    torch.testing.assert_close(draw(u, half), weak(u, torch.tensor([0, 2])))


def test_w_prior_has_the_moments_of_mapped_latents(tiny_generator):
    space = LatentSpace(tiny_generator, "w")
    u = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    z = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.zeros(20_000, dtype=torch.int64)
    fitted = space._styles(u, labels)[:, 0]
    mapped = tiny_generator.mapping.single(z, labels)
    spread = mapped.std(dim=0)
    assert ((fitted.mean(0) - mapped.mean(0)).abs() / spread).max() < 0.25
    assert (fitted.std(0) / spread - 1).abs().max() < 0.35


def test_redrawn_noise_is_asked_for_once_per_call(tiny_generator):
    asked = []

    def source(values):
        asked.append(values)
        return torch.zeros(1, values)

    space = LatentSpace(tiny_generator, "z")
    u = torch.randn(1, 8)
    drawn = space(u, torch.tensor([0]), source)
    assert asked == [16 + 64 + 64]
    assert torch.equal(drawn, space(u, torch.tensor([0]), None))


def test_other_modules_have_z_alone():
    other = torch.nn.Linear(2, 2)
    other.z_dim = 2
    assert LatentSpace(other, "z").dim == 2
    with pytest.raises(ValueError, match="Linear only 'z'"):
        LatentSpace(other, "z+noise")


def test_slack_joins_the_latents_that_a_generator_chooses_for_itself(tiny_generator):
    assert LatentSpace(tiny_generator, None, 0.1).name == "z+noise+slack"
    assert LatentSpace(tiny_generator, None).name == "z+noise"
    foreign = torch.nn.Identity()
    foreign.z_dim = 4
    assert LatentSpace(foreign, None, 0.1).name == "z"


def test_truncation_draws_styles_towards_the_mean_of_their_class(tiny_generator):
    labels = torch.tensor([0, 2])
    for name, rows in (("z", 1), ("z+", tiny_generator.num_ws), ("w", 1)):
        whole, half = (
            LatentSpace(tiny_generator, name),
            LatentSpace(tiny_generator, name, None, 0.5),
        )
        assert half.dim == whole.dim == 8 * rows
        base = torch.randn(2, *whole.parts[0].shape, generator=torch.Generator().manual_seed(0))
        ws = whole._styles(base, labels)
        z = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(1))
        each = [tiny_generator.mapping.single(z, torch.full((20_000,), c)).mean(0) for c in (0, 2)]
        mean = torch.stack(each)[:, None]
        expected = tiny_generator.synthesis(mean + 0.5 * (ws - mean), "const")
        drawn = half(base.flatten(1), labels, "const")
        # The mean of 2,730 latents against that of 20,000.
        far = (whole(base.flatten(1), labels, "const") - expected).abs().max()
        assert (drawn - expected).abs().max() < 0.05 * far
    with pytest.raises(ValueError, match="truncation must lie in"):
        LatentSpace(tiny_generator, "z", truncation=0.0)


def test_truncation_leaves_modules_without_styles_alone():
    other = torch.nn.Linear(2, 2)
    other.z_dim = 2
    assert LatentSpace(other, "z", truncation=0.5).truncation == 1


def test_truncation_of_an_unconditional_generator():
    torch.manual_seed(0)
    network = StyleGAN2Generator(
        8, 0, 8, 8, mapping_layers=2, channel_base=64, channel_max=8
    ).eval()
    space = LatentSpace(network, "z", truncation=1e-6)
    u = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    first, second = space(u, None, "const")
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)


def test_one_number_gives_coarse_features_more_slack():
    torch.manual_seed(0)
    network = StyleGAN2Generator(
        8, 0, 8, 64, mapping_layers=2, channel_base=64, channel_max=8
    ).eval()
    spread = LatentSpace(network, "z+slack", [1.0] * 5).slack_scale
    shares = LatentSpace(network, "z+slack", 0.2).slack_scale / spread
    torch.testing.assert_close(shares, torch.tensor([0.6, 0.6, 0.6, 0.4, 0.2]))
