"""Discriminators: shapes, classes, minibatch deviation, frozen trunk."""

import pytest
import torch

from lightning_inpaint.evaluation import Classifier, FrozenFeatures
from lightning_inpaint.training import ProjectedHeads, StyleGAN2Discriminator
from lightning_inpaint.training.discriminator import minibatch_deviation


@pytest.fixture(scope="module")
def trunk():
    torch.manual_seed(0)
    net = Classifier((8, 8, 8))
    net.init_whitening(torch.rand(20, 3, 32, 32) * 2 - 1)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.bias.data.normal_()
    return net.eval().requires_grad_(False)


def test_folded_features_equal_those_of_the_classifier(trunk):
    x = torch.rand(3, 3, 32, 32) * 2 - 1
    for folded, plain in zip(FrozenFeatures(trunk)(x), trunk.features(x), strict=True):
        torch.testing.assert_close(folded, plain, rtol=1e-4, atol=1e-4)


def test_heads_judge_every_level_and_depend_on_the_class(trunk):
    features = FrozenFeatures(trunk)
    heads = ProjectedHeads(features.channels, 3).eval()
    levels = features(torch.rand(4, 3, 32, 32) * 2 - 1)
    first = heads(levels, torch.tensor([0, 1, 2, 0]))
    other = heads(levels, torch.tensor([0, 1, 1, 0]))
    assert [logits.shape[1] for logits in first] == [9, 9, 9, 1]
    for a, b in zip(first, other, strict=True):
        assert torch.equal(a[[0, 1, 3]], b[[0, 1, 3]])
        assert not torch.equal(a[2], b[2])


def test_random_projections_follow_the_seed():
    a, b, c = (ProjectedHeads((24, 8, 8, 8), 0, seed=s) for s in (1, 1, 2))
    assert torch.equal(a.project0, b.project0)
    assert not torch.equal(a.project0, c.project0)


@pytest.mark.parametrize("resolution", [8, 16, 32])
def test_discriminator_gives_one_logit_per_picture(resolution):
    net = StyleGAN2Discriminator(resolution, 3, channel_base=64, channel_max=8, cmap_dim=4)
    x = torch.randn(4, 3, resolution, resolution)
    assert net(x, torch.tensor([0, 1, 2, 0])).shape == (4,)


def test_discriminator_without_groups_treats_pictures_alone():
    torch.manual_seed(0)
    net = StyleGAN2Discriminator(8, 0, channel_base=64, channel_max=8, group=0)
    x = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(net(x)[:2], net(x[:2]))


def test_minibatch_deviation_of_known_values():
    # Groups are rows 0, 2 and 1, 3: deviation 1 in the first, 0 in the second.
    x = torch.tensor([0.0, 5.0, 2.0, 5.0]).view(4, 1, 1, 1).expand(4, 2, 3, 3)
    out = minibatch_deviation(x, 2)[:, 2, 0, 0]
    torch.testing.assert_close(out, torch.tensor([1.0, 1e-4, 1.0, 1e-4]), rtol=1e-4, atol=1e-6)
