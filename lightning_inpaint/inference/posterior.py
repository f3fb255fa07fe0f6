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
from ..optim.base import Advance, ChainContext, ChainOptimizer, Closure, InnerLayer
from ..steady import ROWS
from .compilation import CompiledStreams, StepCompiler
from .discrepancy import Discrepancy
from .latents import LatentSpace, NoiseSource
from .marginal import Marginal
from .observation import Observation, masked_squared_error

__all__ = ["CompiledClosure", "NoiseInputs", "Posterior", "Precision"]

NoiseInputs = Literal["random", "const", "off"]
Precision = Literal["float32", "bfloat16"]

STORED = {"const": "const", "off": None}  # noise maps by name


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
        marginal: for a sigma that is unknown; None where it is known.
        discrepancy: between the generator and the picture; the observation has its gain. None = there is none.
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
        marginal: Marginal | None = None,
        discrepancy: Discrepancy | None = None,
    ) -> None:
        self.marginal, self.discrepancy = marginal, discrepancy
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
            layer=self.layer if self.space.layered else None,
        )

    def layer(self) -> InnerLayer:
        """The generator in two parts: its mapping network, and the rest."""
        space, labels = self.space, self.observation.labels

        def own(
            styles: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, rows: Tensor
        ) -> Tensor:
            more = self._filled(len(rows), self.unit)
            return styles(x[more], None if labels is None else labels[rows[more]])[: len(rows)]

        return InnerLayer(
            *space.inner_size,
            inner=partial(own, space.styles),
            around=partial(own, space.styles_around),
            residual=partial(
                self._residual_of, lambda chosen, w: space.of_styles(w, chosen._noise())
            ),
        )

    def group(self, u: nn.Parameter, chains: int = 1) -> dict[str, Any]:
        """The parameter group a sampler is made of, of the chains ``u`` (N, D); see :meth:`context`."""
        return {"params": [u], "context": self.context(chains)}

    def over(
        self, observation: Observation, streams: ChainStreams, *, plain: bool = False
    ) -> Posterior:
        """The same posterior of other chains; ``plain`` leaves out what makes it fast (compiler, precision)."""
        return Posterior(
            self.space,
            observation,
            streams,
            self.noise_inputs,
            None if plain else self.compiler,
            "float32" if plain else self.precision,
            self.noise_std,
            self.marginal,
            self.discrepancy,
        )

    def select(self, rows: Tensor) -> Posterior:
        """The posterior of the chains ``rows`` (indices), in this order."""
        streams = ChainStreams.of_names(self.streams.names[rows])
        return self.over(self.observation.select(rows), streams)

    @property
    def unit(self) -> int:
        """Rows are computed alike in every batch of a multiple of so many.

        All products of few rows are steady ones (``steady.py``), and only the convolutions of a single picture
        differ from those of more in the native generators; of those of other networks nothing is known.
        """
        return 2 if isinstance(self.space.generator, StyleGAN2Generator) else ROWS

    def filled(self, together: int = 1) -> Posterior:
        """This posterior with copies of its chains behind them, up to a multiple of :attr:`unit`.

        Args:
            together: neighbouring rows that depend on each other; all of them are copied.
        """
        n, size = len(self.streams), math.lcm(self.unit, together)
        rows = self._filled(n, size)
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
        # Slack makes up for what the generator cannot draw; where nothing is known it would be grain.
        seen = self.observation
        return self.space(u, seen.labels, self._noise(), seen.known, dtype)

    def _noise(self) -> NoiseSource | str | None:
        return self._redraw if self.noise_inputs == "random" else STORED[self.noise_inputs]

    def outcome(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (N, C, H, W) of latents (N, D) with their discrepancy, and the energies (N,)."""
        pictures = self.decode(u)
        energy = self._energy(pictures)
        if self.discrepancy is not None:
            field = self.discrepancy.coefficients(pictures, self.observation)
            pictures = pictures + self.discrepancy.field(field)
        return pictures, energy

    def _energy(self, pictures: Tensor) -> Tensor:
        if self.discrepancy is not None:
            return self._residual(pictures).square().sum(dim=1)
        return masked_squared_error(pictures, self.observation.target, self.observation.known)

    def energy(self, u: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Energy (N,) of latents (N, D); ``dtype`` as in :meth:`decode`."""
        return self._energy(self.decode(u, dtype))

    def residual(self, u: Tensor, rows: Tensor) -> Tensor:
        """M^(1/2) (G(u) - y) of the chains with numbers ``rows`` (n,) at ``u`` (n, D), as (n, V).

        Its squared length is the energy, with a discrepancy, too. Copies fill the rows up to whole units, so
        that a chain's bytes do not depend on who else is there.
        """
        return self._residual_of(Posterior.decode, u, rows)

    def _residual_of(
        self, draw: Callable[[Posterior, Tensor], Tensor], x: Tensor, rows: Tensor
    ) -> Tensor:
        """The same of pictures that ``draw`` makes of ``x`` (n, ...), seen by the posterior of those rows."""
        more = self._filled(len(rows), self.unit)
        chosen = self.select(rows[more])
        return chosen._residual(draw(chosen, x[more]))[: len(rows)]

    def _filled(self, n: int, size: int) -> Tensor:
        """Numbers of ``n`` rows, filled up with copies to a multiple of ``size``."""
        return torch.arange(-(-n // size) * size, device=self.streams.names.device) % n

    def _residual(self, pictures: Tensor) -> Tensor:
        seen = self.observation
        if self.discrepancy is not None:
            return self.discrepancy.residual(pictures, seen)
        return ((pictures - seen.target) * seen.known.sqrt()).flatten(1)

    def plain(self, seen: Tensor) -> Tensor:
        """Energies (N,) of those (N,) that a sampler has seen."""
        return (
            seen if self.marginal is None else self.marginal.energy(seen, self.observation.values)
        )

    def gradient(self, u: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """What stands for the energy (N,) of latents (N, D), and its gradient (N, D); ``dtype`` as in
        :meth:`decode`. It is the energy itself where sigma is known (see :class:`.marginal.Marginal`)."""
        with torch.enable_grad():
            leaf = u.detach().requires_grad_(True)
            energy = self.energy(leaf, dtype)
            if self.marginal is not None:
                energy = self.marginal.seen(energy, self.observation.values)
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
            values = pictures if self.discrepancy is None else self._residual(pictures)
            eps = self.streams.normal(draw, values[0].numel(), Purpose.PROBE, pictures.dtype)
            eps = eps.view_as(values)
            cotangent = eps if self.discrepancy else eps * self.observation.known.sqrt()
            (grad,) = torch.autograd.grad(values, leaf, cotangent)
        square = grad.square()
        if self.marginal is None:
            return square
        energy = self._energy(pictures.detach())
        return square * self.marginal.precision(energy, self.observation.values)[:, None]


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
        self._key = (posterior.noise_inputs, posterior.space.state, posterior.marginal)

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
        more = {"labels": observation.labels, "gain": observation.gain}
        present = [name for name, value in more.items() if value is not None]
        rows += [value for value in more.values() if value is not None]
        count = len(rows)

        def pure(*given: Any) -> tuple[Tensor, Tensor]:
            u, target, known, names, *others = given[:count]
            own = Observation(target, known, None)._replace(
                **dict(zip(present, others, strict=True))
            )
            inner = outer.over(own, ChainStreams.of_names(names), plain=True)
            inner.calls, *rest = given[count:]
            return step(inner, u, *rest)

        key = (name, *present, outer.discrepancy, self._key, outer.space.arithmetic, dtype)
        prepare = getattr(outer.space.generator, "prepare", None)
        if prepare is not None:
            prepare = partial(prepare, dtype)
        energy, other = self.compiler(key, pure, rows, [outer.calls, *numbers], prepare)
        outer.calls = outer.calls + calls
        return energy, other
