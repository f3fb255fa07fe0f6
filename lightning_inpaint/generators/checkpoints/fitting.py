"""Which part of a checkpoint belongs to a network: found by names and shapes, not by what it is called.

People save a state dict alone, inside a training checkpoint under any key, with the prefix of a wrapper
(``module.``, ``generator.``), beside averaged weights, or the whole module. All of these are looked
through, and the part is taken whose tensors are the network's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import UserError
from .records import Instance, Persistent, TensorRecord
from .tensors import TensorReader

__all__ = ["Chosen", "choose_part", "split_key"]

_MAX_PARTS = 20_000
_MAX_DEPTH = 12
_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|module|_forward_module|_fsdp_wrapped_module)\.")
_AVERAGED = re.compile(r"ema(?![a-z])|averag|shadow|swa(?![a-z])", re.IGNORECASE)
_COUNTER = "num_batches_tracked"  # absent from files of old versions of torch

Tensors = Mapping[str, Any]  # names to TensorRecord or Tensor


class Part(NamedTuple):
    """A table of tensors in a checkpoint and the keys that lead to it, joined by dots."""

    place: str
    tensors: Tensors


class Fit(NamedTuple):
    """A part of which every tensor of a network was found.

    Attributes:
        place: keys that lead to it, and the prefix that its names have beyond the network's.
        names: from names in the network to names in the part.
        tensors: the part's.
    """

    place: str
    names: dict[str, str]
    tensors: Tensors

    @property
    def averaged(self) -> bool:
        """Whether it is called a moving average."""
        return _AVERAGED.search(self.place) is not None


class Chosen(NamedTuple):
    """What was taken: a state dict, where it was, and the places of others that would have fitted."""

    state: dict[str, Tensor]
    place: str
    others: list[str]


def choose_part(
    content: Any, module: nn.Module, key: str, weights: str, reader: TensorReader, name: str
) -> Chosen:
    """The state dict of ``module`` in a checkpoint.

    Args:
        content: the file as plain data, or tensors by name.
        module: the network to be filled.
        key: the part to take, as dotted keys; "" = the one that fits.
        weights: ``"G_ema"`` prefers a part that is called a moving average, ``"G"`` one that is not.
        reader: of the file's tensors.
        name: of the network, for messages.

    Raises:
        UserError: no part fits, several do, or there is no such key; the sentence lists what there is.
    """
    source = reader.source
    parts = list(_parts(content))
    if not parts:
        held = _overview(content)
        raise UserError(f"{source}: it holds no state dict (names with tensors){held}.")
    chosen = [p for p in parts if _leads(key, p)] if key else parts
    if not chosen:
        raise UserError(f"{source}: it has nothing called {key!r}{_overview(content, parts)}.")
    wanted = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    if not wanted:
        raise UserError(f"{source}: {name} has no weights that a file could fill; leave it out.")
    fits = [f for p in chosen for f in _fits(p, wanted) if not key or _within(key, f.place)]
    if not fits:
        raise UserError(_misfit(chosen, wanted, source, name, _overview(content, parts)))
    fits = _distinct(fits)
    averaged = [f for f in fits if f.averaged]
    plain = [f for f in fits if not f.averaged]
    pool = (averaged or plain) if weights == "G_ema" else (plain or averaged)
    if key:
        pool = [f for f in pool if f.place == key] or pool
    if len(pool) > 1:
        places = ", ".join(repr(f.place) for f in pool[:6])
        raise UserError(
            f"{source}: {len(pool)} parts of it fit {name}: {places}; choose one by writing it behind "
            f"the file, as in {source}#{pool[0].place}."
        )
    taken = pool[0]
    state = {ours: _read(taken.tensors[theirs], reader) for ours, theirs in taken.names.items()}
    return Chosen(state, taken.place, [f.place for f in fits if f is not taken])


def _read(value: Any, reader: TensorReader) -> Tensor:
    return value if isinstance(value, Tensor) else reader.read(value)


# -- looking through the file ----------------------------------------------------------------------


def _parts(content: Any) -> Iterator[Part]:
    """Every table that holds tensors, the outermost first; shared ones once."""
    waiting: list[tuple[str, Any, int]] = [("", content, 0)]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_PARTS:
        place, value, depth = waiting.pop(0)
        if id(value) in seen or depth > _MAX_DEPTH:
            continue
        seen.add(id(value))
        if isinstance(value, Instance | Persistent) and "_modules" in value.state:
            tensors = dict(_module_tensors(value))
            if tensors:
                yield Part(place, tensors)
            continue
        items = _items(value)
        tensors = {k: v for k, v in items if isinstance(k, str) and _is_tensor(v)}
        if tensors:
            yield Part(place, tensors)
        waiting += [(f"{place}.{k}" if place else str(k), v, depth + 1) for k, v in items]


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Instance):
        return [*value.items.items(), *value.state.items()]
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list | tuple) and len(value) <= 64:  # longer ones are histories
        return [(str(k), v) for k, v in enumerate(value)]
    return []


def _is_tensor(value: Any) -> bool:
    return isinstance(value, TensorRecord | Tensor)


def _module_tensors(module: Any) -> Iterator[tuple[str, Any]]:
    """Names and tensors of a module that was saved whole, as its ``state_dict`` would give them."""
    waiting, visited = [("", module)], 0
    while waiting and visited < _MAX_PARTS:
        prefix, value = waiting.pop()
        visited += 1
        if not isinstance(value, Instance | Persistent) or prefix.count(".") > 4 * _MAX_DEPTH:
            continue
        passing = value.state.get("_non_persistent_buffers_set")
        passing = passing if isinstance(passing, set) else set()
        for group in ("_parameters", "_buffers", "_modules"):
            entries = value.state.get(group)
            for key, inner in entries.items() if isinstance(entries, dict) else ():
                if group == "_modules" and isinstance(key, str) and len(key) < 256:
                    waiting.append((f"{prefix}{key}.", inner))
                elif _is_tensor(inner) and key not in passing:
                    yield f"{prefix}{key}", inner


# -- fitting ---------------------------------------------------------------------------------------


def _shape(value: Any) -> tuple[Any, ...]:
    size = value.shape if isinstance(value, Tensor) else value.size
    return tuple(size) if isinstance(size, tuple | torch.Size) else ()


def _bare(names: Mapping[str, Any]) -> dict[str, str]:
    """From names without the wrappers' pieces to the names; as they are where two would be the same."""
    bare = {_WRAPPERS.sub("", k): k for k in names}
    return bare if len(bare) == len(names) else {k: k for k in names}


