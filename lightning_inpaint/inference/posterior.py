"""The posterior of one batch: what a sampler sees of pictures, masks and generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..generators.stylegan2 import StyleGAN2Generator
from ..noise import ChainStreams, Purpose
from ..optim.base import Advance, ChainContext, ChainOptimizer, Closure
from ..steady import ROWS
from .compilation import CompiledStreams, StepCompiler
from .latents import LatentSpace
from .observation import Observation, masked_squared_error

__all__ = ["CompiledClosure", "NoiseInputs", "Posterior", "Precision"]

NoiseInputs = Literal["random", "const", "off"]
Precision = Literal["float32", "bfloat16"]


class Posterior:
    """Energy of latents given the known pixels, and its gradient.

    Args:
        space: the latent space with its frozen generator.
        observation: pictures, weights and classes, one row per chain.
        streams: random streams, one per row.
        noise_inputs: noise maps that are no latents are ``random`` (redrawn at each call), ``const``
            (stored with the weights) or ``off``.
        compiler: compiles energies with their gradients, random numbers and, where a sampler has such,
            whole steps; None = all is eager. Calls without gradients, a few per walk, are always eager.
        precision: type of the convolutions where the sampler tolerates rough gradients; latents,
            mapping, residual and energy keep theirs. Other networks than StyleGAN2 ignore it.
        noise_std: sigma, standard deviation of a known value, pictures in [-1, 1]; None where nothing asks.
    """

    def __init__(
        self,
        space: LatentSpace,
        observation: Observation,
        streams: ChainStreams,
        noise_inputs: NoiseInputs = "const",
        compiler: StepCompiler | None = None,
        precision: Precision = "float32",
        noise_std: float | None = None,
    ) -> None:
        self.space, self.observation, self.noise_std = space, observation, noise_std
        self.streams = streams if compiler is None else CompiledStreams(streams, compiler)
        self.noise_inputs, self.compiler, self.precision = noise_inputs, compiler, precision
        native = isinstance(space.generator, StyleGAN2Generator)
        self.rough = torch.bfloat16 if precision == "bfloat16" and native else None
        self.calls: int | Tensor = 0

    def context(self, chains: int = 1) -> ChainContext:
        """What a sampler may know of the chains, ``chains`` neighbouring rows a picture."""
        return ChainContext(
            streams=self.streams,
            chains=chains,
            probe=self.squared_probe,
            blocks=[part.shape for part in self.space.parts],
            scale_free=self.space.scale_free,
            observed=self.observation.values,
            residual=self.residual,
        )

    def group(self, u: nn.Parameter, chains: int = 1) -> dict[str, Any]:
        """The parameter group a sampler is made of, of the chains ``u`` (N, D); see :meth:`context`."""
        return {"params": [u], "context": self.context(chains)}

    def select(self, rows: Tensor) -> Posterior:
        """The posterior of the chains ``rows`` (indices), in this order."""
        return Posterior(
            self.space,
            self.observation.select(rows),
            ChainStreams.of_names(self.streams.names[rows]),
            self.noise_inputs,
            self.compiler,
            self.precision,
            self.noise_std,
        )

    @property
    def unit(self) -> int:
        """Rows are computed alike in every batch of a multiple of so many.

        The native generators take their products of few rows in steady ones (``steady.py``), and only the
        convolutions of a single picture differ from those of more; of other networks nothing is known.
        """
        return 2 if isinstance(self.space.generator, StyleGAN2Generator) else ROWS

    def filled(self, together: int = 1) -> Posterior:
        """This posterior with copies of its chains behind them, up to a multiple of :attr:`unit`.

        Args:
            together: neighbouring rows that depend on each other; all of them are copied.
        """
        n, size = len(self.streams), math.lcm(self.unit, together)
        rows = torch.arange(-(-n // size) * size, device=self.streams.names.device) % n
        return self if len(rows) == n else self.select(rows)

    @property
    def deterministic(self) -> bool:
        """Whether the energy is a function of the latents alone, as Metropolis tests need."""
        own = getattr(self.space.generator, "deterministic", True)
        return own and (self.noise_inputs != "random" or self.space.parsed.noise)

    def _redraw(self, values: int) -> Tensor:
        self.calls = self.calls + 1
        return self.streams.normal(self.calls, values, Purpose.NOISE_INPUT)

    def decode(self, u: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Pictures (N, C, H, W) of latents (N, D); ``dtype`` is that of the convolutions, if another."""
        noise = {"random": self._redraw, "const": "const", "off": None}[self.noise_inputs]
        # Slack makes up for what the generator cannot draw; where nothing is known it would be grain.
        return self.space(u, self.observation.labels, noise, self.observation.known, dtype)

    def energy(self, u: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Energy (N,) of latents (N, D); ``dtype`` as in :meth:`decode`."""
        pictures = self.decode(u, dtype)
        return masked_squared_error(pictures, self.observation.target, self.observation.known)

    def residual(self, u: Tensor, rows: Tensor) -> Tensor:
        """M^(1/2) (G(u) - y) of the chains with numbers ``rows`` (n,) at ``u`` (n, D), as (n, V).

        Copies fill the rows up to whole units, so that a chain's bytes do not depend on who else is there.
        """
        n = len(rows)
        more = torch.arange(-(-n // self.unit) * self.unit, device=rows.device) % n
        chosen = self.select(rows[more])
        known = chosen.observation.known.sqrt()
        pictures = chosen.decode(u[more])
        return ((pictures - chosen.observation.target) * known).flatten(1)[:n]

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

        def dtype() -> torch.dtype | None:
            return self.rough if sampler is not None and sampler.tolerant else None

        if self.compiler is not None:
            return CompiledClosure(self, self.compiler, u, dtype)

        def evaluate() -> Tensor:
            energy, u.grad = self.gradient(u, dtype())
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
            cotangent = eps.view_as(pictures) * self.observation.known.sqrt()
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
        outer, observation = self.posterior, self.posterior.observation
        rows = [self.u.detach(), observation.target, observation.known, outer.streams.names]
        if observation.labels is not None:
            rows.append(observation.labels)
        count = len(rows)

        def pure(*given: Any) -> tuple[Tensor, Tensor]:
            u, target, known, names, *labels = given[:count]
            own = Observation(target, known, labels[0] if labels else None)
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
