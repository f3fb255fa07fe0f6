"""How somebody's network is called: what its latents, labels and pictures look like.

Nothing is known of it but its attributes, the arguments it was made with, the names in ``forward`` and its
layers. Each of them suggests something; what gives pictures in a trial is taken.
"""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError

__all__ = ["Call", "find_call"]

_Z_NAMES = (
    *("z_dim", "latent_dim", "nz", "dim_z", "latent_size", "z_size", "noise_dim", "code_dim"),
    *("noise_size", "latent_dims", "latents", "z_dims", "input_dim", "dim_latent", "nlatent"),
    *("encoding_dims", "num_z_units", "z_size", "noise", "zdim", "embedding_dim"),
)
_CLASS_NAMES = (
    "num_classes",
    "n_classes",
    "c_dim",
    "n_class",
    "num_class",
    "nclasses",
    "class_num",
)
_LABEL = re.compile(r"y|c|cls|.*(label|class|categor|onehot|one_hot|cond|target).*", re.IGNORECASE)
_MOST_TRIALS = 120
_HELP = "see 'A module of your own' in docs/own_generator.md"


@dataclass(frozen=True)
class Call:
    """One way to call a network.

    Attributes:
        z_dim: size of its latents.
        num_classes: its classes; 0 = it takes none.
        spatial: latents are (N, z, 1, 1) instead of (N, z).
        labels: how classes are given: index, one_hot, one_hot_map (N, K, 1, 1), or embedded by a layer of
            the network that has this name.
        labels_first: ``forward(labels, z)``.
        layout: how pictures come back: NCHW, NHWC, NHW, or flat (N, C R R).
    """

    z_dim: int
    num_classes: int = 0
    spatial: bool = False
    labels: str = "index"
    labels_first: bool = False
    layout: str = "NCHW"

    def raw(self, module: nn.Module, z: Tensor, labels: Tensor | None) -> Any:
        """What the network returns for latents (N, z_dim) and classes (N,)."""
        z = z[:, :, None, None] if self.spatial else z
        if not self.num_classes:
            return module(z)
        if labels is None:
            raise ValueError("this generator is class-conditional: labels are needed")
        given = self._encoded(module, labels, z.dtype)
        return module(given, z) if self.labels_first else module(z, given)

    def _encoded(self, module: nn.Module, labels: Tensor, dtype: torch.dtype) -> Tensor:
        if self.labels == "index":
            return labels
        if self.labels.startswith("one_hot"):
            hot = nn.functional.one_hot(labels, self.num_classes).to(dtype)
            return hot[:, :, None, None] if self.labels == "one_hot_map" else hot
        embedded: Tensor = module.get_submodule(self.labels)(labels)
        return embedded

    def pictures(self, out: Any) -> Tensor:
        """What the network returned as (N, C, R, R)."""
        x: Tensor = _tensor(out)
        if self.layout == "NHWC":
            return x.permute(0, 3, 1, 2)
        if self.layout == "NHW":
            return x[:, None]
        if self.layout == "flat":
            channels, side = _flat_shape(x.shape[1])
            return x.view(len(x), channels, side, side)
        return x


def find_call(
    module: nn.Module, name: str, arguments: Mapping[str, Any] | None = None
) -> tuple[Call, Tensor]:
    """Try what the network suggests until it gives square pictures.

    Args:
        module: in eval mode.
        name: what to call it in messages.
        arguments: those it was made with; None = unknown.

    Returns:
        The way to call it, and two pictures (2, C, R, R) as it draws them.

    Raises:
        UserError: nothing worked; the sentence says what was found and what to write.
    """
    known = dict(arguments or {})
    takes_labels, labels_first = _inputs(module, name)
    classes = _classes(module, known) if takes_labels is not False else 0
    if takes_labels and not classes:
        raise UserError(
            f"{name}: its forward{_signature(module)} wants labels, and the number of classes is unknown: "
            f"give the class an attribute num_classes ({_HELP})."
        )
    sizes = list(dict.fromkeys(_sizes(module, known, classes)))
    if not sizes:
        raise UserError(
            f"{name}: the size of its latents is unknown: give the class an attribute z_dim ({_HELP})."
        )
    parameter = next(module.parameters(), torch.zeros(()))
    problems: list[str] = []
    trials = _trials(module, sizes, classes, labels_first)
    for call in itertools.islice(trials, _MOST_TRIALS):
        z = torch.randn(2, call.z_dim, generator=torch.Generator().manual_seed(0)).to(parameter)
        labels = torch.arange(2, device=z.device) % classes if classes else None
        try:
            with torch.no_grad():
                out = call.raw(module, z, labels)
        except Exception as error:  # the user's module raises whatever it likes
            first = str(error).strip().splitlines()[:1]
            problems.append(f"fails: {type(error).__name__}: {''.join(first)[:160]}")
            continue
        layout, problem = _layout(out)
        if layout:
            found = Call(call.z_dim, classes, call.spatial, call.labels, call.labels_first, layout)
            return found, found.pictures(out)
        problems.insert(0, problem)
        if "square" in problem or "channels" in problem:
            raise UserError(f"{name}: it {problem}.")
    raise UserError(
        f"{name}: called with latents of size {sizes[0]}{f' and {classes} classes' if classes else ''}, it "
        f"gives no square pictures (N, C, R, R): it {problems[0]}; give the class an attribute z_dim, "
        f"and num_classes if it has classes, or wrap it ({_HELP})."
    )


