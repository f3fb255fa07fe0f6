"""The options of classes and functions, read from their source: nothing is imported, so help is quick."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import docstring_parser

from ..errors import UserError

__all__ = ["REQUIRED", "Described", "Option", "described", "literal", "table"]

REQUIRED = object()
Definition = ast.ClassDef | ast.FunctionDef
KINDS = {
    "int": "N",
    "float": "X",
    "str": "TEXT",
    "bool": "BOOL",
    "list": "LIST",
    "Sequence": "LIST",
}


@dataclass(frozen=True)
class Option:
    """One argument.

    Attributes:
        name: the argument's.
        kind: what to write for its value: ``N``, ``{png,jpeg}``, ...
        default: the value, or REQUIRED; the source's text where it is no plain value.
        text: what the docstring says of it.
        positional: it stands before the ``*`` of a function that has one.
    """

    name: str
    kind: str
    default: Any
    text: str
    positional: bool = False


@dataclass(frozen=True)
class Described:
    """A class or function: its docstring's first sentence and paragraphs, and its arguments."""

    name: str
    summary: str
    details: str
    options: tuple[Option, ...]


def described(path: str) -> Described:
    """What the source says of a class or function.

    Args:
        path: import path, also of a name under which it is imported elsewhere.

    Raises:
        UserError: there is no source, or no such name in it.
    """
    module, definition = _find(*_split(path))
    if not isinstance(definition, ast.ClassDef | ast.FunctionDef):
        raise UserError(f"{path} is no class.")
    function = _initializer(module, definition)
    texts = [ast.get_docstring(node) or "" for node in (definition, function) if node]
    parsed = [
        docstring_parser.parse(text, docstring_parser.DocstringStyle.GOOGLE) for text in texts
    ]
    told = {p.arg_name: _plain(p.description or "") for doc in parsed for p in doc.params}
    options = tuple(_options(module, function, told)) if function else ()
    first = parsed[0]
    details = _plain(first.long_description or "", keep_lines=True)
    return Described(definition.name, _plain(first.short_description or ""), details, options)


def table(path: str) -> dict[str, str]:
    """The import paths of a module's dictionary of classes, by their names in it."""
    module, value = _find(*_split(path))
    if not isinstance(value, ast.Dict):
        raise UserError(f"{path} is no dictionary.")
    return {
        ast.literal_eval(key): f"{module}.{ast.unparse(item)}"
        for key, item in zip(value.keys, value.values, strict=True)
        if key is not None
    }


def literal(path: str) -> Any:
    """The value of a constant that the source spells out."""
    return ast.literal_eval(_find(*_split(path))[1])  # type: ignore[arg-type]


def _split(path: str) -> tuple[str, str]:
    module, _, name = path.rpartition(".")
    return module, name


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text())


@cache
def _file(module: str) -> Path:
    """The source of a module, found without running it.

    Raises:
        UserError: there is none.
    """
    first, *rest = module.split(".")
    place = _place(first)
    for number, name in enumerate(rest, 1):
        inside = place and next(
            (p for p in (place / name, place / f"{name}.py") if p.exists()), None
        )
        # A package whose folder lies elsewhere, as callbacks/ in a checkout, is known to its parent.
        place = inside or _place(".".join([first, *rest[:number]]))
    if place is not None and place.is_dir():
        place = place / "__init__.py"
    if place is None or not place.is_file():
        raise UserError(f"{module}: there is no such module.")
    return place


def _place(module: str) -> Path | None:
    """Folder of a package or file of a module, by Python's own search, which runs its parents."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = spec.submodule_search_locations
    return Path(folders[0]) if folders else Path(spec.origin or "")


def _find(module: str, name: str) -> tuple[str, ast.AST]:
    """The definition of a name, and the module that it is in."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                if isinstance(node.value, ast.Name):
                    return _find(module, node.value.id)
                return module, node.value
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _find(_absolute(module, node), alias.name)
    raise UserError(f"{module} has no {name}.")


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    above = node.level - (_file(module).name == "__init__.py")
    parts = module.split(".")
    base = parts[: len(parts) - above]
    return ".".join([*base, *([node.module] if node.module else [])])


def _initializer(module: str, definition: Definition) -> ast.FunctionDef | None:
    if isinstance(definition, ast.FunctionDef):
        return definition
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name in ("__init__", "__new__"):
            return node
    for base in definition.bases:
        if isinstance(base, ast.Name):
            where, parent = _find(module, base.id)
            if isinstance(parent, ast.ClassDef):
                return _initializer(where, parent)
    return None


def _options(module: str, function: ast.FunctionDef, told: dict[str, str]) -> Iterator[Option]:
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    padding: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults))
    pairs = list(zip(plain, [*padding, *arguments.defaults], strict=True))
    positional = {argument.arg for argument in plain} if arguments.kwonlyargs else set()
    pairs += list(zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True))
    for argument, default in pairs:
        if argument.arg in ("self", "cls", "params"):  # the latents are no option of a sampler
            continue
        yield Option(
            argument.arg,
            _kind(module, argument.annotation),
            REQUIRED if default is None else _value(module, default),
            told.get(argument.arg, ""),
            argument.arg in positional,
        )


def _value(module: str, node: ast.AST) -> Any:
    try:
        return ast.literal_eval(node)  # type: ignore[arg-type]
    except ValueError:
        pass
    if isinstance(node, ast.Name):
        try:
            return ast.literal_eval(_find(module, node.id)[1])  # type: ignore[arg-type]
        except (UserError, ValueError):
            pass
    return ast.unparse(node)


def _kind(module: str, node: ast.AST | None) -> str:
    kinds = [kind for kind in dict.fromkeys(_kinds(module, node)) if kind]
    return kinds[0] if len(kinds) == 1 else f"{{{','.join(kinds)}}}" if kinds else "VALUE"


def _kinds(module: str, node: ast.AST | None) -> Iterator[str]:
    """What a type lets a user write; null goes without saying."""
    if isinstance(node, ast.BinOp):
        yield from _kinds(module, node.left)
        yield from _kinds(module, node.right)
    elif isinstance(node, ast.Subscript):
        outer = ast.unparse(node.value).rpartition(".")[2]
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if outer == "Literal":
            yield from (str(ast.literal_eval(value)) for value in inner)
        elif outer in ("Union", "Optional"):
            for part in inner:
                yield from _kinds(module, part)
        elif outer == "Callable":
            yield "CLASS"
        else:
            yield "LIST" if outer.lower() in ("list", "sequence", "iterable", "tuple") else "VALUE"
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield from _kinds(module, ast.parse(node.value, mode="eval").body)
    elif isinstance(node, ast.Name) and node.id in KINDS:
        yield KINDS[node.id]
    elif isinstance(node, ast.Name):
        try:
            where, meant = _find(module, node.id)
        except UserError:
            yield node.id.upper().removeprefix("_")
            return
        if isinstance(meant, ast.ClassDef):
            yield "CLASS"
        else:
            yield from _kinds(where, meant)


def _plain(text: str, keep_lines: bool = False) -> str:
    """Without the marks of reStructuredText."""
    text = re.sub(r":\w+:`[~.]?([^`]+)`", r"\1", text).replace("`", "")
    return text if keep_lines else " ".join(text.split())
