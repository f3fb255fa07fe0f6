"""Files that are not what they seem, damaged ones, and forgeries of the project's own form."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import wire
from hostile_base import (
    CONFIG,
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
from safetensors.torch import save as safetensors_bytes

from lightning_inpaint.generators import save_generator

# -- files that are not what they seem -------------------------------------------------------------


@file("code in data.pkl.pt")
def _(mark: Path) -> bytes:
    return zipped({"x/data.pkl": call("os", "system", run_on(mark)["shell"])})


@file("zip bomb.pt")
def _(mark: Path) -> bytes:
    return zipped({"x/data.pkl": b"\x80\x02N.", "x/data/0": bytes(64 << 20)}, zipfile.ZIP_DEFLATED)


@file("zip that lies about sizes.pt")
def _(mark: Path) -> bytes:
    data = bytearray(wire.rosinality(network()))
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 20, 1 << 30)
    struct.pack_into("<I", data, at + 24, 1 << 30)
    return bytes(data)


@file("zip with 300000 members.pt")
def _(mark: Path) -> bytes:
    head = zipped({"x/data.pkl": b"\x80\x02N."})
    at = head.rfind(b"PK\x01\x02")
    end = head.rfind(b"PK\x05\x06")
    directory = head[at:end] * 300_000
    return head[:at] + directory + head[end : end + 12] + struct.pack("<IIH", len(directory), at, 0)


@file("zip without data.pkl.pt")
def _(mark: Path) -> bytes:
    return zipped({"../../../etc/passwd": b"x", "word/document.xml": b"x"})


@file("zip with a broken check sum.pt")
def _(mark: Path) -> bytes:
    data = bytearray(wire.rosinality(network()))
    info = max(zipfile.ZipFile(io.BytesIO(data)).infolist(), key=lambda m: m.file_size)
    start = data.find(info.filename.encode()) + len(info.filename) + 80
    data[start] ^= 0x55
    return bytes(data)


@file("TorchScript archive.pt")
def _(mark: Path) -> bytes:
    code = f"open({str(mark)!r}, 'w').close()".encode()
    return zipped({"x/data.pkl": b"\x80\x02c__torch__\nNet\n)\x81}b.", "x/code/__torch__.py": code})


@file("storage of a terabyte, zip.pt")
def _(mark: Path) -> bytes:
    pid = (
        b"("
        + text("storage")
        + FLOAT
        + text("0")
        + text("cpu")
        + b"\x8a\x06"
        + bytes(5)
        + b"\x01tQ"
    )
    view = b"K\x00K\x01\x85K\x01\x85\x89}t"
    tensor = named("torch._utils", "_rebuild_tensor_v2") + b"(" + pid + view + b"R"
    state = b"}" + text("input.input") + tensor + b"s"
    return zipped({"x/data.pkl": b"\x80\x02" + state + b".", "x/data/0": bytes(8)})


@file("whole module saved.pt")
def _(mark: Path) -> bytes:
    stream = io.BytesIO()
    torch.save(torch.nn.Linear(2, 2), stream)
    return stream.getvalue()


@file("nothing.pkl")
def _(mark: Path) -> bytes:
    return b""


@file("web page.pkl")
def _(mark: Path) -> bytes:
    return b"<!DOCTYPE html><html>sign in</html>"


@file("LFS pointer.pkl")
def _(mark: Path) -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"


@file("noise.pt")
def _(mark: Path) -> bytes:
    return torch.randint(0, 256, (5000,), dtype=torch.uint8).numpy().tobytes()


# -- the project's own form ------------------------------------------------------------------------


def own(tensors: dict[str, torch.Tensor] | None = None, **metadata: str) -> bytes:
    state = dict(network().state_dict()) if tensors is None else tensors
    filled = {"format": "lightning-inpaint", "config": json.dumps(CONFIG)} | metadata
    return safetensors_bytes(state, filled)


def _register_own() -> None:
    configs: dict[str, Any] = {
        "style size of a billion": CONFIG | {"w_dim": 10**9},
        "a million layers": CONFIG | {"mapping_layers": 10**6},
        "a million channels": CONFIG | {"channel_max": 10**6, "channel_base": 10**9},
        "unknown setting": CONFIG | {"__class__": "os.system"},
        "self as a setting": CONFIG | {"self": 1},
        "settings as a list": [1, 2],
        "noise as a text": CONFIG | {"use_noise": "no"},
        "filter as a text": CONFIG | {"resample_filter": "1331"},
        "filter not finite": CONFIG | {"resample_filter": [1, 3, float("inf"), 1]},
        "too few class names": CONFIG | {"num_classes": 3, "class_names": ["a"]},
        "other shapes": CONFIG | {"z_dim": 5},
    }
    for name, config in configs.items():
        FILES[f"{name}.safetensors"] = lambda _, c=config: own(config=json.dumps(c))


_register_own()


@file("header of an exabyte.safetensors")
def _(mark: Path) -> bytes:
    return struct.pack("<Q", 1 << 60) + b"{}"


@file("settings nested too deeply.safetensors")
def _(mark: Path) -> bytes:
    return own(config="[" * 100_000)


@file("foreign safetensors.safetensors")
def _(mark: Path) -> bytes:
    return safetensors_bytes({"x": torch.zeros(3)})


@file("whole numbers for weights.safetensors")
def _(mark: Path) -> bytes:
    return own({k: v.long() for k, v in network().state_dict().items()})


@file("infinite weights.safetensors")
def _(mark: Path) -> bytes:
    return own({k: v.fill_(torch.inf) for k, v in network().state_dict().items()})


@file("one bit flipped in a weight.safetensors")
def _(mark: Path) -> bytes:
    path = mark.with_name("intact.safetensors")
    data = bytearray(save_generator(network(), path).read_bytes())
    data[-100] ^= 1
    return bytes(data)


@file("pickle under another name.safetensors")
def _(mark: Path) -> bytes:
    return call("os", "system", run_on(mark)["shell"])


# -- damage ----------------------------------------------------------------------------------------


def _register_truncated() -> None:
    makers: dict[str, Callable[[], bytes]] = {
        "pkl": lambda: wire.snapshot(network()),
        "pt": lambda: wire.rosinality(network()),
        "old.pt": lambda: wire.rosinality(network(), old_form=True),
        "safetensors": own,
    }
    for ending, make in makers.items():
        for percent in (1, 30, 70, 99):

            def maker(_: Path, make: Callable[[], bytes] = make, p: int = percent) -> bytes:
                data = make()
                return data[: max(12, len(data) * p // 100)]

            FILES[f"first {percent} percent.{ending}"] = maker


_register_truncated()
