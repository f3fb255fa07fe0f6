"""A smooth field between generator and picture, integrated out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lightning_inpaint import LatentInpainter, UserError
from lightning_inpaint.generators import load_generator
from lightning_inpaint.images.levels import to_uint8
from lightning_inpaint.inference.discrepancy import Discrepancy, cosines
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.observation import Observation
from lightning_inpaint.inference.posterior import Posterior
from lightning_inpaint.noise import ChainStreams

SIDE, SIGMA, TAU = 8, 0.1, 0.3


class Own(nn.Module):
    """Three latents to 8x8 pictures in colour."""

    z_dim, img_channels, img_resolution = 3, 3, SIDE

    def __init__(self) -> None:
        super().__init__()
        gen = torch.Generator().manual_seed(1)
        self.mix = nn.Parameter(torch.randn(3, 3 * SIDE * SIDE, generator=gen) / 4)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z @ self.mix).view(-1, 3, SIDE, SIDE)


def posterior(n: int = 3, tau: float = TAU) -> Posterior:
    gen = torch.Generator().manual_seed(2)
    target = torch.rand(n, 3, SIDE, SIDE, generator=gen) * 2 - 1
    known = (torch.rand(n, 1, SIDE, SIDE, generator=gen) < 0.6).float()
    known[0, 0, 0] = 0.5  # grey counts in part
    field = Discrepancy(tau, SIGMA, SIDE)
    seen = field.observed(Observation(target, known, None))
    streams = ChainStreams(0, ["a"] * n, list(range(n)))
    space = LatentSpace(load_generator(Own(), value_range=[-1.0, 1.0]))
    return Posterior(space, seen, streams, noise_std=SIGMA, discrepancy=field)


def starts(n: int = 3) -> Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(4))


def test_cosines_are_orthonormal() -> None:
    rows = cosines(16, 16)
    assert torch.allclose(rows @ rows.T, torch.eye(16).double(), atol=1e-12)


@pytest.mark.parametrize("side", [4, 8, 32])
def test_the_field_has_the_standard_deviation_that_is_asked_for(side: int) -> None:
    basis = Discrepancy(TAU, SIGMA, side).basis
    assert float(basis.square().sum(dim=0).mean()) == pytest.approx(TAU**2, rel=1e-5)


def test_the_energy_is_the_dense_gaussians() -> None:
    """sigma^2 r^T (sigma^2 I + B B^T)^(-1) r, channel by channel, in float64."""
    seen, u = posterior(), starts()
    field, given = seen.discrepancy, seen.observation
    assert field is not None
    pictures = seen.decode(u).double()
    expected = []
    for picture, target, known in zip(pictures, given.target, given.known, strict=True):
        root = known.double().flatten().sqrt()
        b = (field.basis.double() * root).T
        covariance = SIGMA**2 * torch.eye(SIDE**2).double() + b @ b.T
        r = ((picture - target.double()).flatten(1) * root).T
        expected.append(SIGMA**2 * (r * torch.linalg.solve(covariance, r)).sum())
    assert torch.allclose(seen.energy(u).double(), torch.stack(expected), rtol=1e-4)


def test_the_residual_is_a_vector_of_that_length() -> None:
    seen, u = posterior(), starts()
    rows = torch.tensor([2, 0])
    found = seen.residual(u[rows], rows).square().sum(dim=1)
    assert torch.allclose(found, seen.energy(u)[rows], rtol=1e-5)


def test_probes_are_of_the_same_likelihood() -> None:
    """Their mean is the diagonal of J^T W^T W J."""
    seen, u = posterior(1), starts(1)
    jacobian = torch.autograd.functional.jacobian(lambda x: seen._residual(seen.decode(x)), u)
    exact = jacobian[0, :, 0].square().sum(dim=0)
    mean = torch.stack([seen.squared_probe(u, draw)[0] for draw in range(800)]).mean(dim=0)
    assert torch.allclose(mean, exact, rtol=0.15)


def test_next_to_no_discrepancy_is_none() -> None:
    seen, u = posterior(tau=1e-5), starts()
    plain = Posterior(seen.space, seen.observation, seen.streams)
    assert torch.allclose(seen.energy(u), plain.energy(u), rtol=1e-4)


def test_the_field_is_the_regression_and_part_of_the_picture() -> None:
    seen, u = posterior(), starts()
    field = seen.discrepancy
    assert field is not None
    c = field.coefficients(seen.decode(u), seen.observation).requires_grad_(True)
    left = (seen.decode(u) + field.field(c) - seen.observation.target).square()
    total = (left * seen.observation.known).sum() + SIGMA**2 * c.square().sum()
    (slope,) = torch.autograd.grad(total, c)
    assert float(slope.abs().max()) < 1e-4
    assert torch.allclose(seen.outcome(u)[0], seen.decode(u) + field.field(c))


def test_strange_pictures_match_on_any_generator() -> None:
    """Through the module: the known part, the records' numbers, and a batch mate that changes no byte."""
    gen = torch.Generator().manual_seed(5)
    smooth = torch.nn.functional.interpolate(
        torch.rand(3, 3, 2, 2, generator=gen) * 2 - 1, size=SIDE, mode="bilinear"
    )
    mask = torch.zeros(3, 1, SIDE, SIDE)
    mask[..., 4:] = 1
    batch = {"image": to_uint8(smooth), "mask": mask, "id": ["a", "b", "c"]}
    options = {"value_range": [-1.0, 1.0], "noise_std": SIGMA}
    few = {
        "class_path": "search",
        "init_args": {"steps": 61, "rounds": 1, "descent": 20, "newton": 8},
    }
    plain = LatentInpainter(Own(), sampler=few, **options).predict_step(batch)
    module = LatentInpainter(Own(), sampler=few, discrepancy=TAU, **options)
    done = module.predict_step(batch)
    assert plain is not None
    assert done is not None
    assert float((done.psnr - plain.psnr).min()) > 3
    assert (done.diagnostics["arrived"] == 1).all()
    assert module.hparams["discrepancy"] == TAU
    alone = module.predict_step({k: v[1:2] for k, v in batch.items()})
    assert alone is not None
    assert torch.equal(alone.raw[0], done.raw[1])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"discrepancy": 0.0}, "`discrepancy` is 0.0; it must be positive, or left out"),
        ({"discrepancy": 0.1, "noise_std": "auto"}, "give `noise_std` as a number"),
    ],
)
def test_what_makes_no_sense_is_refused(options, text: str) -> None:
    with pytest.raises(UserError, match=text):
        LatentInpainter(Own(), **options)
