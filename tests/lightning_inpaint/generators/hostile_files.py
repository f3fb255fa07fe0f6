"""Files that try to run code, to exhaust memory or time, or to be taken for something they are not.

``FILES`` maps a name (its ending is the file's) to a function from a *mark* to the file's bytes: code
that is run anywhere creates the file ``mark``.
"""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import wire
from safetensors.torch import save as safetensors_bytes

from lightning_inpaint.generators import save_generator
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

Maker = Callable[[Path], bytes]
FILES: dict[str, Maker] = {}

CONFIG: dict[str, Any] = {
    "z_dim": 4,
    "w_dim": 4,
    "resolution": 8,
    "mapping_layers": 1,
    "channel_base": 32,
    "channel_max": 4,
}


def file(name: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        FILES[name] = maker
        return maker

    return register


def network() -> StyleGAN2Generator:
    return StyleGAN2Generator(**CONFIG).eval().requires_grad_(False)


# -- pickle by hand --------------------------------------------------------------------------------


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """Protocol-2 pickle of a call with already pickled arguments."""
    return b"\x80\x02" + named(module, name) + b"(" + b"".join(arguments) + b"tR."


def run_on(mark: Path) -> dict[str, bytes]:
    """Arguments that would leave the mark."""
    python = f"open({str(mark)!r}, 'w').close()"
    return {"shell": text(f"touch {mark}"), "python": text(python), "mark": text(str(mark))}


# Every name here would run code, read or write files, or reach something that does.
CALLS: dict[tuple[str, str], tuple[str, ...]] = {
    ("os", "system"): ("shell",),
    ("posix", "system"): ("shell",),
    ("nt", "system"): ("shell",),
    ("os", "popen"): ("shell",),
    ("os", "unlink"): ("mark",),
    ("subprocess", "Popen"): ("shell",),
    ("subprocess", "check_output"): ("shell",),
    ("builtins", "eval"): ("python",),
    ("builtins", "exec"): ("python",),
    ("builtins", "compile"): ("python",),
    ("builtins", "open"): ("mark",),
    ("builtins", "__import__"): ("mark",),
    ("builtins", "getattr"): ("python",),
    ("builtins", "breakpoint"): (),
    ("__builtin__", "eval"): ("python",),
    ("importlib", "import_module"): ("mark",),
    ("runpy", "run_path"): ("mark",),
    ("runpy", "_run_code"): ("python",),
    ("pty", "spawn"): ("shell",),
    ("timeit", "timeit"): ("python",),
    ("cProfile", "run"): ("python",),
    ("pdb", "run"): ("python",),
    ("code", "InteractiveInterpreter"): (),
    ("webbrowser", "open"): ("mark",),
    ("ctypes", "CDLL"): ("mark",),
    ("functools", "partial"): ("python",),
    ("functools", "reduce"): ("python",),
    ("operator", "attrgetter"): ("python",),
    ("operator", "methodcaller"): ("python",),
    ("copyreg", "_reconstructor"): ("python",),
    ("copyreg", "__newobj__"): ("python",),
    ("types", "FunctionType"): ("python",),
    ("types", "CodeType"): ("python",),
    ("marshal", "loads"): ("python",),
    ("pickle", "loads"): ("python",),
    ("_pickle", "loads"): ("python",),
    ("shelve", "open"): ("mark",),
    ("sqlite3", "connect"): ("mark",),
    ("logging.config", "listen"): (),
    ("multiprocessing.util", "spawnv_passfds"): ("shell",),
    ("torch", "load"): ("mark",),
    ("torch.serialization", "load"): ("mark",),
    ("torch.jit", "load"): ("mark",),
    ("torch.hub", "load"): ("mark",),
    ("torch.utils.cpp_extension", "load_inline"): ("python",),
    ("torch._utils", "_rebuild_wrapper_subclass"): ("python",),
    ("torch._tensor", "_rebuild_from_type_v2"): ("python",),
    ("torch.fx._symbolic_trace", "symbolic_trace"): ("python",),
    ("numpy", "load"): ("mark",),
    ("numpy", "fromfile"): ("mark",),
    ("numpy.testing._private.utils", "runstring"): ("python",),
    ("numpy.f2py.crackfortran", "myeval"): ("python",),
    ("torch_utils.persistence", "_src_to_module"): ("python",),
    ("torch_utils.custom_ops", "get_plugin"): ("mark",),
    ("dnnlib.util", "call_func_by_name"): ("python",),
    ("dnnlib.tflib.network", "Network"): (),
}


def _register_calls() -> None:
    for (module, name), arguments in CALLS.items():

        def maker(
            mark: Path, m: str = module, n: str = name, a: tuple[str, ...] = arguments
        ) -> bytes:
            return call(m, n, *(run_on(mark)[k] for k in a))

        FILES[f"call {module}.{name}.pkl"] = maker


_register_calls()


@file("the object's own __reduce__.pkl")
def _(mark: Path) -> bytes:
    class Exploit:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(mark)!r}, 'w').close()",)

    return pickle.dumps({"G_ema": Exploit()})


