"""The posterior of one batch: what a sampler sees of pictures, masks and generator."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..generators.stylegan2 import StyleGAN2Generator
from ..images.levels import from_uint8
from ..noise import ChainStreams, Purpose
from ..optim.base import Advance, ChainOptimizer, Closure
from .compilation import CompiledStreams, StepCompiler
from .latents import LatentSpace
from .observation import known_weight, masked_squared_error

__all__ = ["CompiledClosure", "Evidence", "NoiseInputs", "Posterior", "Precision"]

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
        floating = image if image.is_floating_point() else from_uint8(image)
        known = known_weight(mask.float())
        return cls(
            floating.repeat_interleave(chains, dim=0),
            known.repeat_interleave(chains, dim=0),
            labels,
        )

    def select(self, rows: Tensor) -> Evidence:
        """The evidence in ``rows`` (indices, or a boolean tensor)."""
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
        compiler: compiles energies with their gradients, random numbers and, where a sampler has such,
            whole steps; None = all is eager. Calls without gradients, a few per walk, are always eager.
        precision: type of the convolutions where the sampler tolerates rough gradients; latents,
            mapping, residual and energy keep theirs. Other networks than StyleGAN2 ignore it.
    """

    def __init__(
        self,
        space: LatentSpace,
        evidence: Evidence,
        streams: ChainStreams,
        noise_inputs: NoiseInputs = "const",
        compiler: StepCompiler | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.space, self.evidence = space, evidence
        self.streams = streams if compiler is None else CompiledStreams(streams, compiler)
        self.noise_inputs = noise_inputs
        self.compiler = compiler
        native = isinstance(space.generator, StyleGAN2Generator)
        self.rough = torch.bfloat16 if precision == "bfloat16" and native else None
        self.calls: int | Tensor = 0

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
            "observed": self.evidence.known.sum(dim=(1, 2, 3)) * self.evidence.target.shape[1],
        }

    def select(self, rows: Tensor) -> Posterior:
        """The posterior of the chains ``rows`` (indices), in this order."""
        streams = ChainStreams.of_names(self.streams.names[rows])
        chosen = Posterior(
            self.space, self.evidence.select(rows), streams, self.noise_inputs, self.compiler
        )
        chosen.rough = self.rough
        return chosen

    @property
    def deterministic(self) -> bool:
        """Whether the energy is a function of the latents alone, as Metropolis tests need."""
        return self.noise_inputs != "random" or self.space.parsed.noise

    def _redraw(self, values: int) -> Tensor:
        self.calls = self.calls + 1
        return self.streams.normal(self.calls, values, Purpose.NOISE_INPUT)

    def decode(self, u: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Pictures (N, C, H, W) of latents (N, D); ``dtype`` is that of the convolutions, if another."""
        noise = {"random": self._redraw, "const": "const", "off": None}[self.noise_inputs]
        # Slack makes up for what the generator cannot draw; where nothing is known it would be grain.
        return self.space(u, self.evidence.labels, noise, self.evidence.known, dtype)

    def energy(self, u: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Energy (N,) of latents (N, D); ``dtype`` as in :meth:`decode`."""
        pictures = self.decode(u, dtype)
        return masked_squared_error(pictures, self.evidence.target, self.evidence.known)

    def gradient(self, u: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """Energy (N,) of latents (N, D) and its gradient (N, D); ``dtype`` as in :meth:`decode`."""
        with torch.enable_grad():
            leaf = u.detach().requires_grad_(True)
            energy = self.energy(leaf, dtype)
            (grad,) = torch.autograd.grad(energy.sum(), leaf)
        return energy.detach(), grad

    def closure(self, u: Tensor, sampler: ChainOptimizer | None = None) -> Closure:
        """What a sampler calls: energies at the present ``u``, their gradient into ``u.grad``.

        Args:
            u: (N, D), the chains.
            sampler: who calls; steps that it says are tolerant have the cheaper precision.
        """

        def precision() -> torch.dtype | None:
            return self.rough if sampler is not None and sampler.tolerant else None

        if self.compiler is not None:
            return CompiledClosure(self, self.compiler, u, precision)

        def evaluate() -> Tensor:
            energy, u.grad = self.gradient(u, precision())
            return energy

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


class CompiledClosure:
    """A posterior's closure whose energies and gradients, or a sampler's whole steps, are one graph.

    Args:
        posterior: of the chains.
        compiler: makes and keeps the graphs.
        u: (N, D), the chains; their gradient goes to ``u.grad``.
        precision: type of the convolutions of the next call; None = the generator's own.
    """

    def __init__(
        self,
        posterior: Posterior,
        compiler: StepCompiler,
        u: Tensor,
        precision: Callable[[], torch.dtype | None] = lambda: None,
    ) -> None:
        self.posterior, self.compiler, self.u = posterior, compiler, u
        self.precision = precision
        # Weights stand still while chains walk, not from one walk to the next.
        self._key = (posterior.noise_inputs, posterior.space.state)

    def __call__(self) -> Tensor:
        """Energies (N,) at ``u``, their gradient (N, D) into ``u.grad``."""
        dtype = self.precision()

        def gradient(inner: Posterior, u: Tensor) -> tuple[Tensor, Tensor]:
            return inner.gradient(u, dtype)

        energy, self.u.grad = self._run("gradient", gradient, 1, dtype)
        return energy

    def advance(
        self, name: Hashable, step: Advance, calls: int, *numbers: float
    ) -> tuple[Tensor, Tensor]:
        """A sampler's whole step.

        Args:
            name: of the step, with all of the sampler's settings that it depends on.
            step: see :data:`.optim.base.Advance`.
            calls: energies that the step evaluates.
            numbers: what the step takes after the chains and differs from call to call.
        """

        dtype = self.precision()

        def whole(inner: Posterior, u: Tensor, *given: Any) -> tuple[Tensor, Tensor]:
            return step(partial(inner.gradient, dtype=dtype), inner.streams, u, *given)

        return self._run(name, whole, calls, dtype, *numbers)

    def _run(
        self,
        name: Hashable,
        step: Callable[..., tuple[Tensor, Tensor]],
        calls: int,
        dtype: torch.dtype | None,
        *numbers: float,
    ) -> tuple[Tensor, Tensor]:
        outer, evidence = self.posterior, self.posterior.evidence
        rows = [self.u.detach(), evidence.target, evidence.known, outer.streams.names]
        if evidence.labels is not None:
            rows.append(evidence.labels)
        count = len(rows)

        def pure(*given: Any) -> tuple[Tensor, Tensor]:
            u, target, known, names, *labels = given[:count]
            own = Evidence(target, known, labels[0] if labels else None)
            inner = Posterior(outer.space, own, ChainStreams.of_names(names), outer.noise_inputs)
            inner.calls, *rest = given[count:]
            return step(inner, u, *rest)

        key = (name, count, self._key, outer.space.arithmetic, dtype)
        prepare = getattr(outer.space.generator, "prepare", None)
        if prepare is not None:
            prepare = partial(prepare, dtype)
        energy, other = self.compiler(key, pure, rows, [outer.calls, *numbers], prepare)
        outer.calls = outer.calls + calls
        return energy, other
