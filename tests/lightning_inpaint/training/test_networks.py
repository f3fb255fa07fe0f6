"""The discriminator: shapes, a score for every class, rows that do not see each other."""

import pytest
import torch

from lightning_inpaint.training import Discriminator
from lightning_inpaint.training.discriminator import group_deviation


def small(resolution=8, classes=3):
    torch.manual_seed(0)
    return Discriminator(resolution, classes, channel_base=64, channel_max=8, cmap_dim=4)


@pytest.mark.parametrize("resolution", [8, 16, 64])
@pytest.mark.parametrize(("classes", "scores"), [(0, 1), (1, 1), (3, 3)])
def test_one_score_for_every_class(resolution, classes, scores):
    net = small(resolution, classes)
    assert net(torch.randn(2, 3, resolution, resolution)).shape == (2, scores)


def test_pictures_are_judged_alone():
    net = small().double()
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(net(x)[:2], net(x[:2]), rtol=1e-12, atol=1e-14)


def test_score_of_a_class_is_the_projection_on_its_embedding():
    net = small().double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    before = net(x)
    # Equal embeddings give equal scores; a class that is left alone keeps its own.
    net.embed.weight.data[:, 1] = net.embed.weight.data[:, 0]
    after = net(x)
    torch.testing.assert_close(after[:, 0], after[:, 1])
    torch.testing.assert_close(after[:, 2], before[:, 2])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_features_keep_their_size_through_the_blocks():
    # Run-time weight scales and gains: deviations near 1 at initialization.
    torch.manual_seed(0)
    net = Discriminator(32, 0, channel_base=2048, channel_max=64)
    x = net.from_rgb(torch.randn(8, 3, 32, 32))
    for block in net.blocks:
        x = block(x)
        assert 0.3 < x.std().item() < 2


def test_group_deviation_of_known_values():
    # Groups are rows 0, 1 and 2, 3: deviation 1 in the first, 0 in the second.
    x = torch.tensor([0.0, 2.0, 5.0, 5.0]).view(4, 1, 1, 1).expand(4, 2, 3, 3)
    out = group_deviation(x, 2).flatten()
    torch.testing.assert_close(out, torch.tensor([1.0, 1.0, 1e-4, 1e-4]), rtol=1e-4, atol=1e-6)
