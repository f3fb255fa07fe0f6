"""What a user writes for a network of their own, as one thing: its class, arguments and weights.

Three forms say the same: a text, ``package.module:Class(nz=100, ngf=64)@weights.pt#G_ema``; a mapping with
``class_path``, ``init_args`` and ``weights``, as in a YAML file; and, from Python, a class and its
arguments. Arguments in a text are literals: they are read by :func:`ast.literal_eval`, never evaluated.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

from torch import nn

from ..errors import UserError

__all__ = ["GeneratorSpec", "looks_importable"]

_HEAD = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*[:.][A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_FILE_ENDINGS = (".pkl", ".pt", ".pth", ".safetensors", ".tar", ".ckpt", ".bin")
_KEYS = ("class_path", "init_args", "weights")


@dataclass(frozen=True)
class GeneratorSpec:
    """A network that is made by calling a class or a function.

    Attributes:
        head: ``package.module:Class``, or what a class given from Python is called.
        args: positional arguments.
        kwargs: arguments by name.
        weights: the file to fill it from, ``FILE`` or ``FILE#KEY``; None = none.
        factory: the class or function itself, where it came from Python; None = imported by ``head``.
    """

    head: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    factory: Callable[..., Any] | None = None

    @classmethod
    def of(cls, value: Any, **kwargs: Any) -> GeneratorSpec:
        """Read any of the forms.

        Args:
            value: a text, a mapping, a class or function, or a pair of one of these and a mapping of its
                arguments.
            kwargs: further arguments of the class; they win.

        Raises:
            UserError: it has none of these forms; one sentence says where it goes wrong.
        """
        if isinstance(value, tuple | list):
            if len(value) != 2 or not isinstance(value[1], Mapping):
                raise UserError(
                    "generator: a pair must be (class, {argument: value}), as in "
                    "(Generator, {'nz': 100})."
                )
            kwargs = {**value[1], **kwargs}
            value = value[0]
        if isinstance(value, Mapping) and len(value) == 1:
            (head, rest), *_ = value.items()
            if looks_importable(str(head)):  # YAML takes a text with ": " in it for a mapping
                value = f"{head}: {rest}"
        if isinstance(value, Mapping):
            spec = _from_mapping(value)
        elif callable(value):
            spec = cls(f"{value.__module__}:{value.__qualname__}", factory=value)
        else:
            spec = _from_text(str(value))
        merged = {**spec.kwargs, **kwargs}
        return cls(spec.head, spec.args, merged, spec.weights, spec.factory)

    @property
    def text(self) -> str:
        """The same as a text, for records and messages; what is no literal appears as its repr."""
        shown = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        call = f"({', '.join(shown)})" if shown else ""
        return self.head + call + (f"@{self.weights}" if self.weights else "")

    def load(self) -> Callable[..., Any]:
        """The class or function.

        Raises:
            UserError: it cannot be imported.
        """
        return self.factory or _import(self.head)

    def arguments(self, factory: Callable[..., Any]) -> dict[str, Any]:
        """All its arguments by name, defaults included, where they are known.

        Raises:
            UserError: one is missing or unknown; the sentence names it and says how to write it.
        """
        try:
            signature = inspect.signature(factory)
        except (TypeError, ValueError):  # some built-in ones have none
            return dict(self.kwargs)
        try:
            bound = signature.bind(*self.args, **self.kwargs)
        except TypeError as error:
            raise self._refused(signature, str(error)) from error
        bound.apply_defaults()
        return dict(bound.arguments)

    def folder(self, factory: Callable[..., Any]) -> Path | None:
        """Where the source file of the class lies: weights are often kept beside it."""
        with suppress(TypeError, OSError):
            return Path(inspect.getfile(factory)).parent
        file = getattr(sys.modules.get(self.head.partition(":")[0]), "__file__", None)
        return Path(file).parent if file else None

    def _refused(self, signature: inspect.Signature, why: str) -> UserError:
        named = [p for p in signature.parameters.values() if p.kind not in _COLLECTORS]
        open_ended = len(named) < len(signature.parameters)
        unknown = [k for k in self.kwargs if k not in signature.parameters]
        if unknown and not open_ended:
            takes = ", ".join(p.name for p in named) or "none"
            return UserError(
                f"{self.head} has no argument {unknown[0]!r}; it takes {takes}: write them as in "
                f"'{self.head}({named[0].name if named else ''}=...)'."
                if named
                else f"{self.head} has no argument {unknown[0]!r}; it takes none."
            )
        rest = named[len(self.args) :]
        missing = [p.name for p in rest if p.default is p.empty and p.name not in self.kwargs]
        if missing:
            given = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
            call = ", ".join([*given, *(f"{name}=..." for name in missing)])
            count = "the argument" if len(missing) == 1 else "the arguments"
            return UserError(
                f"{self.head} needs {count} {_listed(missing)}: write '{self.head}({call})' with "
                "numbers or quoted texts in place of the dots."
            )
        return UserError(f"{self.head}: its arguments do not fit ({why}).")


_COLLECTORS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def looks_importable(text: str) -> bool:
    """Whether ``text`` has the form ``package.module:Class`` (or ``.Class``) with what may follow it."""
    match = _HEAD.match(text.strip())
    if match is None:
        return False
    rest = text.strip()[match.end() :]
    return rest[:1] in ("(", "@") or (not rest and not match[0].endswith(_FILE_ENDINGS))


def _from_text(text: str) -> GeneratorSpec:
    text = text.strip()
    match = _HEAD.match(text)
    if match is None:
        raise UserError(
            f"generator {text[:80]!r}: write package.module:Class, with arguments in brackets and "
            "weights behind an @ where there are any."
        )
    head, rest = match[0], text[match.end() :]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if rest.startswith("("):
        end = _closing(rest)
        if end < 0:
            raise UserError(f"{text[:120]}: the bracket behind {head} is not closed.")
        args, kwargs = _literals(rest[: end + 1], head)
        rest = rest[end + 1 :]
    if rest and not (rest.startswith("@") and rest[1:].strip()):
        raise UserError(
            f"{text[:120]}: {rest[:40]!r} is not understood behind {head}; weights follow an @, as in "
            f"{head}@weights.pt."
        )
    return GeneratorSpec(head, args, kwargs, rest[1:].strip() or None)


def _closing(text: str) -> int:
    """Place of the bracket that closes the first one; -1 = there is none. Quoted texts are skipped."""
    depth, quote, k = 0, "", 0
    while k < len(text):
        c = text[k]
        if quote:
            k += c == "\\"
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
            if not depth:
                return k
        k += 1
    return -1


def _literals(call: str, head: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of ``(...)``."""
    try:
        parsed = ast.parse(f"f{call}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        parsed = None
    if not isinstance(parsed, ast.Call) or not isinstance(parsed.func, ast.Name):
        raise UserError(
            f"{head}{call[:80]}: the arguments cannot be read; write them as in "
            f"{head}(nz=100, act='relu')."
        )
    if any(k.arg is None for k in parsed.keywords):
        raise UserError(f"{head}{call[:80]}: write each argument out instead of **.")
    args = tuple(_literal(a, f"argument {i + 1}", head) for i, a in enumerate(parsed.args))
    kwargs = {k.arg: _literal(k.value, f"argument {k.arg}", head) for k in parsed.keywords if k.arg}
    return args, kwargs


def _literal(node: ast.expr, which: str, head: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        shown = ast.unparse(node)[:60]
        raise UserError(
            f"{head}: {which} is {shown}, which is not evaluated: only numbers, quoted texts, True, "
            "False, None and lists, tuples and dicts of these can be written."
        ) from None


def _from_mapping(value: Mapping[str, Any]) -> GeneratorSpec:
    unknown = [k for k in value if k not in _KEYS]
    target = value.get("class_path")
    if unknown or not (isinstance(target, str) or callable(target)):
        problem = f"has {unknown[0]!r}" if unknown else "names no class_path"
        raise UserError(
            f"generator: the mapping {problem}; its keys are class_path, init_args and weights."
        )
    arguments = value.get("init_args") or {}
    if not isinstance(arguments, Mapping):
        raise UserError("generator: init_args must be a mapping from arguments to values.")
    base = GeneratorSpec.of(target)
    weights = value.get("weights")
    chosen = str(weights) if weights else base.weights
    return GeneratorSpec(base.head, base.args, {**base.kwargs, **arguments}, chosen, base.factory)


def _import(head: str) -> Any:
    module_name, _, attribute = head.partition(":") if ":" in head else head.rpartition(".")
    with _working_directory_on_path():
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            raise UserError(
                f"{head}: module {module_name!r} cannot be imported ({type(error).__name__}: {error}); "
                "install it or run from the folder that holds it."
            ) from error
    found: Any = module
    for name in attribute.split("."):
        found = getattr(found, name, None)
    if not callable(found):
        there = _makers(module)
        listed = f"; it has {', '.join(there)}" if there else ""
        raise UserError(
            f"{head}: module {module_name!r} has no class or function {attribute!r}{listed}."
        )
    return found


def _makers(module: Any) -> list[str]:
    """The module's own networks and functions, at most eight."""
    own = [
        (n, v) for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
    ]
    networks = [n for n, v in own if isinstance(v, type) and issubclass(v, nn.Module)]
    functions = [n for n, v in own if isinstance(v, FunctionType) and not n.startswith("_")]
    return [*networks, *functions][:8]


class _working_directory_on_path:
    """A script run as an installed command does not see modules in the current folder."""

    def __enter__(self) -> None:
        sys.path.append("")

    def __exit__(self, *_: object) -> None:
        with suppress(ValueError):
            sys.path.remove("")


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