def _inputs(module: nn.Module, name: str) -> tuple[bool | None, bool]:
    """Whether ``forward`` takes labels (None = perhaps), and whether they come first."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return None, False
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None, False
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    needed = [p for p in named if p.default is p.empty]
    if len(needed) > 2 or any(p.kind is p.KEYWORD_ONLY for p in needed):
        raise UserError(
            f"{name}: its forward takes {_listed([p.name for p in needed])}, and only latents and labels can "
            f"be given: write a class whose forward(z) or forward(z, labels) sets the rest ({_HELP})."
        )
    if len(needed) == 2:
        first = bool(_LABEL.fullmatch(needed[0].name)) and not _LABEL.fullmatch(needed[1].name)
        if not any(_LABEL.fullmatch(p.name) for p in needed) and not _classes(module, {}):
            raise UserError(
                f"{name}: its forward takes {_listed([p.name for p in needed])}, and nothing says what the "
                f"second is: give the class an attribute num_classes if it is the label, or write one whose "
                f"forward(z) sets it ({_HELP})."
            )
        return True, first
    optional = [p for p in named if p not in needed]
    after = named[1:2]
    return (None if optional and after and _LABEL.fullmatch(after[0].name) else False), False


def _signature(module: nn.Module) -> str:
    return str(inspect.signature(module.forward)).partition(" ->")[0][:80]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1]


def _whole(module: nn.Module, known: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[int]:
    values = [inspect.getattr_static(module, n, None) for n in names] + [
        known.get(n) for n in names
    ]
    return (v for v in values if type(v) is int and v > 0)


def _classes(module: nn.Module, known: Mapping[str, Any]) -> int:
    found = next(_whole(module, known, _CLASS_NAMES), 0)
    if found:
        return found
    names = getattr(module, "class_names", None)
    if isinstance(names, list | tuple) and names:
        return len(names)
    tables = [m.num_embeddings for m in module.modules() if isinstance(m, nn.Embedding)]
    return tables[0] if tables else 0


def _layers(module: nn.Module) -> list[nn.Module]:
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return [m for m in module.modules() if isinstance(m, kinds)]


def _sizes(module: nn.Module, known: Mapping[str, Any], classes: int) -> Iterator[int]:
    """Sizes of the latents worth a trial, the likeliest first."""
    yield from _whole(module, known, _Z_NAMES)
    widths = [m.embedding_dim for m in module.modules() if isinstance(m, nn.Embedding)]
    taken = [0, classes, *widths] if classes else [0]
    for layer in _layers(module)[:6]:
        size = int(getattr(layer, "in_features", 0)) or int(getattr(layer, "in_channels", 0))
        yield from (size - less for less in taken if size > less)


def _trials(
    module: nn.Module, sizes: list[int], classes: int, labels_first: bool
) -> Iterator[Call]:
    layers = _layers(module)
    convolution = bool(layers) and not isinstance(layers[0], nn.Linear)
    embeddings = [n for n, m in module.named_children() if isinstance(m, nn.Embedding)]
    forms = ["index", "one_hot", "one_hot_map", *embeddings] if classes else ["index"]
    for size, spatial, form in itertools.product(sizes, (convolution, not convolution), forms):
        yield Call(size, classes, spatial, form, labels_first)


def _tensor(out: Any) -> Any:
    if isinstance(out, Mapping):
        out = list(out.values())
    if isinstance(out, list | tuple):
        tensors = [x for x in out if isinstance(x, Tensor)]
        return next((x for x in tensors if x.ndim == 4), tensors[0] if tensors else None)
    return out


def _flat_shape(values: int) -> tuple[int, int]:
    """Channels and side of a flat picture; (0, 0) = it is none."""
    for channels in (1, 3):
        side = math.isqrt(values // channels)
        if side > 3 and side * side * channels == values:
            return channels, side
    return 0, 0


def _layout(out: Any) -> tuple[str, str]:
    """How pictures lie in what came back, or "" and what is wrong with it."""
    x = _tensor(out)
    if not isinstance(x, Tensor):
        return "", f"returned a {type(out).__name__}"
    shape = tuple(x.shape)
    if not x.is_floating_point() or not shape or shape[0] != 2:
        return "", f"returned {shape} of {x.dtype}"
    if len(shape) == 2 and _flat_shape(shape[1])[0]:
        return "flat", ""
    if len(shape) == 3 and shape[1] == shape[2] > 1:
        return "NHW", ""
    if len(shape) != 4:
        return "", f"returned {shape}"
    if shape[1] in (1, 3) and shape[2] == shape[3] > 1:
        return "NCHW", ""
    if shape[3] in (1, 3) and shape[1] == shape[2] > 3:
        return "NHWC", ""
    _, channels, height, width = shape
    if channels in (1, 3) and min(height, width) > 1:
        return "", (
            f"draws pictures of {height}x{width} (height x width), and only square ones can be completed: "
            "write a class whose forward pads or crops them to a square"
        )
    if height == width > 3 and channels <= 8:
        return "", (
            f"draws pictures with {channels} channels, and only 1 (grey) or 3 (colour) can be completed: "
            "write a class whose forward returns those alone"
        )
    return "", f"returned {shape}"
