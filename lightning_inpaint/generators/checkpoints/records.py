"""What a checkpoint's constructor calls become: inert records, and the list of calls admitted.

Every admitted name is listed here with the pure function that stands for it. None of the named
modules is imported for reading; ``torch_utils`` and ``dnnlib`` (NVIDIA's) need not exist.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

__all__ = [
    "BUILDERS",
    "INERT_NAMES",
    "NEW_OBJECTS",
    "STORAGE_DTYPES",
    "Dtype",
    "Instance",
    "Opaque",
    "Persistent",
    "StorageBytes",
    "StorageRecord",
    "Symbol",
    "TensorRecord",
    "harmless",
]


class Symbol(NamedTuple):
    """A name in the file; nothing was imported for it."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Persistent:
    """An instance of one of NVIDIA's persistent classes: its class name and its attributes."""

    class_name: str
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StorageBytes:
    """The bytes of a storage in ``torch.save``'s old form, not yet looked into."""

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class StorageRecord:
    """A storage of ``numel`` values of ``dtype``; ``read`` gives its bytes."""

    dtype: torch.dtype
    numel: int
    key: str
    read: Callable[[], bytes | memoryview]


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A view of a storage, sizes not yet checked."""

    storage: StorageBytes | StorageRecord
    offset: Any
    size: Any
    stride: Any


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something the file holds that no generator needs; only its name is kept."""

    name: str


@dataclass(slots=True)
class Instance:
    """An object of a class that was not looked up: its name, its attributes, and its items if it is a dict."""

    name: str
    state: dict[Any, Any] = field(default_factory=dict)
    items: dict[Any, Any] = field(default_factory=dict)

    def set_state(self, state: Any) -> None:
        pieces = state if isinstance(state, tuple) else (state,)
        for piece in pieces:
            if isinstance(piece, dict):
                self.state.update(piece)


