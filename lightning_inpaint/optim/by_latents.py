"""Which sampler walks where none is named: by the latents that there are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_type_hints

from torch import Tensor

from .annealed import AnnealedHMC
from .base import ChainContext, ChainOptimizer
from .mode import MAP
from .samplers import SAMPLERS
from .search import MOST, Search
from .spec import SamplerSpec

__all__ = ["ByLatents"]

MOST_MAPS = 2**16  # latents of which a search looks at some hundred draws of the prior
FEW = {"class_path": "Search"}
MAPS = {
    "class_path": "Search",
    "init_args": {"noise_std": 0.03, "trajectories": 0, "anchor": "start"},
}
MANY = {
    "class_path": "MAP",
    "init_args": {"steps": 100, "noise_std": 0.03, "anchor": "start"},
}


class ByLatents(ChainOptimizer):
    """The sampler that suits the latents: one for few, one for noise maps as well, one for many.

    Where z is all there is, it has to be found: :class:`.search.Search` does, if its values are not too many.
    Noise maps help it, but do not replace it. Where slack makes up for what z has not found, a descent comes
    near any picture.

    It is a choice, not a sampler: what it returns is an instance of the one or the other. Further options are
    those of the sampler that is chosen, by their names; null leaves one as it is.

    Attributes:
        choice: true: what ``few``, ``maps`` and ``many`` say of ``noise_std`` is a default.
    """

    choice = True

    def __new__(  # type: ignore[misc]
        cls,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        few: dict[str, Any] | None = None,
        maps: dict[str, Any] | None = None,
        many: dict[str, Any] | None = None,
        **options: Any,
    ) -> ChainOptimizer:
        """The one or the other.

        Args:
            params: latents (N, D) or one group, see :class:`.base.ChainOptimizer`.
            few: the sampler where a chain has one block of at most 1024 latents, as ``class_path`` and
                ``init_args``; null is Search.
            maps: the sampler where a chain has noise maps as well, but no slack, and at most 65,536 latents;
                null is that of ``many`` where it is given, or else a Search without trajectories, held to its
                start.
            many: the sampler where a chain has more of them, or slack; null is 100 steps of MAP at noise_std
                .03, held to its start.

        Raises:
            ValueError: no such sampler, or an option that the chosen one does not have.
        """
        group: list[Any] = list(params)
        cases = {"few": few or FEW, "maps": maps or many or MAPS, "many": many or MANY}
        declared = cases[_case(group)]
        given = {name: value for name, value in options.items() if value is not None}
        spec = SamplerSpec.of(declared, SAMPLERS, **given)
        return spec.cls(group, **spec.options)  # type: ignore[call-arg]


def _case(params: list[Any]) -> str:
    group = params[0] if isinstance(params[0], Mapping) else {"params": params}
    latents = group["params"]
    latents = latents if isinstance(latents, Tensor) else latents[0]
    blocks = (group.get("context") or ChainContext()).blocks or [latents.shape[1:]]
    if len(blocks) == 1:
        return "few" if latents.shape[1] <= MOST else "many"
    slack = any(len(block) == 3 for block in blocks)  # features; noise maps have no channels
    return "many" if slack or latents.shape[1] > MOST_MAPS else "maps"


def _signature(own: Callable[..., Any], *samplers: type[ChainOptimizer]) -> inspect.Signature:
    """That of ``own`` with the options of ``samplers`` in place of its keywords, null by default.

    A parser checks options by name and type, long before there are latents.
    """
    first = inspect.signature(own)
    kept = [x for x in first.parameters.values() if x.kind is not inspect.Parameter.VAR_KEYWORD]
    kinds = get_type_hints(own)
    parameters = {x.name: x.replace(annotation=kinds.get(x.name, x.annotation)) for x in kept}
    for sampler in samplers:
        kinds = get_type_hints(inspect.unwrap(sampler.__init__))
        for name, option in list(inspect.signature(sampler).parameters.items())[1:]:
            free = option.replace(default=None, annotation=kinds[name] | None)
            parameters.setdefault(name, free)
    return first.replace(parameters=list(parameters.values()))


ByLatents.__new__.__signature__ = _signature(  # type: ignore[attr-defined]
    ByLatents.__new__, AnnealedHMC, MAP, Search
)
