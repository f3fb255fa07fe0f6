"""Step sizes that find their acceptance rate, each chain by itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..steady import elementwise

__all__ = ["StepAdaptation"]


class StepAdaptation:
    """Stochastic approximation of log step sizes (Robbins and Monro 1951; Andrieu and Thoms 2008,
    Stat. Comput. 18, section 4.2), with averaged iterates (Polyak and Juditsky 1992).

    After update t with acceptance a_t: log h_{t+1} = log h_t + g (a_t - target); the frozen step is the
    average of the log h_t weighted by t^-kappa. Dual averaging, made for hundreds of updates, swings widely in
    the few dozen there are here, and the average of its steps is too short.

    Args:
        start: (N,) first step sizes.
        target: wanted acceptance rate.
        gain: g.
        kappa: 1 averages all iterates alike, less weights the later ones.

    No step exceeds :attr:`LIMIT`: a few turns by so large an angle make a fresh draw of a free latent.
    """

    LIMIT = 2.0

    def __init__(
        self, start: Tensor, target: float, gain: float = 0.5, kappa: float = 0.75
    ) -> None:
        self.target, self.gain, self.kappa = target, gain, kappa
        self.log_step = elementwise(torch.log, start)
        self.log_average = self.log_step.clone()
        self.count = 0

    def begin(self, rows: Tensor) -> None:
        """Forget what the chains ``rows`` (n,) were taught, but for where it has brought them."""
        self.log_average, self.count = self.log_average.clone(), 0
        self.log_average[rows] = self.log_step[rows]

    @property
    def step_size(self) -> Tensor:
        """(N,) step sizes to try next."""
        return elementwise(torch.exp, self.log_step)

    @property
    def frozen(self) -> Tensor:
        """(N,) averaged step sizes, for use after the adaptation."""
        return elementwise(torch.exp, self.log_average)

    def update(self, acceptance: Tensor, rows: Tensor | None = None) -> None:
        """Learn from acceptance probabilities (n,) of the last step of the chains ``rows``; None = all."""
        self.count += 1
        which = slice(None) if rows is None else rows
        gap = acceptance.to(self.log_step) - self.target
        step = (self.log_step[which] + self.gain * gap).clamp(max=math.log(self.LIMIT))
        average = torch.lerp(self.log_average[which], step, self.count**-self.kappa)
        self.log_step, self.log_average = self.log_step.clone(), self.log_average.clone()
        self.log_step[which], self.log_average[which] = step, average
