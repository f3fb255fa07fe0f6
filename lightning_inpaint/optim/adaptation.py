"""Step sizes that find their acceptance rate, each chain by itself."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["DualAveraging"]


class DualAveraging:
    """Nesterov's dual averaging of log step sizes (Hoffman and Gelman 2014, JMLR 15, section 3.2).

    After update t with acceptance a_t: H_t = (1 - 1/(t + t0)) H_{t-1} + (target - a_t)/(t + t0),
    log e_{t+1} = mu - sqrt(t)/gamma H_t; the frozen step is the average of the log e_t weighted by
    t^-kappa.

    Args:
        start: (N,) first step sizes; exp(mu).
        target: wanted acceptance rate.
        gamma, t0, kappa: as in the paper.
    """

    def __init__(
        self,
        start: Tensor,
        target: float,
        gamma: float = 0.05,
        t0: float = 10.0,
        kappa: float = 0.75,
    ) -> None:
        self.target, self.gamma, self.t0, self.kappa = target, gamma, t0, kappa
        self.centre = start.log()
        self.log_step = self.centre.clone()
        self.log_average = self.centre.clone()
        self.gap = torch.zeros_like(start)
        self.count = 0

    @property
    def step_size(self) -> Tensor:
        """(N,) step sizes to try next."""
        return self.log_step.exp()

    @property
    def frozen(self) -> Tensor:
        """(N,) averaged step sizes, for use after the adaptation."""
        return self.log_average.exp()

    def update(self, acceptance: Tensor) -> None:
        """Learn from acceptance probabilities (N,) of the last step."""
        self.count += 1
        t = self.count
        self.gap = torch.lerp(self.gap, self.target - acceptance.to(self.gap), 1 / (t + self.t0))
        self.log_step = self.centre - t**0.5 / self.gamma * self.gap
        self.log_average = torch.lerp(self.log_average, self.log_step, t**-self.kappa)
