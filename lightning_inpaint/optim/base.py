"""What all samplers share: a ``torch.optim.Optimizer`` over one matrix of latents."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..noise import ChainStreams, Purpose

__all__ = [
    "Advance",
    "ChainContext",
    "ChainOptimizer",
    "Closure",
    "InnerLayer",
    "arrival_bound",
]

Closure = Callable[[], Tensor]
Advance = Callable[..., tuple[Tensor, Tensor]]
"""A step as a pure function ``(gradient, streams, u, *numbers) -> energy (N,), moved chains (N, D)``,
where ``gradient`` takes latents to energies and their gradient."""


class InnerLayer(NamedTuple):
    """A generator in two parts, the first of which costs little.

    Attributes:
        size: d, how many values are between them.
        spread: of one of these values under the prior, a standard deviation.
        cost: of the inner part with its gradient, in evaluations.
        inner: ``(u, rows)``, latents (n, D) of the chains ``rows`` (n,) to w (n, d), differentiable.
        around: ``(v, rows)``, standard normal (n, d) to w (n, d) like the prior's, differentiable.
        residual: ``(w, rows)``, (n, d) to residuals (n, V) of the known values, differentiable.
    """

    size: int
    spread: float
    cost: float
    inner: Callable[[Tensor, Tensor], Tensor]
    around: Callable[[Tensor, Tensor], Tensor]
    residual: Callable[[Tensor, Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class ChainContext:
    """What a sampler may know of its chains beside their energies.

    Attributes:
        streams: random streams, one per row; None = rows are the chains of seed 0.
        chains: how many neighbouring rows belong to one picture; None = all.
        probe: ``(u, draw)`` to squared probes (N, D) of the Jacobian, for preconditioners.
        blocks: shapes of the consecutive pieces of the D latents.
        scale_free: numbers of the blocks whose rows count by their direction alone.
        observed: (N,), how many values of each picture are known.
        residual: ``(u, rows)``, latents (n, D) of the chains with numbers ``rows`` (n,), to residuals (n, V)
            of their known values, differentiable; for samplers that see more than energies.
        layer: gives the same in two parts, where the first costs little beside the second; else None.
    """

    streams: ChainStreams | None = None
    chains: int | None = None
    probe: Callable[[Tensor, int], Tensor] | None = None
    blocks: Sequence[Sequence[int]] | None = None
    scale_free: Sequence[int] | None = None
    observed: Tensor | None = None
    residual: Callable[[Tensor, Tensor], Tensor] | None = None
    layer: Callable[[], InnerLayer] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> ChainContext:
        return self  # a copied sampler walks in the same posterior


def _declaring(init: Callable[..., None]) -> Callable[..., None]:
    """An ``__init__`` whose arguments behind the parameters become the sampler's options."""
    signature = inspect.signature(init)
    kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}

    @functools.wraps(init)
    def declared(self: ChainOptimizer, params: Any, *args: Any, **options: Any) -> None:
        bound = signature.bind(self, params, *args, **options)
        bound.apply_defaults()
        given: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[2:]:
            more = kinds[name] is inspect.Parameter.VAR_KEYWORD
            given.update(value if more else {name: value})
        if "options" not in self.__dict__:  # the outermost class's signature declares them
            self.options, self._settings = given, {}
        self._settings = {**given, **self._settings}
        init(self, params, *args, **options)

    return declared


