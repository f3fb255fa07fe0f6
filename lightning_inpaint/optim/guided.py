"""Guided reverse diffusion over Gaussian latents: by plugin, and by better estimators."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from ..noise import ChainStreams, Purpose
from .base import ChainOptimizer, Closure, require_positive
from .schedule import Schedule, ScheduleName, make_schedule, predict_start

__all__ = ["Diffusion", "PluginDiffusion", "clip_gradient", "reverse_step"]

Estimator = Literal["plugin", "mean", "logmeanexp", "inflated"]
Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]
Number = Tensor | float  # tensors where the step is compiled
Count = Tensor | int
ESTIMATORS = ("plugin", "mean", "logmeanexp", "inflated")


def reverse_step(u: Tensor, guidance: Tensor, beta: Number, noise: Tensor) -> Tensor:
    """One guided step: ``sqrt(1 - beta) u + beta g + sqrt(beta) eps``.

    Args:
        u: (N, D) chains.
        guidance: (N, D), an estimate of the gradient of log p(y | u_t).
        beta: variance of the step.
        noise: (N, D) standard normal, or scaled by the square root of a temperature.
    """
    return (1 - beta) ** 0.5 * u + beta * guidance + beta**0.5 * noise


def clip_gradient(grad: Tensor, clip_std: float, over: Literal["picture", "batch"]) -> Tensor:
    """Scale ``grad`` (N, D) down to a standard deviation of at most ``clip_std``.

    The deviation is that of each chain's own values (``picture``), or of all values of the batch
    together (``batch``, the original's form, which makes pictures depend on their batch mates).
    """
    std = grad.std(dim=1, keepdim=True) if over == "picture" else grad.std()
    return grad * (clip_std / std).clamp(max=1.0)


class Diffusion(ChainOptimizer):
    """Guided reverse diffusion (approximate).

    Step t = T..1 is ``u <- sqrt(1 - beta_t) u + beta_t g_t + sqrt(beta_t) eps`` with g_t an estimate of
    the gradient of log p(y | u_t). With u_0^k = sqrt(abar_t) u_t + sqrt(1 - abar_t) xi_k:

    * ``plugin``: the gradient of log p(y | sqrt(abar_t) u_t);
    * ``mean``: the average of the gradients of log p(y | u_0^k), biased;
    * ``logmeanexp``: the gradient of log mean_k p(y | u_0^k), exact as the samples grow;
    * ``inflated``: ``plugin`` with variance noise_std^2 + (1 - abar_t) spread^2.

    Args:
        params: latents (N, D) or one group, see :class:`ChainOptimizer`.
        steps: number of steps T.
        estimator: how g_t is estimated, see above.
        num_samples: samples of u_0 per step, for ``mean`` and ``logmeanexp``.
        noise_std: assumed standard deviation of a known pixel, pictures in [-1, 1].
        spread: standard deviation of a pixel per unit of latent deviation, for ``inflated``.
        schedule: spacing of beta, ``geometric`` or ``linear``.
        beta_start: variance of the last step.
        beta_end: variance of the first step.
        xstart_temp: scale of xi; 1 is unbiased, 0 evaluates at the mean.
        clip_std: largest standard deviation of the energy's gradient; None = no clipping.
        clip_over: clip each ``picture`` by itself, or the whole ``batch``, as the original did.
        temperature: of the injected noise; 0 gives gradient descent on energy plus prior.

    Raises:
        ValueError: an option out of range.
    """

    needs_std = True  # weights of energies, and clipped gradients of them

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int = 200,
        estimator: Estimator = "inflated",
        num_samples: int = 1,
        noise_std: float = 0.05,
        spread: float = 0.9,
        schedule: ScheduleName = "geometric",
        beta_start: float = 1e-7,
        beta_end: float = 0.3,
        xstart_temp: float = 1.0,
        clip_std: float | None = None,
        clip_over: Literal["picture", "batch"] = "picture",
        temperature: float = 1.0,
    ) -> None:
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
        if clip_over not in ("picture", "batch"):
            raise ValueError(f"clip_over must be 'picture' or 'batch', got {clip_over!r}")
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}")
        if temperature < 0:
            raise ValueError(f"temperature must not be negative, got {temperature}")
        if xstart_temp < 0:
            raise ValueError(f"xstart_temp must not be negative, got {xstart_temp}")
        require_positive(noise_std=noise_std, spread=spread, clip_std=clip_std)
        super().__init__(params, steps)
        self._plan: tuple[tuple[Any, ...], list[tuple[float, float]]] | None = None
        self._numbers()  # sees betas that are out of range

    @property
    def schedule(self) -> Schedule:
        """Noise levels of the steps."""
        return make_schedule(*self._schedule_options)

    @property
    def _schedule_options(self) -> tuple[Any, ...]:
        group = self.param_groups[0]
        return group["schedule"], self.steps, self.beta_start, self.beta_end

    def _numbers(self) -> list[tuple[float, float]]:
        """beta and abar of each step, as plain numbers: a step reads nothing back from a device."""
        if self._plan is None or self._plan[0] != self._schedule_options:
            betas, alphas_bar = (part.tolist() for part in self.schedule)
            self._plan = self._schedule_options, list(zip(betas, alphas_bar, strict=True))
        return self._plan[1]

    def scale_step(self, factor: float) -> None:
        """Smaller betas: a shorter diffusion in steps that the energy's curvature bears."""
        self.param_groups[0]["beta_start"] *= factor
        self.param_groups[0]["beta_end"] *= factor

    def _guidance(
        self, gradient: Gradient, streams: ChainStreams, u: Tensor, step: Count, alpha_bar: Number
    ) -> tuple[Tensor, Tensor]:
        """Energies and their gradient with respect to u_0, as the estimator has them."""
        if self.estimator in ("plugin", "inflated"):
            return gradient(predict_start(u, alpha_bar))
        energies, grads = [], []
        for k in range(self.num_samples):
            noise = None
            if self.xstart_temp > 0:
                draw = step * self.num_samples + k
                noise = streams.normal(draw, u.shape[1], Purpose.SAMPLE, u.dtype) * self.xstart_temp
            energy, grad = gradient(predict_start(u, alpha_bar, noise))
            energies.append(energy)
            grads.append(grad)
        energy = torch.stack(energies)
        if self.estimator == "logmeanexp":
            weight = torch.softmax(-energy / (2 * self.noise_std**2), dim=0)
        else:
            weight = torch.full_like(energy, 1 / self.num_samples)
        return energy.mean(dim=0), (weight[:, :, None] * torch.stack(grads)).sum(dim=0)

    def cost(self, step: int) -> int:
        """One per sample of the estimate."""
        return self.num_samples

    def _advance(
        self,
        gradient: Gradient,
        streams: ChainStreams,
        u: Tensor,
        step: Count,
        beta: Number,
        alpha_bar: Number,
    ) -> tuple[Tensor, Tensor]:
        """The step as a pure function (:data:`.base.Advance`): energies before it, chains after it."""
        energy, grad = self._guidance(gradient, streams, u, step, alpha_bar)
        grad = grad * alpha_bar**0.5  # d u_0 / d u_t
        if self.clip_std is not None:
            grad = clip_gradient(grad, self.clip_std, self.clip_over)
        variance: Number = self.noise_std**2
        if self.estimator == "inflated":
            variance = variance + (1 - alpha_bar) * self.spread**2
        noise = streams.normal(step, u.shape[1], Purpose.STEP, u.dtype) * self.temperature**0.5
        return energy, reverse_step(u, -grad / (2 * variance), beta, noise)

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        """One reverse step of every chain; returns the energies (N,) before it.

        Raises:
            RuntimeError: all ``steps`` have been made.
        """
        if self.step_count >= self.steps:
            raise RuntimeError(f"the schedule has {self.steps} steps, and all have been made")
        beta, alpha_bar = self._numbers()[self.step_count]
        numbers = (self.step_count, beta, alpha_bar)
        # One graph, unless rows meet in the clip: a compiled batch may have been filled up.
        if hasattr(closure, "advance") and (self.clip_std is None or self.clip_over == "picture"):
            calls = self.num_samples if self.estimator in ("mean", "logmeanexp") else 1
            group = self.param_groups[0]
            name = (type(self), tuple((k, group[k]) for k in sorted(self.defaults)))
            energy, moved = closure.advance(name, self._advance, calls, *numbers)
            self.evaluations += calls
        else:
            gradient = partial(self.evaluate, closure)
            u = self.latents.detach()
            energy, moved = self._advance(gradient, self.streams, u, *numbers)
        self.latents.copy_(moved)
        self.step_count += 1
        return energy


class PluginDiffusion(Diffusion):
    """Reverse diffusion guided by the likelihood at the estimated start (approximate).

    The algorithm of the experiment that this project grew from (github.com/unixpickle/inpaint-gan): a
    linear schedule, and gradients averaged over samples of u_0. Names and defaults of the options are
    those of its notebook.

    Args:
        params: latents (N, D) or one group, see :class:`ChainOptimizer`.
        steps: number of steps (``num_steps`` there).
        num_samples: samples of u_0 per step.
        temp: temperature of the energy, log p(y | u) = -E / temp, so temp = 2 noise_std^2.
        xstart_temp: scale of the noise in those samples; 1 = unbiased.
        clip_std: largest standard deviation of the energy's gradient; None = none.
        clip_over: ``picture`` clips each chain by itself; ``batch`` is the original form.
        beta_start: variance of the last step (``beta_0``).
        beta_end: variance of the first step (``beta_T``).
        temperature: of the injected noise; 0 gives gradient descent on energy plus prior.

    Raises:
        ValueError: an option out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        steps: int = 500,
        num_samples: int = 1,
        temp: float = 1.0,
        xstart_temp: float = 0.0,
        clip_std: float | None = 5.0,
        clip_over: Literal["picture", "batch"] = "picture",
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
        temperature: float = 1.0,
    ) -> None:
        require_positive(temp=temp)
        super().__init__(
            params,
            steps=steps,
            estimator="mean",
            num_samples=num_samples,
            noise_std=(temp / 2) ** 0.5,
            schedule="linear",
            beta_start=beta_start,
            beta_end=beta_end,
            xstart_temp=xstart_temp,
            clip_std=clip_std,
            clip_over=clip_over,
            temperature=temperature,
        )

    @property
    def noise_std(self) -> float:
        """sigma, from ``temp`` = 2 sigma^2."""
        return (self.param_groups[0]["temp"] / 2) ** 0.5
