"""The Fisher diagonal from random probes, and its smoothing within blocks."""

from __future__ import annotations

import pytest
import torch
from toys import Problem, prior_start

from lightning_inpaint.optim.preconditioner import fisher_diagonal, latent_scale, shrink


def test_probes_estimate_the_diagonal_of_the_fisher_information() -> None:
    a = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    known = torch.tensor([1.0] * 6 + [0.5] * 2 + [0.0] * 4)
    toy = Problem(lambda u: u @ a.T, torch.zeros(12), known, prior_start(3, 5))
    truth = (a.square() * known[:, None]).sum(0) / 0.3**2
    estimate = fisher_diagonal(toy.probe, toy.u, range(600), 0.3)
    torch.testing.assert_close(estimate, truth.expand(3, -1), rtol=0.2, atol=0)
    torch.testing.assert_close(latent_scale(truth), 1 / (1 + truth).sqrt())


@pytest.mark.parametrize("shape", [(64,), (4, 32), (12, 12), (10, 10, 8)])
def test_smoothing_within_blocks_brings_noisy_probes_nearer_the_truth(shape) -> None:
    gen = torch.Generator().manual_seed(1)
    truth = torch.ones(shape)
    if len(shape) == 3:
        truth = truth * torch.linspace(0.5, 3, shape[2])
    if len(shape) >= 2 and shape[0] == shape[1]:
        truth = truth * torch.linspace(1, 2, shape[0]).view(-1, *[1] * (len(shape) - 1))
    noisy = truth.flatten() * torch.randn(20, 4, truth.numel(), generator=gen).square().mean(1)
    smooth = shrink(noisy, 4, [shape])
    error = [(x.log() - truth.flatten().log()).square().mean().sqrt() for x in (noisy, smooth)]
    assert error[1] < 0.6 * error[0]


def test_blocks_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="blocks hold 6 latents, but there are 5"):
        shrink(torch.ones(1, 5), 4, [(2, 3)])
