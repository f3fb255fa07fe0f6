"""Snapshots with forged tensors, or with wrong types in the right places."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import wire
from hostile_base import (
    FILES,
    FLOAT,
    call,
    file,
    named,
    network,
    run_on,
    text,
    zipped,
)

# -- tensors and what surrounds them ---------------------------------------------------------------


def with_storage(inner: bytes) -> bytes:
    """A snapshot whose first tensor's storage bytes are replaced."""

    class Storage:
        def __reduce__(self) -> Any:
            return torch.storage._load_from_bytes, (inner,)

    class Value:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, (Storage(), 0, (4, 4, 4), (16, 4, 1), False, {})

    record = wire.recorded(network())
    block = record.meta["state"]["_modules"]["synthesis"].meta["state"]["_modules"]["b4"]
    block.meta["state"]["_parameters"]["const"] = Value()
    return wire.dump({"G_ema": record})


def old_form(value: bytes, keys: bytes = b"\x80\x02]q\x00.", tail: bytes = b"") -> bytes:
    """torch's old form around a pickled ``value``."""
    stream = io.BytesIO()
    torch.save(torch.zeros(1).untyped_storage(), stream, _use_new_zipfile_serialization=False)
    head = stream.getvalue()
    ends = [i + 1 for i in _pickle_ends(head)[:3]]
    return head[: ends[-1]] + value + keys + tail


def _pickle_ends(data: bytes) -> list[int]:
    ends: list[int] = []
    stream = io.BytesIO(data)
    for _ in range(3):
        ends.append([position for _, _, position in pickletools.genops(stream)][-1])
    return ends


def storage_id(kind: bytes, key: str, numel: int) -> bytes:
    size = b"\x8a\x08" + struct.pack("<q", numel)
    return b"(" + text("storage") + kind + text(key) + text("cpu") + size + b"NtQ"


ONE_KEY = b"\x80\x02]" + text("0") + b"a."


@file("torch.load nested in a storage, zip.pkl")
def _(mark: Path) -> bytes:
    return with_storage(zipped({"x/data.pkl": call("os", "system", run_on(mark)["shell"])}))


@file("torch.load nested in a storage, pickle.pkl")
def _(mark: Path) -> bytes:
    return with_storage(call("os", "system", run_on(mark)["shell"]))


@file("torch.load nested in a storage, old form.pkl")
def _(mark: Path) -> bytes:
    return with_storage(old_form(call("os", "system", run_on(mark)["shell"])))


@file("torch.load nested in a storage, bad key list.pkl")
def _(mark: Path) -> bytes:
    value = b"\x80\x02" + storage_id(FLOAT, "0", 64) + b"."
    return with_storage(old_form(value, call("os", "system", run_on(mark)["shell"])))


@file("storage of a terabyte.pkl")
def _(mark: Path) -> bytes:
    tail = struct.pack("<q", 1 << 38) + bytes(64)
    return with_storage(
        old_form(b"\x80\x02" + storage_id(FLOAT, "0", 1 << 38) + b".", ONE_KEY, tail)
    )


@file("storage of negative size.pkl")
def _(mark: Path) -> bytes:
    tail = struct.pack("<q", -1)
    return with_storage(old_form(b"\x80\x02" + storage_id(FLOAT, "0", -1) + b".", ONE_KEY, tail))


@file("storage that is text.pkl")
def _(mark: Path) -> bytes:
    return (
        b"\x80\x02" + named("torch.storage", "_load_from_bytes") + run_on(mark)["mark"] + b"\x85R."
    )


@file("storage of unknown type.pkl")
def _(mark: Path) -> bytes:
    value = b"\x80\x02" + storage_id(named("torch", "Size"), "0", 1) + b"."
    return with_storage(old_form(value, ONE_KEY, struct.pack("<qf", 1, 0)))


