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
from .search import Search
from .spec import SamplerSpec

__all__ = ["ByLatents"]

MOST = 1024  # latents whose Jacobian is worth its pictures
FEW = {"class_path": "Search"}
MANY = {
    "class_path": "MAP",
    "init_args": {"steps": 100, "noise_std": 0.03, "anchor": "start"},
}


class ByLatents(ChainOptimizer):
    """The sampler that suits the latents: one for few, one for many.

    Where z is all there is, it has to be found: :class:`.search.Search` does, if its values are not too many.
    Where noise maps and slack make up for what z has not found, a descent comes near any picture.

    It is a choice, not a sampler: what it returns is an instance of the one or the other. Further options are
    those of the sampler that is chosen, by their names; null leaves one as it is.

    Attributes:
        choice: true: what ``few`` and ``many`` say of ``noise_std`` is a default.
    """

    choice = True

    def __new__(  # type: ignore[misc]
        cls,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        few: dict[str, Any] | None = None,
        many: dict[str, Any] | None = None,
        **options: Any,
    ) -> ChainOptimizer:
        """The one or the other.

        Args:
            params: latents (N, D) or one group, see :class:`.base.ChainOptimizer`.
            few: the sampler where a chain has one block of at most 1024 latents, as ``class_path`` and
                ``init_args``; null is Search.
            many: the sampler where a chain has more of them, or noise maps or slack as well; null is 100 steps
                of MAP at noise_std .03, held to its start.

        Raises:
            ValueError: no such sampler, or an option that the chosen one does not have.
        """
        group: list[Any] = list(params)
        declared = (few or FEW) if _few(group) else (many or MANY)
        given = {name: value for name, value in options.items() if value is not None}
        spec = SamplerSpec.of(declared, SAMPLERS, **given)
        return spec.cls(group, **spec.options)  # type: ignore[call-arg]


def _few(params: list[Any]) -> bool:
    group = params[0] if isinstance(params[0], Mapping) else {"params": params}
    latents = group["params"]
    latents = latents if isinstance(latents, Tensor) else latents[0]
    blocks = (group.get("context") or ChainContext()).blocks
    return (blocks is None or len(blocks) == 1) and latents.shape[1] <= MOST


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
