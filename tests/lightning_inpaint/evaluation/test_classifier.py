"""The classifier: loading, the bundled weights, learning."""

from pathlib import Path

import pytest
import torch

from lightning_inpaint.evaluation import Classifier, accuracy, fit_classifier
from lightning_inpaint.evaluation.features import BUNDLED_CLASSIFIER
from lightning_inpaint.evaluation.fitting import _batches


def coloured(count, seed=0):
    """Two classes: reddish and bluish noise."""
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    pictures = torch.randint(0, 128, (count, 3, 32, 32), generator=stream, dtype=torch.uint8)
    pictures[labels == 0, 0] += 100
    pictures[labels == 1, 2] += 100
    return pictures, labels


def test_bundled_weights_are_small_and_load():
    assert Path(BUNDLED_CLASSIFIER).stat().st_size <= 6_000_000
    net = Classifier.from_file(BUNDLED_CLASSIFIER)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_whitening_makes_patches_uncorrelated():
    stream = torch.Generator().manual_seed(0)
    x = torch.rand(200, 3, 32, 32, generator=stream).cumsum(3) / 16 - 1
    net = Classifier((4, 4, 4), 2)
    net.init_whitening(x, eps=0.0)
    y = net.whiten((x - net.mean) / net.std)[:, :12].permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(y @ y.T / y.shape[1], torch.eye(12), rtol=0, atol=0.02)


@pytest.mark.parametrize("half", [False, True])
def test_learns_colours(half):
    pictures, labels = coloured(64)
    options = {"epochs": 8, "batch_size": 16, "widths": (4, 4, 4), "half_precision": half}
    net = fit_classifier(pictures, labels, **options)
    assert next(net.parameters()).dtype == torch.float32
    assert accuracy(net, *coloured(32, seed=1)) == 1.0


def test_goes_on_from_a_network_and_leaves_its_whitening_alone():
    pictures, labels = coloured(64)
    options = {"epochs": 8, "batch_size": 16, "widths": (4, 4, 4)}
    first = fit_classifier(pictures, labels, **options).requires_grad_(False)
    before = {k: v.clone() for k, v in first.state_dict().items()}
    none = fit_classifier(pictures, labels, epochs=1, batch_size=16, start=first, rate=1e-9)
    more = fit_classifier(pictures, labels, epochs=1, batch_size=16, start=first, cutout=8)
    for name, value in first.state_dict().items():
        assert torch.equal(value, before[name]), name
        if "whiten" in name:
            assert torch.equal(more.state_dict()[name], value), name
        elif name.endswith("weight") and "norm" not in name:
            torch.testing.assert_close(none.state_dict()[name], value, rtol=0, atol=1e-5)
            assert not torch.allclose(more.state_dict()[name], value, rtol=0, atol=1e-3), name
    assert accuracy(more, *coloured(32, seed=1)) == 1.0


@pytest.mark.parametrize(("cutout", "blank"), [(0, 0), (8, 64)])
def test_cutout_blanks_one_square_of_each_picture(cutout, blank):
    pictures = torch.full((20, 3, 32, 32), 255, dtype=torch.uint8)
    (shown, _), *_ = _batches(pictures, torch.arange(20), 20, epoch=0, seed=0, cutout=cutout)
    empty = (shown == 0).all(dim=1)
    assert (empty.sum(dim=(1, 2)) == blank).all()
    assert (empty.any(dim=1).sum(dim=1) == cutout).all()
    if cutout:
        assert len(empty.flatten(1).unique(dim=0)) > 10
