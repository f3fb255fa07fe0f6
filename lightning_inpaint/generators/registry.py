"""From what a user writes after ``--model.generator`` to a frozen network.

Accepted, in this order: a bundled name (``cifar10``), a published name (``stylegan2-ada-ffhq``), an
``https://`` or ``file:`` address, a path to a checkpoint, and an import path to the user's own module
(``package.module:Class``, see :mod:`.spec`). Only the last one runs code that is not this project's: the
user's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from torch import nn

from ..errors import UserError
from .checkpoints import READABLE, read_checkpoint
from .checkpoints.native import read_header, save_generator
from .download import cached_path, fetch
from .modules import adapt_generator, refuse_options
from .own import make_generator
from .published import PUBLISHED
from .spec import GeneratorSpec, looks_importable

__all__ = [
    "bundled_names",
    "convert",
    "generator_name",
    "list_generators",
    "load_generator",
    "resolve",
]

BUNDLED = Path(__file__).parent / "bundled"
_BUNDLED_LICENCE = "this project's"


def load_generator(
    generator: Any,
    *,
    weights: str = "G_ema",
    latent_prior: str | None = None,
    value_range: Sequence[float] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Load a generator by name, address, path or import path; see the module's text.

    Args:
        generator: which one: a text or path; a mapping with ``class_path``, ``init_args`` and ``weights``; a
            class, or a pair of a class and its arguments; or a module, which is taken as it is. See
            :mod:`.spec` for what a text says of a class of your own.
        weights: ``"G_ema"``, the averaged weights, or ``"G"``, those being trained, where a file holds both.
        latent_prior: what the latents of a class of your own were in training: gaussian, uniform (in
            [-1, 1]), uniform01 (in [0, 1]), sphere (of radius 1) or large_sphere (of radius sqrt(D)).
        value_range: values of black and of white in the pictures of a class of your own; None = found from
            samples where it is [-1, 1], [0, 1] or [0, 255].
        kwargs: arguments of the user's class; refused for everything else.

    Returns:
        A module in eval mode with ``requires_grad`` off: attributes ``z_dim``, ``num_classes``,
        ``resolution``, ``img_channels``, ``class_names``, and ``forward(z (N, z_dim), labels (N,))``
        giving pictures (N, C, H, W) in about [-1, 1].

    Raises:
        UserError: nothing of this name exists, or the file cannot be used; one sentence says why.
    """
    if weights not in ("G_ema", "G"):
        raise UserError(f"weights must be G_ema or G, not {str(weights)[:40]!r}.")
    options: Any = {"latent_prior": latent_prior, "value_range": value_range}
    if isinstance(generator, nn.Module):
        return adapt_generator(generator, type(generator).__name__, **options)
    if not isinstance(generator, str | Path):
        return make_generator(GeneratorSpec.of(generator, **kwargs), weights, **options)
    text = str(generator)
    path = resolve(text)
    if path is None:
        return make_generator(GeneratorSpec.of(text, **kwargs), weights, **options)
    refuse_options(text, latent_prior, value_range)
    if kwargs:
        raise UserError(
            f"{text}: {', '.join(kwargs)} cannot be set for a checkpoint, only for a class of your own."
        )
    network = read_checkpoint(path, weights)
    known = PUBLISHED.get(text)
    if known and known.class_names and getattr(network, "num_classes", 0) == known.num_classes:
        network.class_names = known.class_names  # type: ignore[assignment]
    return network


def generator_name(generator: Any) -> str:
    """What any form of a generator that :func:`load_generator` takes is called in records and messages."""
    if isinstance(generator, nn.Module):
        return type(generator).__name__
    if isinstance(generator, str | Path):
        return str(generator)
    return GeneratorSpec.of(generator).text


def resolve(text: str) -> Path | None:
    """The local file that ``text`` stands for, downloaded where needed; None = an import path.

    Raises:
        UserError: ``text`` names nothing that exists.
    """
    bundled = BUNDLED / f"{text}.safetensors"
    if "/" not in text and bundled.is_file():
        return bundled
    if text in PUBLISHED:
        entry = PUBLISHED[text]
        return fetch(entry.url, note=f"{text}: {entry.licence}.")
    scheme = urlsplit(text).scheme.lower()
    if scheme in ("https", "http"):
        return fetch(text)
    if scheme == "file":
        return _existing(Path(url2pathname(urlsplit(text).path)), text)
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if looks_importable(text):
        return None
    if path.suffix in READABLE or "/" in text or path.is_dir():
        return _existing(path, text)
    names = ", ".join([*bundled_names(), *PUBLISHED])
    raise UserError(
        f"no generator called {text[:80]!r}: use one of {names}, a path to a checkpoint "
        f"({', '.join(READABLE[:4])}), an https:// address, or package.module:Class."
    )


def bundled_names() -> list[str]:
    """Names of the generators that come with the project."""
    return sorted(p.stem for p in BUNDLED.glob("*.safetensors"))


def list_generators() -> str:
    """Table of all known generators: name, resolution, classes, size, whether it is here, licence."""
    rows = [("name", "pixels", "classes", "size", "here", "licence of the weights")]
    for name in bundled_names():
        path = BUNDLED / f"{name}.safetensors"
        config = read_header(path)
        size = f"{path.stat().st_size / 1e6:.0f} MB"
        pixels, classes = str(config.get("resolution")), str(config.get("num_classes", 0))
        rows.append((name, pixels, classes, size, "bundled", _BUNDLED_LICENCE))
    for name, entry in PUBLISHED.items():
        here = cached_path(entry.url).is_file()
        rows.append(
            (
                name,
                str(entry.resolution),
                str(entry.num_classes),
                f"{entry.megabytes} MB",
                "cached" if here else "no",
                entry.licence,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3))]
        lines.append("  ".join([*cells, row[4].ljust(widths[4]), row[5]]))
    return "\n".join(lines)


def convert(
    source: str | Path, target: str | Path, dtype: str = "float32", *, weights: str = "G_ema"
) -> Path:
    """Write any checkpoint this project reads as its own safe, small, fast-loading file.

    Args:
        source: name, address or path, as for :func:`load_generator`.
        target: path of the new file, ending in ``.safetensors``.
        dtype: ``float32`` keeps every bit; ``float16`` halves the file.
        weights: ``G_ema`` or ``G``.

    Raises:
        UserError: the source cannot be read or the target has another ending.
    """
    target = Path(target)
    if target.suffix != ".safetensors":
        raise UserError(f"{target.name}: the converted file's name must end in .safetensors.")
    return save_generator(load_generator(source, weights=weights), target, dtype)


def _existing(path: Path, text: str) -> Path:
    if path.is_dir():
        raise UserError(f"{text[:200]}: this is a folder; give the checkpoint file inside it.")
    if not path.is_file():
        raise UserError(f"{text[:200]}: no such file; check the path.")
    return path