@file("STACK_GLOBAL.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x04" + text("os") + text("system") + b"\x93" + run_on(mark)["shell"] + b"\x85R."


@file("STACK_GLOBAL through dots.pkl")
def _(mark: Path) -> bytes:
    route = text("torch.storage") + text("_load_from_bytes.__globals__.__getitem__")
    return b"\x80\x04" + route + b"\x93" + text("io") + b"\x85R."


@file("STACK_GLOBAL of numbers.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x04K\x01K\x02\x93."


@file("INST.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02(" + run_on(mark)["shell"] + b"ios\nsystem\n."


@file("OBJ.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02(" + named("os", "system") + run_on(mark)["shell"] + b"o."


@file("NEWOBJ.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02" + named("subprocess", "Popen") + run_on(mark)["shell"] + b"\x85\x81."


@file("NEWOBJ_EX.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x04" + named("dnnlib.util", "EasyDict") + b")}\x92."


@file("EXT1.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02\x82\x01)R."


@file("persistent id.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02" + run_on(mark)["mark"] + b"Q."


@file("text persistent id.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02Pmark\n."


@file("protocol 0.pkl")
def _(mark: Path) -> bytes:
    return f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()


@file("calling what a call gave.pkl")
def _(mark: Path) -> bytes:
    return (
        b"\x80\x02"
        + named("collections", "OrderedDict")
        + b")R"
        + run_on(mark)["python"]
        + b"\x85R."
    )


@file("state of a class.pkl")
def _(mark: Path) -> bytes:
    state = b"}" + text("__setstate__") + named("collections", "OrderedDict") + b"s"
    return b"\x80\x02" + named("dnnlib.util", "EasyDict") + state + b"b."


@file("numpy scalar of objects.pkl")  # numpy would unpickle the bytes
def _(mark: Path) -> bytes:
    payload = call("os", "system", run_on(mark)["shell"])
    dtype = named("numpy", "dtype") + text("O8") + b"K\x00K\x01\x87R"
    data = b"C" + bytes([len(payload)]) + payload
    return b"\x80\x03" + named("numpy.core.multiarray", "scalar") + dtype + data + b"\x86R."


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


FLOAT = named("torch", "FloatStorage")
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


# -- time and memory through the pickle machine ----------------------------------------------------


@file("byte string of an exabyte.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x."


@file("text longer than the file.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"x."


@file("byte array of 8 GB.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x05\x96" + struct.pack("<Q", 8 << 30) + b"x."


@file("memo index of 4 billion.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02]r" + struct.pack("<I", 0xFFFFFFFF) + b"."


@file("number of a gigabyte.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b"x."


@file("negative number length.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02\x8b" + struct.pack("<i", -1) + b"x."


@file("key that takes for ever to hash.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02}" + b")" + b"q\x00h\x00\x86" * 60 + b"Ns."


@file("key nested 150000 deep.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02})" + b"\x85" * 150_000 + b"Ns."


@file("huge colliding keys.pkl")
def _(mark: Path) -> bytes:
    keys = b"".join(
        b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") + b"N" for i in range(9000)
    )
    return b"\x80\x02}(" + keys + b"u."


@file("five million instructions.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02" + b"N0" * 2_500_000 + b"N."


@file("list that holds itself.pkl")
def _(mark: Path) -> bytes:
    return b"\x80\x02]q\x00h\x00a."


@file("module that holds itself.pkl")
def _(mark: Path) -> bytes:
    meta = text("type") + text("class") + text("class_name") + text("Generator")
    state = text("state") + b"}q\x01" + text("_modules") + b"}q\x02s"
    network = named("torch_utils.persistence", "_reconstruct_persistent_obj")
    made = network + b"}(" + meta + state + b"u\x85Rq\x03"
    knot = b"0h\x02" + text("again") + b"h\x03s0"
    return b"\x80\x02" + made + knot + b"}" + text("G_ema") + b"h\x03s."


@file("2^40 modules from 40.pkl")
def _(mark: Path) -> bytes:
    inner = wire.Recorded("Layer", {"_modules": {}}, "")
    for _ in range(40):
        inner = wire.Recorded("Block", {"_modules": {"a": inner, "b": inner}}, "")
    return wire.dump({"G_ema": inner})


@file("names of a megabyte in each other.pkl")
def _(mark: Path) -> bytes:
    name = "x" * (1 << 20)
    inner = wire.Recorded("Layer", {"_modules": {}}, "")
    for _ in range(60):
        inner = wire.Recorded("Block", {"_modules": {name: inner}}, "")
    return wire.dump({"G_ema": inner})


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


# -- files that are not what they seem -------------------------------------------------------------


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


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
