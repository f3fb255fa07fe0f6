"""Pickles that call what they should not, or exhaust time and memory."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import wire
from hostile_base import (
    FILES,
    call,
    file,
    named,
    run_on,
    text,
)

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
