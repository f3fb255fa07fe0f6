"""The closed-form diffusion over Gaussian latents.

For a prior N(0, I) the forward process leaves every marginal N(0, I), and the denoised latent has a
closed form (Ho et al. 2020, arXiv:2006.11239, eq. 4, with Gaussian data):

    abar_t = prod_{i<=t} (1 - beta_i),     u_0 | u_t ~ N(sqrt(abar_t) u_t, (1 - abar_t) I).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

__all__ = ["Schedule", "ScheduleName", "make_schedule", "predict_start"]

ScheduleName = Literal["linear", "geometric"]


class Schedule(NamedTuple):
    """Noise levels of a reverse diffusion, in the order in which the steps are taken (t = T..1).

    Attributes:
        betas: float64 (T,), the noise variance of each step.
        alphas_bar: float64 (T,), abar_t before each step.
    """

    betas: Tensor
    alphas_bar: Tensor

    def __len__(self) -> int:
        return int(self.betas.shape[0])


def make_schedule(name: ScheduleName, steps: int, beta_start: float, beta_end: float) -> Schedule:
    """Build a schedule.

    Args:
        name: ``linear`` or ``geometric`` spacing of beta over t = 1..T.
        steps: number of steps T, from 1 on.
        beta_start: beta at t = 1, the last step taken; in (0, 1).
        beta_end: beta at t = T, the first step taken; in (0, 1).

    Raises:
        ValueError: steps below 1, betas outside (0, 1), or an unknown name.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    for key, beta in (("beta_start", beta_start), ("beta_end", beta_end)):
        if not 0 < beta < 1:
            raise ValueError(f"{key} must lie in (0, 1), got {beta}")
    if name == "linear":
        betas = torch.linspace(beta_start, beta_end, steps, dtype=torch.float64)
    elif name == "geometric":
        first, last = torch.tensor([beta_start, beta_end], dtype=torch.float64).log().tolist()
        betas = torch.linspace(first, last, steps, dtype=torch.float64).exp()
    else:
        raise ValueError(f"schedule must be 'linear' or 'geometric', got {name!r}")
    return Schedule(betas.flip(0), torch.cumprod(1 - betas, dim=0).flip(0))


def predict_start(u: Tensor, alpha_bar: Tensor | float, noise: Tensor | None = None) -> Tensor:
    """A draw of u_0 given u_t.

    Args:
        u: (N, D), u_t.
        alpha_bar: abar_t in (0, 1].
        noise: (N, D), standard normal (or scaled by a temperature); None gives the mean.

    Returns:
        (N, D), ``sqrt(abar) u + sqrt(1 - abar) noise``.
    """
    mean = alpha_bar**0.5 * u
    return mean if noise is None else mean + (1 - alpha_bar) ** 0.5 * noise