def _fits(part: Part, wanted: Mapping[str, tuple[int, ...]]) -> list[Fit]:
    theirs, ours = _bare(part.tensors), _bare(wanted)
    found = _with_prefixes(part, theirs, ours, wanted)
    first = next(iter(ours)).partition(".")[0] + "."
    if not found and all(k.startswith(first) for k in ours):  # one layer's weights were saved alone
        inner = {k.removeprefix(first): v for k, v in ours.items()}
        # under the layer's own name they are a part of another network
        there = {k: v for k, v in theirs.items() if not f".{k}".count(f".{first}")}
        found = _with_prefixes(part, there, inner, wanted)
    return found


def _with_prefixes(
    part: Part, theirs: dict[str, str], ours: dict[str, str], wanted: Mapping[str, tuple[int, ...]]
) -> list[Fit]:
    """One fit for each prefix under which all the network's names are there in their shapes."""
    needed = [k for k in ours if not k.endswith(_COUNTER)]
    if not needed:
        return []
    longest = max(needed, key=len)
    ends = [k[: len(k) - len(longest)] for k in theirs if k.endswith(longest)]
    found = []
    for prefix in dict.fromkeys(p for p in ends if not p or p.endswith(".")):
        names = {ours[k]: theirs[prefix + k] for k in ours if prefix + k in theirs}
        if any(ours[k] not in names for k in needed):
            continue
        if any(_shape(part.tensors[t]) != wanted[o] for o, t in names.items()):
            continue
        rest = [k.removeprefix(prefix) for k in theirs if k.startswith(prefix)]
        extra = [k for k in rest if k not in ours and not k.endswith(_COUNTER)]
        if all(_shape(part.tensors[theirs[prefix + k]]) in ((), (1,)) for k in extra):
            # the prefix as the file has it, wrappers included
            full = names[ours[longest]]
            shown = full[: len(full) - len(longest)] if full.endswith(longest) else prefix
            found.append(Fit(f"{part.place}.{shown}".strip("."), names, part.tensors))
    return found


