"""Small generators with known posteriors, in the form samplers take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_inpaint.noise import ChainStreams, Purpose
from lightning_inpaint.optim import ChainContext


class Problem:
    """A generator R^D -> R^P, an observation and its mask, for N chains at once.

    Args:
        decode: (N, D) to (N, P), each row by itself.
        target: (P,) or (N, P), the observation.
        known: (P,), 1 = known.
        start: (N, D).
        seed: of the chains' streams.
    """

    def __init__(
        self,
        decode: Callable[[Tensor], Tensor],
        target: Tensor,
        known: Tensor,
        start: Tensor,
        seed: int = 0,
    ) -> None:
        n = len(start)
        self.decode, self.target, self.known = decode, target, known
        self.streams = ChainStreams(seed, ["toy"] * n, list(range(n)))
        self.u = nn.Parameter(start.clone())
        self.calls = 0

    @property
    def group(self) -> dict[str, Any]:
        """The parameter group of a sampler."""
        return {"params": [self.u], "context": self.context()}

    def context(self, **more: Any) -> ChainContext:
        """What a sampler may know of the chains, with ``more`` of it or in place of it."""
        own = {
            "streams": self.streams,
            "probe": self.probe,
            "residual": self.residual,
            "observed": self.known.sum().expand(len(self.u)),
        }
        return ChainContext(**{**own, **more})

    def residual(self, u: Tensor, rows: Tensor) -> Tensor:
        """Weighted residuals (n, P) of the chains ``rows``."""
        target = self.target if self.target.ndim == 1 else self.target[rows]
        return (self.decode(u) - target) * self.known.sqrt()

    def energy(self, u: Tensor) -> Tensor:
        return ((self.decode(u) - self.target).square() * self.known).sum(dim=1)

    def closure(self) -> Tensor:
        """E (N,) at the parameter, dE/du into its ``.grad``."""
        self.calls += 1
        with torch.enable_grad():
            leaf = self.u.detach().requires_grad_(True)
            energy = self.energy(leaf)
            (self.u.grad,) = torch.autograd.grad(energy.sum(), leaf)
        return energy.detach()

    def probe(self, u: Tensor, draw: int) -> Tensor:
        """Squared probes of the Jacobian."""
        with torch.enable_grad():
            leaf = u.detach().requires_grad_(True)
            picture = self.decode(leaf)
            eps = self.streams.normal(draw, picture.shape[1], Purpose.PROBE, picture.dtype)
            (grad,) = torch.autograd.grad(picture, leaf, eps * self.known.sqrt())
        return grad.square()

    def run(self, sampler: Any) -> Tensor:
        """All steps; the final chains."""
        for _ in range(sampler.steps):
            sampler.step(self.closure)
        return self.u.detach()


def random(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers of a seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def prior_start(n: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """N(0, I) starts (n, dim)."""
    streams = ChainStreams(seed, ["toy"] * n, list(range(n)))
    return streams.normal(0, dim, Purpose.START, dtype)


def linear_problem(chains: int, std: float) -> tuple[Problem, Tensor, Tensor]:
    """6 latents and 10 known values, with mean and covariance of the posterior at sigma ``std``."""
    gen = torch.Generator().manual_seed(0)
    a, y = torch.randn(10, 6, generator=gen) / 2, torch.randn(10, generator=gen)
    covariance = torch.linalg.inv(torch.eye(6) + a.T @ a / std**2)
    problem = Problem(lambda u: u @ a.T, y, torch.ones(10), prior_start(chains, 6))
    return problem, covariance @ a.T @ y / std**2, covariance