class ChainOptimizer(torch.optim.Optimizer):
    """A sampler: each row of the parameter is one chain with prior N(0, I).

    The posterior is log p(u | y) = -E(u) / (2 noise_std^2) - |u|^2 / 2 + const. ``step(closure)`` makes
    one step of every chain. ``closure()`` evaluates the energy at the parameter's present value: it
    returns E (N,) and leaves dE/du (N, D) in ``.grad``, fresh. A sampler that needs another point
    writes it to the parameter, calls the closure and puts the chain back.

    Rows never influence each other, and a step never waits for the device: step sizes and
    acceptances are (N,) tensors.

    The arguments of a subclass's ``__init__`` are its options, declared there alone. They live in the
    parameter group, from where each step reads them, and :attr:`options` is what was configured.

    Args:
        params: the latents (N, D), or one group ``{"params": [u], "context": ChainContext}``.
        steps: how many steps a run has, at least 1.

    Attributes:
        options: every option by name, as configured.
        context: what is known of the chains beside their energies.
        live: names of the attributes that change from step to step; :meth:`state_dict` holds them.
        exact: whether the chain has the posterior as its stationary distribution (a Metropolis test
            or particle weights, frozen adaptation); False = approximate.
        interacting: whether neighbouring rows, the ``chains`` of one picture (see the context), depend
            on each other; False = no two rows do.
        needs_std: whether it asks more of an energy than E / (2 noise_std^2) and its gradient, so that it has
            no use for one that stands for an unknown sigma.
        evaluations: energy gradients evaluated so far, per chain.

    Raises:
        ValueError: an option out of range, or more than one parameter.
    """

    exact = False
    interacting = False
    needs_std = False
    live: tuple[str, ...] = ("step_count", "evaluations")
    options: dict[str, Any]
    steps: int
    _settings: dict[str, Any]

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" in cls.__dict__:
            cls.__init__ = _declaring(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]], steps: int) -> None:
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        super().__init__(params, {"context": None, **self._settings})
        unknown = set(self.param_groups[0]) - {"params", "param_names", "context", *self._settings}
        if unknown:
            raise ValueError(
                f"the parameter group has {', '.join(sorted(unknown))}: it takes options of "
                f"{type(self).__name__}, and what is known of the chains as its context"
            )
        group = self.param_groups[0]
        if len(group["params"]) != 1 or self.latents.ndim != 2:
            raise ValueError("a sampler takes one matrix of latents, one row per chain")
        self.context: ChainContext = group.pop("context") or ChainContext()
        del self.defaults["context"]
        if self.context.streams is None:
            rows = len(self.latents)
            streams = ChainStreams(0, [""] * rows, list(range(rows)), self.latents.device)
            self.context = dataclasses.replace(self.context, streams=streams)
        self.step_count = 0
        self.evaluations = 0

    def __getattr__(self, name: str) -> Any:
        """An option, as the parameter group has it now: a scheduler's word counts from the next step."""
        groups = self.__dict__.get("param_groups")
        if groups and name != "params" and name in groups[0]:
            return groups[0][name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        """All but hooks: a copy goes on where this sampler is."""
        return {k: v for k, v in self.__dict__.items() if not k.startswith("_optimizer_")}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the one matrix of latents that a sampler has.

        Raises:
            ValueError: there is one already.
        """
        if self.param_groups:
            raise ValueError("a sampler takes one matrix of latents, one row per chain")
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Options, and all that changes from step to step: with the latents, enough to continue a walk
        bit for bit."""
        self.state[self.latents] = {name: _plain(attrgetter(name)(self)) for name in self.live}
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the :meth:`state_dict` of the same sampler over as many chains."""
        super().load_state_dict(state_dict)
        # torch has cast counts, flags and float64 to the latents' type
        for name, value in copy.deepcopy(state_dict["state"].get(0, {})).items():
            owner, _, last = name.rpartition(".")
            setattr(attrgetter(owner)(self) if owner else self, last, _moved(value, self.latents))

    @property
    def latents(self) -> Tensor:
        """The chains, (N, D)."""
        return self.param_groups[0]["params"][0]

    @property
    def streams(self) -> ChainStreams:
        """The random streams, one per row."""
        assert self.context.streams is not None
        return self.context.streams

    @property
    def tolerant(self) -> bool:
        """Whether the next step may use gradients with some rounding error: not in the last quarter,
        and never where a Metropolis test or a weight depends on the energy."""
        return not self.exact and self.step_count < 0.75 * self.steps

    @property
    def stops(self) -> bool:
        """Whether chains may stop before the last step, each by itself."""
        return False

    @property
    def ages(self) -> Tensor:
        """(N,) steps that each chain has made."""
        return torch.full((len(self.latents),), self.step_count, device=self.latents.device)

    @property
    def resting(self) -> Tensor:
        """(N,) whether each chain has stopped."""
        return self.ages >= self.steps

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

    def asked(self, step: int) -> int:
        """Those of :meth:`cost` that are asked of the closure, for all chains at once."""
        return self.cost(step)

    def scale_step(self, factor: float) -> None:
        """Make all steps ``factor`` times as large, before the first: for chains that went astray.

        A sampler that has no steps to scale leaves this undone.
        """

    def reseat(self, keep: Tensor, fresh: Tensor, context: ChainContext) -> None:
        """Go on with the chains ``keep``, followed by others at their start.

        Args:
            keep: indices of the chains that stay.
            fresh: (M, D), the others.
            context: of all of them, in this order.
        """
        self.latents.data = torch.cat([self.latents.detach()[keep], fresh])
        self.context = context

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


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _moved(value: Any, latents: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value.to(latents.device)
    return tuple(_moved(item, latents) for item in value) if isinstance(value, list) else value


def arrival_bound(values: Tensor) -> Tensor:
    """chi2 (squared residuals over sigma^2, per value) below which chains have arrived: 1 and three deviations.

    Args:
        values: (N,), how many values are known.
    """
    return 1 + 3 * (2 / values).sqrt()


def require_positive(**values: float | None) -> None:
    """Raise a ValueError that quotes the first value that is not positive; None passes."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")


def require_decays(betas: tuple[float, float]) -> None:
    """Raise a ValueError that quotes Adam's decay rates if one of them is out of range."""
    for value in betas:
        if not 0 <= value < 1:
            raise ValueError(f"betas must lie in [0, 1), got {betas}")