def with_view(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """A rosinality checkpoint whose constant input has this view of 64 values."""
    state = wire.rosinality_state(network())

    class Value:
        def __reduce_ex__(self, protocol: int) -> Any:
            storage = torch.storage.TypedStorage(
                wrap_storage=torch.zeros(64).untyped_storage(), dtype=torch.float32, _internal=True
            )
            return torch._utils._rebuild_tensor_v2, (storage, offset, size, stride, False, {})

    stream = io.BytesIO()
    torch.save({"g_ema": state | {"input.input": Value()}}, stream)
    return stream.getvalue()


@file("tensor of a terabyte from one value.pt")
def _(mark: Path) -> bytes:
    return with_view((1 << 20, 1 << 20), (0, 0))


@file("tensor before its storage.pt")
def _(mark: Path) -> bytes:
    return with_view((4, 4), (4, 1), -8)


@file("tensor with a negative stride.pt")
def _(mark: Path) -> bytes:
    return with_view((4, 4), (-4, 1), 32)


@file("tensor behind its storage.pt")
def _(mark: Path) -> bytes:
    return with_view((4, 4), (16, 1), 32)


@file("tensor with overflowing size.pt")
def _(mark: Path) -> bytes:
    return with_view((1 << 62, 4), (1, 1))


@file("one storage under 4000 names.pt")
def _(mark: Path) -> bytes:
    shared = torch.zeros(1 << 20)
    state = wire.rosinality_state(network()) | {f"x{i}": shared for i in range(4000)}
    stream = io.BytesIO()
    torch.save({"g_ema": state}, stream)
    return stream.getvalue()


# -- wrong types in the right places ---------------------------------------------------------------


def edited(change: Callable[[dict[str, Any]], None], *path: str) -> bytes:
    """A snapshot with the state of one module changed."""
    record = wire.recorded(network())
    inner = record
    for name in path:
        inner = inner.meta["state"]["_modules"][name]
    change(inner.meta["state"])
    return wire.dump({"G_ema": record})


def _register_edits() -> None:
    top: dict[str, Any] = {
        "z_dim as text": {"z_dim": "512"},
        "z_dim of 2 billion": {"z_dim": 2**31 - 1},
        "z_dim negative": {"z_dim": -4},
        "z_dim as a truth value": {"z_dim": True},
        "z_dim missing": {"z_dim": None},
        "resolution of a million": {"img_resolution": 1 << 20},
        "resolution of 12": {"img_resolution": 12},
        "classes as a list": {"c_dim": [1]},
        "more classes than stored": {"c_dim": 900_000},
        "modules as a list": {"_modules": [1]},
        "module names as numbers": {"_modules": {1: 2}},
        "modules that are texts": {"_modules": {"synthesis": "x"}},
        "parameters as a text": {"_parameters": "x"},
        "parameter that is a dict": {"_parameters": {"weight": {}}},
        "superfluous tensor": {"_parameters": {"extra": torch.zeros(3)}},
    }
    for name, update in top.items():
        FILES[f"{name}.pkl"] = lambda _, u=update: edited(lambda s: s.update(u))
    deep: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
        "layers of a billion": (("mapping",), {"num_layers": 10**9}),
        "layers as a fraction": (("mapping",), {"num_layers": 1.0}),
        "average w missing": (("mapping",), {"_buffers": {}}),
        "average w as numbers": (("mapping",), {"_buffers": {"w_avg": torch.zeros(4).long()}}),
        "average w not finite": (
            ("mapping",),
            {"_buffers": {"w_avg": torch.full((4,), torch.nan)}},
        ),
        "architecture as code": (("synthesis", "b4"), {"architecture": "__import__('os')"}),
        "architecture as a list": (("synthesis", "b4"), {"architecture": ["skip"]}),
        "clamp not a number": (("synthesis", "b4", "conv1"), {"conv_clamp": float("nan")}),
        "clamp as a text": (("synthesis", "b4", "conv1"), {"conv_clamp": "256"}),
        "other activation": (("synthesis", "b4", "conv1"), {"activation": "relu"}),
        "other learning-rate multiplier": (("mapping", "fc0"), {"bias_gain": 1.0}),
        "filter of a thousand taps": (
            ("synthesis", "b4"),
            {"_buffers": {"resample_filter": torch.ones(1000, 1000)}},
        ),
        "filter of zeros": (
            ("synthesis", "b4"),
            {"_buffers": {"resample_filter": torch.zeros(4, 4)}},
        ),
    }
    for name, (path, update) in deep.items():
        FILES[f"{name}.pkl"] = lambda _, p=path, u=update: edited(lambda s: s.update(u), *p)


_register_edits()


@file("class name as a number.pkl")
def _(mark: Path) -> bytes:
    record = wire.recorded(network())
    record.meta["class_name"] = 5
    return wire.dump({"G_ema": record})


@file("state as a list.pkl")
def _(mark: Path) -> bytes:
    return wire.dump({"G_ema": wire.Recorded("Generator", [1, 2], "")})  # type: ignore[arg-type]


@file("plain numbers.pkl")
def _(mark: Path) -> bytes:
    return pickle.dumps({"G_ema": [1, 2, 3]})
