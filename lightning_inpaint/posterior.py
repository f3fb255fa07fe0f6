"""The posterior of one batch: what a sampler sees of pictures, masks and generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from .latents import LatentSpace
from .likelihood import known_weight, masked_squared_error
from .noise import ChainStreams, Purpose
from .optim.base import Closure

__all__ = ["Evidence", "NoiseInputs", "Posterior", "Precision"]

NoiseInputs = Literal["random", "const", "off"]
Precision = Literal["float32", "bfloat16"]


class Evidence(NamedTuple):
    """What is known about each chain's picture, one row per chain.

    Attributes:
        target: float (N, C, H, W) in [-1, 1].
        known: float (N, 1, H, W), weight in the likelihood, **1 = known, 0 = to fill**.
        labels: int64 (N,), or None for an unconditional generator.
    """

    target: Tensor
    known: Tensor
    labels: Tensor | None

    @classmethod
    def of(cls, image: Tensor, mask: Tensor, labels: Tensor | None, chains: int) -> Evidence:
        """Repeat each picture for its chains.

        Args:
            image: uint8 (N, C, H, W), or float in [-1, 1].
            mask: (N, 1, H, W), **1 = fill, 0 = known**.
            labels: (N * chains,) class of each chain, or None.
            chains: chains per picture; those of one picture are neighbouring rows.
        """
        floating = image if image.is_floating_point() else image.float() / 127.5 - 1
        known = known_weight(mask.float())
        return cls(
            floating.repeat_interleave(chains, dim=0),
            known.repeat_interleave(chains, dim=0),
            labels,
        )

    def select(self, rows: Tensor) -> Evidence:
        """Some of the rows."""
        labels = None if self.labels is None else self.labels[rows]
        return Evidence(self.target[rows], self.known[rows], labels)


class Posterior:
    """Energy of latents given the known pixels, and its gradient.

    Args:
        space: the latent space with its frozen generator.
        evidence: pictures, weights and classes, one row per chain.
        streams: random streams, one per row.
        noise_inputs: noise maps that are no latents are ``random`` (redrawn at each call), ``const``
            (stored with the weights) or ``off``.
        compute: optional replacement of :meth:`LatentSpace.forward`, for example compiled.
        precision: type of the convolutions where the sampler tolerates rough gradients; latents,
            mapping, residual and energy keep theirs. Other networks than StyleGAN2 ignore it.
    """

    def __init__(
        self,
        space: LatentSpace,
        evidence: Evidence,
        streams: ChainStreams,
        noise_inputs: NoiseInputs = "const",
        compute: Callable[..., Tensor] | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.space, self.evidence, self.streams = space, evidence, streams
        self.noise_inputs = noise_inputs
        self.compute = space if compute is None else compute
        native = hasattr(space.generator, "set_compute")
        self.rough = torch.bfloat16 if precision == "bfloat16" and native else None
        self.calls = 0

    def group(self, u: nn.Parameter, chains: int = 1) -> dict[str, Any]:
        """The parameter group a sampler is made of.

        Args:
            u: (N, D), the chains.
            chains: chains per picture; those of one picture are neighbouring rows.
        """
        return {
            "params": [u],
            "streams": self.streams,
            "chains": chains,
            "probe": self.squared_probe,
            "blocks": [part.shape for part in self.space.parts],
            "scale_free": self.space.scale_free,
        }

    def tolerate(self, rough: bool) -> None:
        """Whether the coming evaluations may use the cheaper precision."""
        if self.rough is not None:
            self.space.generator.set_compute(self.rough if rough else None)

    @property
    def deterministic(self) -> bool:
        """Whether the energy is a function of the latents alone, as Metropolis tests need."""
        return self.noise_inputs != "random" or self.space.parsed.noise

    def _redraw(self, values: int) -> Tensor:
        self.calls += 1
        return self.streams.normal(self.calls, values, Purpose.NOISE_INPUT)

    def decode(self, u: Tensor) -> Tensor:
        """Pictures (N, C, H, W) of latents (N, D)."""
        noise = {"random": self._redraw, "const": "const", "off": None}[self.noise_inputs]
        return self.compute(u, self.evidence.labels, noise)

    def energy(self, u: Tensor) -> Tensor:
        """Energy (N,) of latents (N, D)."""
        return masked_squared_error(self.decode(u), self.evidence.target, self.evidence.known)

    def closure(self, u: Tensor) -> Closure:
        """What a sampler calls: energies at the present ``u``, their gradient into ``u.grad``."""

        def evaluate() -> Tensor:
            with torch.enable_grad():
                leaf = u.detach().requires_grad_(True)
                energy = self.energy(leaf)
                (u.grad,) = torch.autograd.grad(energy.sum(), leaf)
            return energy.detach()

        return evaluate

    def squared_probe(self, u: Tensor, draw: int) -> Tensor:
        """(J^T M^(1/2) eps)^2 with eps ~ N(0, I): its mean over draws is sigma^2 times the Fisher
        diagonal of the likelihood. Shape (N, D)."""
        with torch.enable_grad():
            leaf = u.detach().requires_grad_(True)
            pictures = self.decode(leaf)
            values = pictures[0].numel()
            eps = self.streams.normal(draw, values, Purpose.PROBE, pictures.dtype)
            cotangent = eps.view_as(pictures) * self.evidence.known.sqrt()
            (grad,) = torch.autograd.grad(pictures, leaf, cotangent)
        return grad.square()
