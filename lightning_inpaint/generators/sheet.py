"""A labelled grid of a generator's samples as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import ArgumentError, UserError
from ..files import whole_file
from ..images.levels import to_uint8
from ..images.sheet import contact_sheet
from .sampling import drawing

__all__ = ["draw_samples", "sample_grid"]


def sample_grid(
    generator: nn.Module,
    path: str | Path,
    classes: Sequence[int | str] | None = None,
    *,
    columns: int = 8,
    rows: int = 8,
    seed: int = 0,
    truncation: float = 1.0,
    scale: int | None = None,
    batch_size: int = 16,
) -> Path:
    """Draw samples, one row per class and one column per seed.

    A cell depends on its class and seed alone: column k shows the same z in every row, and the same
    picture in every sheet that has seed ``seed + k``. An unconditional generator gets ``rows`` rows
    of consecutive seeds.

    Args:
        generator: any generator of the registry.
        path: the PNG to write; it appears only when complete.
        classes: indices or names; None = all, at most ``rows`` of them evenly spread.
        columns: samples per row.
        rows: rows of an unconditional generator, or the most classes drawn when none are named.
        seed: seed of the first column.
        truncation: 1 draws the generator's whole distribution, 0 the average of each class, as
            ``predict`` has it; native generators only.
        scale: each pixel becomes scale x scale; None enlarges small pictures to about 64.
        batch_size: pictures generated at a time.

    Returns:
        The path written.

    Raises:
        UserError: a class does not exist, a number makes no sense, or the generator has no truncation.
    """
    path = Path(path)
    for name, value in {"columns": columns, "rows": rows, "batch_size": batch_size}.items():
        if value < 1:
            raise ArgumentError(f"`{name}` is {value}, and must be at least 1.", "")
    labels = _choose_classes(generator, classes, rows)
    count = len(labels) if labels is not None else rows
    seeds = [
        seed + (0 if labels is not None else r * columns) + k
        for r in range(count)
        for k in range(columns)
    ]
    per_cell = [c for c in labels for _ in range(columns)] if labels is not None else None
    pictures = draw_samples(
        generator, seeds, per_cell, truncation=truncation, batch_size=batch_size
    )
    row_names = (
        [_class_name(generator, c) for c in labels]
        if labels is not None
        else [f"seeds {seed + r * columns}-" for r in range(count)]
    )
    column_names = [str(seed + k) if labels is not None else f"+{k}" for k in range(columns)]
    cells = list(pictures.permute(0, 2, 3, 1).numpy())
    pixels = pictures.shape[-1]
    sheet = contact_sheet(
        [(name, cells[r * columns : (r + 1) * columns]) for r, name in enumerate(row_names)],
        column_names,
        side=pixels * (scale or max(1, round(64 / pixels))),
    )
    with whole_file(path) as temporary:
        sheet.save(temporary, format="PNG")
    return path


@torch.no_grad()
def draw_samples(
    generator: nn.Module,
    seeds: Sequence[int],
    labels: Sequence[int] | None = None,
    *,
    truncation: float = 1.0,
    batch_size: int = 16,
) -> Tensor:
    """Pictures (N, C, H, W) uint8, one for each seed (and class), with the stored noise maps.

    Raises:
        UserError: ``truncation`` is not 1 and the generator is not a native one.
    """
    draw = drawing(generator, truncation)
    device = next((p.device for p in generator.parameters()), torch.device("cpu"))
    size = int(generator.z_dim)  # type: ignore[arg-type]
    z = torch.stack([torch.randn(size, generator=torch.Generator().manual_seed(s)) for s in seeds])
    pieces = []
    for i in range(0, len(seeds), batch_size):
        rows = z[i : i + batch_size].to(device)
        part = None
        if labels is not None:
            part = torch.tensor(labels[i : i + batch_size], device=device)
        pieces.append(to_uint8(draw(rows, part, None)).cpu())
    return torch.cat(pieces)


def _choose_classes(
    generator: nn.Module, classes: Sequence[int | str] | None, rows: int
) -> list[int] | None:
    count = int(generator.num_classes)  # type: ignore[arg-type]
    if count == 0:
        if classes:
            raise UserError("sample: this generator has no classes; leave them out.")
        return None
    if classes is None:
        shown = min(rows, count) if count > 16 else count
        return [round(i * (count - 1) / max(1, shown - 1)) for i in range(shown)]
    names = list(getattr(generator, "class_names", None) or ())
    chosen = []
    for c in classes:
        text = str(c)
        index = names.index(text) if text in names else int(text) if text.isdecimal() else -1
        if not 0 <= index < count:
            known = ", ".join(names[:20]) if names else f"0 to {count - 1}"
            raise UserError(f"sample: no class {text!r}; known are {known}.")
        chosen.append(index)
    return chosen


def _class_name(generator: nn.Module, index: int) -> str:
    names = getattr(generator, "class_names", None)
    return f"{index} {names[index]}" if names else f"class {index}"
