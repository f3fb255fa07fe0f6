"""The classifier: loading, the bundled weights, learning, and the report."""

from pathlib import Path

import pytest
import torch

from lightning_inpaint.errors import UserError
from lightning_inpaint.evaluation import (
    Classifier,
    accuracy,
    evaluate_generator,
    fit_classifier,
    noise_redraw_psnr,
)
from lightning_inpaint.evaluation.report import BUNDLED_CLASSIFIER


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


def test_learns_colours():
    pictures, labels = coloured(64)
    net = fit_classifier(pictures, labels, epochs=8, batch_size=16, widths=(4, 4, 4))
    assert accuracy(net, *coloured(32, seed=1)) == 1.0


def test_noise_redraw_psnr_counts_the_noise_alone(tiny_generator):
    for layer in tiny_generator.synthesis.convolutions:
        layer.noise_strength.fill_(0.0)
    assert noise_redraw_psnr(tiny_generator, 4) == float("inf")


def test_report_refuses_other_sizes(tiny_generator):
    with pytest.raises(UserError, match="evaluate at 32 pixels"):
        evaluate_generator(tiny_generator, *coloured(4), samples=2)
