"""What all samplers share: a ``torch.optim.Optimizer`` over one matrix of latents."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self

import torch
from torch import Tensor

from ..noise import ChainStreams, Purpose

__all__ = ["Advance", "ChainOptimizer", "Closure"]

Closure = Callable[[], Tensor]
Advance = Callable[..., tuple[Tensor, Tensor]]
"""A step as a pure function ``(gradient, streams, u, *numbers) -> energy (N,), moved chains (N, D)``,
where ``gradient`` takes latents to energies and their gradient."""


class ChainOptimizer(torch.optim.Optimizer):
    """A sampler: each row of the parameter is one chain with prior N(0, I).

    The posterior is log p(u | y) = -E(u) / (2 noise_std^2) - |u|^2 / 2 + const. ``step(closure)`` makes
    one step of every chain. ``closure()`` evaluates the energy at the parameter's present value: it
    returns E (N,) and leaves dE/du (N, D) in ``.grad``, fresh. A sampler that needs another point
    writes it to the parameter, calls the closure and puts the chain back.

    Rows never influence each other, and a step never waits for the device: step sizes and
    acceptances are (N,) tensors.

    Args:
        params: the latents (N, D), or one group ``{"params": [u], "streams": ChainStreams}``; without
            streams, rows are the chains of seed 0. ``chains``, how many neighbouring rows belong to
            one picture, matters to interacting samplers alone.
        steps: how many steps a run has, at least 1.
        defaults: further options, kept in the parameter group.

    Attributes:
        exact: whether the chain has the posterior as its stationary distribution (a Metropolis test
            or particle weights, frozen adaptation); False = approximate.
        ages: (N,) steps that each chain has made; of samplers that :attr:`stops` holds for.
        resting: (N,) whether it has stopped; of the same.
        interacting: whether neighbouring rows, the ``chains`` of one picture (a group option), depend
            on each other; False = no two rows do.
        options: all options by name, those left at their defaults included.
        evaluations: energy gradients evaluated so far, per chain.

    Raises:
        ValueError: an option out of range, or more than one parameter.
    """

    exact = False
    interacting = False
    options: dict[str, Any]
    ages: Tensor
    resting: Tensor

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep what the sampler is made with, so that no option of any sampler goes unrecorded."""
        self = super().__new__(cls)
        self.options = {}
        with suppress(TypeError):  # a copy has no arguments; wrong ones are __init__'s to refuse
            signature = inspect.signature(cls.__init__)
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            for name, value in bound.arguments.items():
                if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                    self.options.update(value)
                elif name not in ("self", "params"):
                    self.options[name] = value
        return self

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], steps: int, **defaults: Any
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        super().__init__(params, {"streams": None, "chains": None, **defaults})
        group = self.param_groups[0]
        if len(self.param_groups) != 1 or len(group["params"]) != 1 or self.latents.ndim != 2:
            raise ValueError("a sampler takes one matrix of latents, one row per chain")
        self.steps = int(steps)
        self.step_count = 0
        self.evaluations = 0

    @property
    def latents(self) -> Tensor:
        """The chains, (N, D)."""
        return self.param_groups[0]["params"][0]

    @property
    def streams(self) -> ChainStreams:
        """The random streams, one per row."""
        group = self.param_groups[0]
        if group["streams"] is None:
            n = self.latents.shape[0]
            group["streams"] = ChainStreams(0, [""] * n, list(range(n)), self.latents.device)
        return group["streams"]

    @property
    def tolerant(self) -> bool:
        """Whether the next step may use gradients with some rounding error: not in the last quarter,
        and never where a Metropolis test or a weight depends on the energy."""
        return not self.exact and self.step_count < 0.75 * self.steps

    @property
    def stops(self) -> bool:
        """Whether chains may stop before the last step, each by itself."""
        return False

    def normal(self, purpose: Purpose, draw: int | None = None) -> Tensor:
        """Standard normal numbers in the shape of the latents; ``draw`` defaults to the step."""
        u = self.latents
        number = self.step_count if draw is None else draw
        return self.streams.normal(number, u.shape[1], purpose, u.dtype)

    @property
    def draws_from(self) -> int | None:
        """First step whose state is a draw of the chain in equilibrium; None = no step's is."""
        return None

    def cost(self, step: int) -> int:
        """Evaluations that step number ``step`` (from 0) takes, measurements of scales left out."""
        return 1

    def scale_step(self, factor: float) -> None:
        """Make all steps ``factor`` times as large, before the first: for chains that went astray.

        A sampler that has no steps to scale leaves this undone.
        """

    def reseat(self, keep: Tensor, fresh: Tensor, group: dict[str, Any]) -> None:
        """Go on with the chains ``keep``, followed by others at their start.

        Args:
            keep: indices of the chains that stay.
            fresh: (M, D), the others.
            group: the parameter group of all of them, in this order.
        """
        self.latents.data = torch.cat([self.latents.detach()[keep], fresh])
        self.param_groups[0].update({k: v for k, v in group.items() if k != "params"})

    def evaluate(self, closure: Closure, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Energy (N,) and its gradient (N, D) at ``at`` (default: at the chains).

        The gradient is the caller's own, to be overwritten at will.
        """
        u = self.latents
        self.evaluations += 1
        here = u.data
        if at is not None:
            u.data = at  # no copy: batches of latents are large
        try:
            energy = closure()
        finally:
            u.data = here
        assert u.grad is not None
        grad, u.grad = u.grad, None
        return energy, grad

    def diagnostics(self) -> dict[str, Tensor]:
        """Figures per chain, each (N,): at least ``u2_over_d`` = |u|^2 / D, 1 for prior draws."""
        return {"u2_over_d": self.latents.detach().square().mean(dim=1)}


def require_positive(**values: float | None) -> None:
    """Raise a ValueError that quotes the first value that is not positive; None passes."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")
