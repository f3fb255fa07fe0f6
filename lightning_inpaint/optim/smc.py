"""Particles: tempered sequential Monte Carlo over the chains of one picture (exact as they grow)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ..noise import Purpose
from .base import Closure
from .hmc import HMC
from .mode import annealed_std
from .preconditioner import Preconditioner, latent_scale

__all__ = ["Particles", "effective_sample_size", "systematic_ancestors"]


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """``(sum w)^2 / sum w^2`` of each row of (n, K) log weights: between 1 and K, shape (n,)."""
    return (2 * log_weights.logsumexp(1) - (2 * log_weights).logsumexp(1)).exp()


def systematic_ancestors(log_weights: Tensor, uniform: Tensor) -> Tensor:
    """Systematic resampling (Kitagawa 1996; Douc et al. 2005): one uniform number per row.

    Args:
        log_weights: (n, K).
        uniform: (n, 1) in (0, 1).

    Returns:
        int64 (n, K), the ancestor of each particle; particle j has K w_j of them, rounded either way.
    """
    k = log_weights.shape[1]
    edges = torch.softmax(log_weights, dim=1).cumsum(dim=1)
    edges = edges / edges[:, -1:]
    places = (torch.arange(k, device=edges.device, dtype=edges.dtype) + uniform.to(edges)) / k
    return torch.searchsorted(edges, places).clamp(max=k - 1)


class Particles(HMC):
    """Sequential Monte Carlo from the prior to the posterior (Del Moral et al. 2006, JRSS B 68).

    The K chains of a picture are its particles. Step t lowers sigma_t along a geometric path from
    ``start_std`` to ``noise_std``: weights are multiplied by exp(-E (1/(2 sigma_t^2) -
    1/(2 sigma_{t-1}^2))), resampled systematically where their effective sample size is below K / 2,
    and each particle moves by one trajectory of :class:`.hmc.HMC` at sigma_t. The last step resamples in
    any case, so that its particles count equally. The product of the mean weights estimates the
    evidence p(y) without bias, up to the constant (2 pi sigma^2)^(-values/2).

    Particles start from the prior, whatever the latents hold. Chains of one picture depend on each
    other, never on other pictures.

    Args:
        params: see :class:`.hmc.HMC`.
        steps: temperatures.
        particles: particles per picture, neighbouring rows; 0 = the ``chains`` of a picture that the
            context names, or all rows.
        noise_std: assumed standard deviation sigma of a known pixel, pictures in [-1, 1].
        start_std: sigma_1; the first weights compare it with the prior.
        leapfrog: gradient evaluations per step.
        step_size: first h, in units of each latent's scale; each picture's own h then follows the
            acceptance of its particles.
        target_accept: acceptance that h aims at.
        jitter: h varies by up to this share from step to step.
        preconditioner: ``fisher`` (averaged over the picture's particles) or ``none``.
        probes: random probes per Fisher estimate and particle.
        measures: Fisher estimates, spread evenly over the run.

    Raises:
        ValueError: an option out of range, or rows that do not divide into particles.
    """

    interacting = True
    live = (*HMC.live, "precision", "log_weights", "log_evidence")

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int = 100,
        particles: int = 0,
        noise_std: float = 0.05,
        start_std: float = 10.0,
        leapfrog: int = 3,
        step_size: float = 0.5,
        target_accept: float = 0.7,
        jitter: float = 0.2,
        preconditioner: Preconditioner = "fisher",
        probes: int = 2,
        measures: int = 8,
    ) -> None:
        if measures < 1:
            raise ValueError(f"measures must be at least 1, got {measures}")
        if particles < 0:
            raise ValueError(f"particles must not be negative, got {particles}")
        super().__init__(
            params,
            steps=steps,
            leapfrog=leapfrog,
            noise_std=noise_std,
            step_size=step_size,
            burn_in=0.0,
            target_accept=target_accept,
            jitter=jitter,
            preconditioner=preconditioner,
            probes=probes,
            start_std=start_std,
        )
        u = self.latents
        together = self.context.chains or len(u)
        self.population = particles or together  # particles per picture
        if together % self.population or len(u) % self.population:
            raise ValueError(f"particles must divide the {together} chains, got {particles}")
        if steps < 2:
            raise ValueError(f"steps must be at least 2, got {steps}")
        self.precision = 0.0  # 1 / (2 sigma^2) that the weights are for: the prior's
        pictures = len(u) // self.population
        self.log_weights = u.new_zeros(pictures, self.population, dtype=torch.float64)
        self.log_evidence = u.new_zeros(pictures, dtype=torch.float64)

    @property
    def draws_from(self) -> int | None:
        """None: particles are draws at the end alone."""
        return None

    @property
    def measured(self) -> set[int]:
        """Steps before whose moves the Fisher diagonal is measured."""
        return {i * self.steps // self.measures for i in range(self.measures)}

    @property
    def step_size(self) -> Tensor:
        """(N,) step sizes h, one per picture."""
        return self.adaptation.step_size

    def _grouped(self, values: Tensor) -> Tensor:
        """(N, ...) to (pictures, K, ...)."""
        return values.unflatten(0, (-1, self.population))

    def _measure(self) -> Tensor:
        """The Fisher diagonal at sigma = 1, averaged over each picture's particles, (N, D)."""
        mean = self._grouped(super()._measure()).mean(1, keepdim=True)
        return mean.expand(-1, self.population, -1).flatten(0, 1)

    def _cool(self, std: float) -> None:
        """Lower sigma: reweight, add to the evidence, rescale what is remembered of the energy."""
        assert self.here is not None
        energy = self._grouped(self._energy()).double()
        change = 1 / (2 * std**2) - self.precision
        increment = torch.where(energy.isfinite(), -change * energy, -torch.inf)
        before = self.log_weights.logsumexp(1)
        self.log_weights = self.log_weights + increment
        self.log_evidence += self.log_weights.logsumexp(1) - before
        self._set_std(std)
        self.precision = 1 / (2 * std**2)

    def _resample(self, always: bool) -> None:
        """Replace the particles of pictures whose effective sample size is below K / 2."""
        assert self.here is not None
        n, k = self.log_weights.shape
        first = self.streams.select(torch.arange(0, n * k, k, device=self.latents.device))
        uniform = first.uniform(self.step_count, 1, Purpose.RESAMPLE)
        poor = effective_sample_size(self.log_weights) < k / 2
        poor = (poor | always)[:, None]
        own = torch.arange(k, device=poor.device).expand(n, k)
        ancestors = torch.where(poor, systematic_ancestors(self.log_weights, uniform), own)
        rows = (ancestors + k * torch.arange(n, device=poor.device)[:, None]).flatten()
        self.latents.copy_(self.latents[rows])
        self.here = self.here[0][rows], self.here[1][rows]
        self.log_weights = torch.where(poor, 0.0, self.log_weights)

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One temperature: reweight, resample, move; returns the energies (N,) after it."""
        u = self.latents
        self._follow_step_size()
        if self.here is None:
            u.copy_(self.normal(Purpose.START, 0))
            self.here = self._potential(closure)
        std = annealed_std(self.step_count, self.steps - 1, self.start_std, self.noise_std, 1.0)
        self._cool(std)
        self._resample(always=self.step_count == self.steps - 1)
        self._redraw_radii(self.step_count)
        if self.fisher is None or self.step_count in self.measured:
            self.fisher = self._measure()
        scale = latent_scale(self.fisher / std**2)
        probability = self._move(closure, scale, self.step_count)
        mean = self._grouped(probability).mean(1, keepdim=True).expand(-1, self.population)
        self.adaptation.update(mean.flatten())
        self.accepted += probability
        self.tested += 1
        self.step_count += 1
        return self._energy()

    def diagnostics(self) -> dict[str, Tensor]:
        """Adds ``log_evidence`` of the picture, up to its constant, to those of HMC, each (N,)."""
        evidence = self.log_evidence[:, None].expand(-1, self.population).flatten()
        return {**super().diagnostics(), "log_evidence": evidence}