def _distinct(fits: list[Fit]) -> list[Fit]:
    """Without those that are the same values under another key."""
    kept: dict[tuple[Any, ...], Fit] = {}
    for fit in fits:
        kept.setdefault(tuple(_identity(fit.tensors[t]) for t in fit.names.values()), fit)
    return list(kept.values())


def _identity(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.data_ptr()
    return id(value.storage), str(value.offset)


def _leads(key: str, part: Part) -> bool:
    """Whether the key names this part, something around it, or a prefix within it."""
    if part.place and _within(key, part.place):
        return True
    inner = key.removeprefix(f"{part.place}.") if part.place else key
    return (not part.place or inner != key) and any(_within(inner, k) for k in part.tensors)


def _within(key: str, place: str) -> bool:
    return f"{place}.".startswith(f"{key}.")


# -- saying what is wrong --------------------------------------------------------------------------


def _misfit(
    parts: list[Part], wanted: Mapping[str, tuple[int, ...]], source: str, name: str, held: str
) -> str:
    """What keeps the nearest part from fitting."""

    def shared(part: Part) -> int:
        theirs = _bare(part.tensors)
        return sum(any(k == w or k.endswith("." + w) for k in theirs) for w in list(wanted)[:50])

    nearest = max(parts, key=shared)
    theirs = _bare(nearest.tensors)
    called = f"its part {nearest.place!r}" if nearest.place else "it"
    if not shared(nearest):
        first, other = next(iter(theirs)), next(iter(wanted))
        return (
            f"{source}: it does not fit {name}: {called} has tensors such as {first[:80]!r}, and the "
            f"network has {other[:80]!r}{held}; give the file of this network, or its class."
        )
    for ours, shape in wanted.items():
        match = next((k for k in theirs if k == ours or k.endswith("." + ours)), None)
        if match is None:
            if ours.endswith(_COUNTER):
                continue
            return (
                f"{source}: it does not fit {name}: {called} lacks {ours[:80]!r}{held}; was the network "
                "made with other arguments?"
            )
        size = _shape(nearest.tensors[theirs[match]])
        if size != shape:
            return (
                f"{source}: it does not fit {name}: {ours[:80]!r} is {_by(size)} in the file and "
                f"{_by(shape)} in the network; give the arguments that it was trained with, as in "
                f"{name}(nz=100)."
            )
    extra = [k for k in theirs if not any(k == w or k.endswith("." + w) for w in wanted)]
    several = "" if len(extra) == 1 else "s"
    more = f" ({extra[0][:80]!r})" if extra else ""
    return (
        f"{source}: it does not fit {name}: {called} has {len(extra)} tensor{several}{more} that the network "
        "lacks; was it made with other arguments? Layers that only its training needed, as an encoder's, "
        "have to be in its class, too."
    )


def _by(shape: tuple[Any, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"


def _overview(content: Any, parts: list[Part] | None = None) -> str:
    """The outermost keys, as a clause of a sentence; "" where there are none."""
    if isinstance(content, Instance):
        return f"; it is a {content.name[:80]}"
    keys = [str(k) for k, _ in _items(content)]
    if not keys:
        return ""
    counts = {p.place: len(p.tensors) for p in parts or []}
    if counts.get("") == len(keys):  # one flat table: show where its names begin
        keys = list(dict.fromkeys(k.partition(".")[0] for k in keys))
    shown = [f"{k[:40]} ({counts[k]} tensors)" if counts.get(k) else k[:40] for k in keys[:10]]
    more = f" and {len(keys) - 10} more" if len(keys) > 10 else ""
    return f"; its keys are {', '.join(shown)}{more}"


def split_key(weights: str) -> tuple[Path, str]:
    """``FILE#KEY`` as the file and the key; a file that has the ``#`` in its name is taken whole."""
    whole = Path(weights).expanduser()
    if "#" not in weights or whole.is_file():
        return whole, ""
    file, _, key = weights.partition("#")
    return Path(file).expanduser(), key.strip(". ")
