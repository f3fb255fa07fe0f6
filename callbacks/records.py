"""The record of a picture: all there is to know about it, and enough to redo it alone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..completions import Completions

__all__ = ["diversity", "number", "picture_record", "table_rows"]

#: Points of an energy curve that are kept; a record stays small however long the walk is.
CURVE_POINTS = 120
#: Enlargement of what fills a hole above which a figure of its quality misleads.
ENLARGED = 2.0


def picture_record(
    completions: Completions,
    n: int,
    files: dict[str, Any],
    run: dict[str, Any],
    notes: Sequence[dict[str, str]] = (),
) -> dict[str, Any]:
    """The record of the ``n``-th picture of a batch, as JSON.

    It holds nothing that differs between two runs with the same settings: no times, no host.

    Args:
        completions: The batch.
        n: Position in the batch.
        files: ``input`` and, per completion, lists ``composite`` and ``raw`` of relative paths.
        run: Settings, generator and versions of the run.
        notes: What about the picture may not be as meant, each a ``kind`` and a sentence ``text``.
    """
    source = completions.source[n]
    label = int(completions.label[n])
    spread = diversity(completions.raw[n], completions.mask[n])
    return {
        "id": completions.id[n],
        "index": completions.index[n],
        "label": label if label >= 0 else None,
        "class_name": _class_name(completions, label) if label >= 0 else None,
        "inferred": _inferred(completions, n) if label < 0 else None,
        "notes": list(notes),
        "seed": completions.seed,
        "steps": completions.steps,
        "original": _original(source, completions.raw.shape[-1]) if source is not None else None,
        "input": files["input"],
        "diversity": None if spread is None else number(spread),
        "completions": [_completion(completions, n, k, files) for k in range(completions.chains)],
        "curve": _curve(completions, n),
        **run,
    }


def table_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per completion, best first: the columns of ``energies.csv``."""
    picture = {**_inferred_columns(record.get("inferred")), **_notes_column(record.get("notes"))}
    return [
        {
            "id": record["id"],
            "index": record["index"],
            "chain": each["chain"],
            "seed": record["seed"],
            "steps": record["steps"],
            "first_energy": each["first_energy"],
            "last_energy": each["last_energy"],
            "known_psnr": each["known_psnr"],
            "status": each["status"],
            "label": record["label"],
            "diversity": record["diversity"],
            **({"chain_class": each["class"]} if each.get("class") is not None else {}),
            **picture,
            **_enlargement(record.get("original")),
            **each["diagnostics"],
        }
        for each in record["completions"]
    ]


def diversity(raw: Tensor, mask: Tensor) -> float | None:
    """How far a picture's completions are from each other in the hole.

    Args:
        raw: uint8 ``(K, C, H, W)``.
        mask: float ``(1, H, W)`` in [0, 1], 1 = fill.

    Returns:
        Mean over all pairs of the root mean squared distance in the hole, in units of the data
        range (0 = all equal, 1 = black against white); None for one completion or an empty hole.
    """
    chains, hole = len(raw), mask.flatten() > 0
    if chains < 2 or not hole.any():
        return None
    pixels = raw.flatten(2)[:, :, hole].flatten(1).double() / 255
    pairs = torch.pdist(pixels) / math.sqrt(pixels.shape[1])
    return float(pairs.mean())


def number(value: float | Tensor) -> float | int | None:
    """Six significant digits, which float32 can vouch for; None where there is no finite value."""
    value = float(value)
    if not math.isfinite(value):
        return None
    short = float(f"{value:.6g}")
    return int(short) if short.is_integer() else short


def _inferred(completions: Completions, n: int) -> dict[str, Any] | None:
    """The posterior over the classes of a picture without a label; entropy in nats."""
    if completions.class_posterior is None:
        return None
    chances = completions.class_posterior[n].double()
    best = int(chances.argmax())
    named = {_class_name(completions, c): number(p) for c, p in enumerate(chances)}
    return {
        "label": best,
        "name": _class_name(completions, best),
        "probability": number(chances[best]),
        "entropy": number(torch.special.entr(chances).sum()),
        "posterior": named,
    }


def _class_name(completions: Completions, label: int) -> str:
    names = completions.class_names
    return names[label] if label < len(names) else str(label)


def _inferred_columns(inferred: dict[str, Any] | None) -> dict[str, Any]:
    if inferred is None:
        return {}
    likely = {name: p for name, p in inferred["posterior"].items() if p and p >= 1e-4}
    return {
        "inferred_label": inferred["name"],
        "inferred_probability": inferred["probability"],
        "class_entropy": inferred["entropy"],
        "class_posterior": json.dumps(likely, ensure_ascii=False),
    }


def _enlargement(original: dict[str, Any] | None) -> dict[str, Any]:
    factor = (original or {}).get("enlargement") or 1
    return {"enlargement": factor} if factor > ENLARGED else {}


def _notes_column(notes: Sequence[dict[str, str]] | None) -> dict[str, str]:
    return {"notes": "; ".join(note["kind"] for note in notes)} if notes else {}


def _original(source: Any, side: int) -> dict[str, Any]:
    width, height = source.size
    boxes = [source.box, *(patch.source.box for patch in source.patches)]
    edges = [edge for left, top, right, low in boxes for edge in (right - left, low - top)]
    return {
        "path": str(source.path),
        "width": int(width),
        "height": int(height),
        "box": [int(edge) for edge in source.box],
        "enlargement": number(max(edges) / side),
        **({"boxes": [[int(e) for e in box] for box in boxes]} if len(boxes) > 1 else {}),
    }


def _completion(completions: Completions, n: int, k: int, files: dict[str, Any]) -> dict[str, Any]:
    return {
        "chain": int(completions.chain[n, k]),
        "composite": files["composite"][k],
        "raw": files["raw"][k],
        "first_energy": number(completions.first_energy[n, k]),
        "last_energy": number(completions.energy[n, k]),
        "known_psnr": number(completions.psnr[n, k]),
        "status": completions.status[n][k],
        "class": _drawn_class(completions, n, k),
        "diagnostics": {
            name: number(values[n, k]) for name, values in sorted(completions.diagnostics.items())
        },
    }


def _drawn_class(completions: Completions, n: int, k: int) -> str | None:
    """The class that a chain walked in, where that is no label of the picture."""
    if completions.chain_label is None or int(completions.label[n]) >= 0:
        return None
    return _class_name(completions, int(completions.chain_label[n, k]))


def _curve(completions: Completions, n: int) -> dict[str, Any]:
    """Energies along the walk, thinned out, and after its last step."""
    points = len(completions.trace_steps)
    spent = list(completions.trace_evaluations)
    kept = list(range(0, points, max(1, math.ceil(points / CURVE_POINTS))))
    steps = [int(completions.trace_steps[i]) for i in kept]
    curves = completions.trace[kept, n].T.tolist()
    evaluations = [spent[i] for i in kept] if spent else []
    if not steps or steps[-1] < completions.steps:
        steps.append(completions.steps)
        evaluations += spent[-1:]
        for curve, final in zip(curves, completions.energy[n].tolist(), strict=True):
            curve.append(final)
    first = completions.draws_from
    values = float((1 - completions.mask[n]).sum()) * completions.raw.shape[2]
    std = completions.noise_std
    return {
        "steps": steps,
        "evaluations": evaluations or None,
        "burn_in": spent[first] if spent and first is not None else None,
        "floor": None if std is None else number(values * std**2),
        "energies": [[number(energy) for energy in curve] for curve in curves],
    }
