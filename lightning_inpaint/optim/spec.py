"""A sampler and its options, before there are chains."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import did_you_mean
from .base import ChainContext, ChainOptimizer

__all__ = ["SamplerSpec"]

SamplerLike = (
    str | Mapping[str, Any] | type[ChainOptimizer] | Callable[[Iterable[Any]], ChainOptimizer]
)

Shapes = Sequence[Sequence[int]]


class SamplerSpec(NamedTuple):
    """Which sampler walks, with every option: what runs, what is recorded and what is compared.

    Attributes:
        cls: the sampler's class.
        options: every option by name, defaults included.
        make: makes it over some latents, where that is a user's own function; None = the class does.
        free: whether its sigma is a default that the model's overrules.
    """

    cls: type[ChainOptimizer]
    options: dict[str, Any]
    make: Callable[[Iterable[Any]], ChainOptimizer] | None = None
    free: bool = False

    @classmethod
    def of(
        cls,
        given: SamplerLike,
        samplers: Mapping[str, type[ChainOptimizer]],
        shapes: Shapes | None = None,
        **options: Any,
    ) -> SamplerSpec:
        """The sampler that a user has named.

        Args:
            given: a short name, a class, a ``functools.partial`` of one, a mapping with ``class_path`` and
                ``init_args`` as in :attr:`portable`, or a callable that makes a sampler of its latents.
                Names and paths are looked up, never imported: a checkpoint may hold them.
            samplers: what short names stand for.
            shapes: of the blocks of latents, for a choice that depends on them.
            options: overrule those that ``given`` has.

        Raises:
            ValueError: no such sampler, no such option, or an option out of range.
        """
        if isinstance(given, Mapping):
            options = {**(given.get("init_args") or {}), **options}
            given = str(given["class_path"])
        if isinstance(given, str):
            given = _looked_up(given, samplers)
        if isinstance(given, functools.partial):
            named, kept = _class_in(given), given.keywords
            if named is not None:
                given, options = named, {**kept, **options}
        if isinstance(given, type):
            known = [name for name in inspect.signature(given).parameters if name != "params"]
            for name in options:
                if name not in known:
                    other = [
                        k for k, v in samplers.items() if name in inspect.signature(v).parameters
                    ]
                    belongs = f"it belongs to {', '.join(other)}."
                    has = f"it has {', '.join(known)}."
                    hint = did_you_mean(name, known, belongs if other else has)
                    raise ValueError(f"{given.__name__} has no option {name!r}: {hint}")
        made = given([_stand_in(shapes)], **options)  # type: ignore[call-arg]
        own = None if isinstance(given, type) else functools.partial(given, **options)
        # What a choice has for either case was not asked for, unlike what is said to it.
        free = getattr(given, "choice", False) and options.get("noise_std") is None
        return cls(type(made), made.options, own, free)

    def __call__(self, params: Iterable[Any]) -> ChainOptimizer:
        """The sampler over some latents."""
        if self.make is not None:
            return self.make(params)
        return self.cls(params, **self.options)  # type: ignore[call-arg]

    def with_noise_std(self, noise_std: float) -> SamplerSpec:
        """The same sampler for a posterior of another sigma.

        Raises:
            ValueError: it was given another sigma of its own, or walks in no posterior.
        """
        name, value = (
            ("temp", 2 * noise_std**2) if "temp" in self.options else ("noise_std", noise_std)
        )
        if name not in self.options:
            raise ValueError(f"{self.name} has no noise_std")
        default = inspect.signature(self.cls).parameters[name].default
        if not self.free and self.options[name] not in (default, value):
            raise ValueError(
                f"noise_std is {noise_std}, and the sampler's own {name} {self.options[name]}: "
                "leave one of them out"
            )
        return SamplerSpec.of(self.cls, {}, **{**self.options, name: value})

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.cls.__name__

    @property
    def _made(self) -> ChainOptimizer:
        """The sampler over one chain, to be asked."""
        return self([_stand_in()])

    @property
    def stops(self) -> bool:
        """Whether its chains may stop before the last step."""
        return self._made.stops

    @property
    def draws(self) -> int:
        """Steps of a chain whose states are draws; 0 = none, or only the last (see ``draws_from``)."""
        made = self._made
        return 0 if made.draws_from is None else made.steps - made.draws_from

    @property
    def needs_std(self) -> bool:
        """Whether sigma has to be known; see :class:`.base.ChainOptimizer`."""
        made = self._made
        return made.needs_std or "noise_std" not in self.options

    @property
    def exact(self) -> bool:
        """Whether its energies are tested or weighed; see :class:`.base.ChainOptimizer`."""
        return self.cls.exact

    @property
    def tolerant(self) -> bool:
        """Whether its first step may use gradients with some rounding error."""
        return self._made.tolerant

    @property
    def draws_from(self) -> int | None:
        """First step whose state is a draw in equilibrium; None = no step's is."""
        return self._made.draws_from

    @property
    def evaluations(self) -> int:
        """Energies with gradients that a chain asks of the posterior in a run; a search's own are left out."""
        made = self._made
        return sum(map(made.asked, range(made.steps)))

    @property
    def portable(self) -> dict[str, Any]:
        """Plain data that :meth:`of` makes the same sampler from."""
        return {"class_path": _path(self.cls), "init_args": dict(self.options)}

    @property
    def noise_std(self) -> float | None:
        """sigma of the posterior that it walks in; None where it has none."""
        made = self._made
        return getattr(made, "noise_std", None)


def _looked_up(name: str, samplers: Mapping[str, type[ChainOptimizer]]) -> type[ChainOptimizer]:
    by_name = {cls.__name__: cls for cls in samplers.values()}
    by_path = {_path(cls): cls for cls in samplers.values()}
    found = samplers.get(name) or by_name.get(name) or by_path.get(name)
    if found is None:
        hint = did_you_mean(name, [*samplers, *by_name])
        raise ValueError(
            f"there is no sampler {name!r}: {hint and hint + ' '}the samplers are {', '.join(samplers)}"
        )
    return found


def _class_in(given: functools.partial[Any]) -> type[ChainOptimizer] | None:
    """The sampler that a partial makes, called itself or by a parser's function."""
    for each in (given.func, *given.args):
        if isinstance(each, type) and issubclass(each, ChainOptimizer):
            return each
    return None


def _path(found: type) -> str:
    package = __name__.rpartition(".")[0]
    inside = found.__module__.startswith(f"{package}.")
    return f"{package if inside else found.__module__}.{found.__qualname__}"


def _stand_in(shapes: Shapes | None = None) -> dict[str, Any]:
    """One chain: options are checked by the sampler itself, before there are pictures."""

    def probe(u: Tensor, draw: int) -> Tensor:
        return u.square()

    def residual(u: Tensor, rows: Tensor) -> Tensor:
        return u

    size = 1 if shapes is None else sum(map(math.prod, shapes))
    context = ChainContext(probe=probe, blocks=shapes, observed=torch.ones(1), residual=residual)
    return {"params": [nn.Parameter(torch.zeros(1, size))], "context": context}