@dataclass(slots=True)
class Dtype:
    """NumPy's description of a scalar type."""

    code: str
    order: str = "<"

    def set_state(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = state[1]


_SCALARS = {"f2": "e", "f4": "f", "f8": "d", "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}
_SCALARS |= {"u1": "B", "u2": "H", "u4": "I", "u8": "Q"}


def _typed(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds):
        raise TypeError
    return value


def _persistent(meta: dict[str, Any]) -> Persistent:
    _typed(meta, dict)
    if meta["type"] != "class":
        raise ValueError
    return Persistent(_typed(meta["class_name"], str), _typed(meta["state"], dict))


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> TensorRecord:
    return TensorRecord(_typed(storage, StorageBytes, StorageRecord), offset, size, stride)


def _parameter(data: Any, *_: Any) -> TensorRecord:
    return _typed(data, TensorRecord)


def _dtype(code: str, *_: Any) -> Dtype:
    return Dtype(_typed(code, str))


def _scalar(dtype: Dtype, data: bytes) -> float | int | bool:
    _typed(dtype, Dtype)
    order = ">" if dtype.order == ">" else "<"
    return struct.unpack(order + _SCALARS[dtype.code], _typed(data, bytes))[0]


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError
    return _typed(text, str).encode("latin1")


def _set(items: Any = ()) -> set[Any]:
    return {_typed(i, str, int) for i in _typed(items, list, tuple)}


def _opaque(name: str) -> Callable[..., Opaque]:
    return lambda *_: Opaque(name)


def _instance(name: str) -> Callable[..., Instance]:
    return lambda *_: Instance(name)


def _empty() -> dict[str, Any]:
    return {}


def _ordered(pairs: Any = ()) -> dict[str, Any]:
    return {_typed(k, str, int): v for k, v in _typed(pairs, list, tuple)}


def _size(values: Any) -> tuple[Any, ...]:
    return tuple(_typed(values, tuple, list))


BUILDERS: dict[Symbol, Callable[..., Any]] = {
    Symbol("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    Symbol("torch.storage", "_load_from_bytes"): lambda b: StorageBytes(
        _typed(b, bytes, memoryview)
    ),
    Symbol("torch._utils", "_rebuild_tensor"): _tensor,
    Symbol("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Symbol("torch._utils", "_rebuild_parameter"): _parameter,
    Symbol("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    Symbol("torch", "Size"): _size,
    Symbol("collections", "OrderedDict"): _ordered,
    Symbol("_codecs", "encode"): _encode,
    Symbol("builtins", "set"): _set,
    Symbol("__builtin__", "set"): _set,
    Symbol("numpy", "dtype"): _dtype,
}
for _core in ("numpy.core.multiarray", "numpy._core.multiarray"):
    BUILDERS[Symbol(_core, "scalar")] = _scalar
    BUILDERS[Symbol(_core, "_reconstruct")] = _opaque("numpy.ndarray")

NEW_OBJECTS: dict[Symbol, Callable[..., Any]] = {
    Symbol("dnnlib.util", "EasyDict"): _empty,
    Symbol("dnnlib", "EasyDict"): _empty,
    Symbol("collections", "OrderedDict"): _empty,
    Symbol("argparse", "Namespace"): _opaque("argparse.Namespace"),
}

# R3GAN pickles its networks as they are: their classes, and those of torch inside them.
_R3GAN = {
    "training.networks": ("Discriminator", "Generator"),
    "R3GAN.Networks": (
        *(
            "Convolution",
            "Discriminator",
            "DiscriminatorStage",
            "DiscriminativeBasis",
            "DownsampleLayer",
        ),
        *("GenerativeBasis", "Generator", "GeneratorStage", "ResidualBlock", "UpsampleLayer"),
    ),
    "R3GAN.FusedOperators": ("BiasedActivationCUDA", "BiasedActivationReference"),
    "R3GAN.Resamplers": tuple(
        f"{kind}{way}sampler{form}"
        for kind in ("Interpolative", "Inplace")
        for way in ("Up", "Down")
        for form in ("CUDA", "Reference")
    ),
    "torch.nn.modules.container": ("ModuleList", "Sequential"),
    "torch.nn.modules.conv": ("Conv2d",),
    "torch.nn.modules.linear": ("Linear",),
}
NEW_OBJECTS |= {
    Symbol(module, name): _instance(f"{module}.{name}")
    for module, names in _R3GAN.items()
    for name in names
}

STORAGE_DTYPES: dict[Symbol, torch.dtype] = {
    Symbol("torch", f"{name}Storage"): dtype
    for name, dtype in {
        "Float": torch.float32,
        "Double": torch.float64,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
    }.items()
}

INERT_NAMES: frozenset[Symbol] = frozenset(STORAGE_DTYPES) | {
    Symbol("numpy", "ndarray"),
    *(Symbol("torch", name) for name in ("bfloat16", "float16", "float32", "float64")),
}

# What a training checkpoint may hold besides tensors, of Python's own library and of two large ones; all
# else of them can run code or is of no use here. Names of other packages are a user's own classes.
_HARMLESS = {
    "argparse": ("Namespace",),
    "builtins": (
        "complex",
        "dict",
        "frozenset",
        "list",
        "object",
        "range",
        "set",
        "slice",
        "tuple",
    ),
    "collections": ("Counter", "OrderedDict", "defaultdict", "deque"),
    "datetime": ("date", "datetime", "timedelta", "timezone"),
    "numpy": ("dtype", "ndarray"),
    "pathlib": ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "torch": ("Generator", "Size", "Tensor", "device", "dtype", "memory_format"),
    "types": ("SimpleNamespace",),
    "uuid": ("UUID",),
}
_HARMLESS["__builtin__"] = _HARMLESS["builtins"]
_HARMLESS["pathlib._local"] = _HARMLESS["pathlib"]


def harmless(symbol: Symbol) -> bool:
    """Whether a weights file may name it: it becomes an :class:`Instance`, and nothing is imported."""
    root = symbol.module.partition(".")[0]
    if "." in symbol.name or not symbol.name or not root:
        return False
    if symbol.name in _HARMLESS.get(symbol.module, ()):
        return True
    if root == "torch":
        return symbol.module.startswith(("torch.nn.", "torch.optim."))
    known = {*sys.stdlib_module_names, "__builtin__", "numpy", "dnnlib", "torch_utils"}
    return root not in known
