"""What the parser says of a mistake, over many lines, as one sentence with what was perhaps meant."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

from ..errors import did_you_mean, nearest

__all__ = ["explain", "imported", "words_of"]

WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list",
    "dict": "a mapping",
    "NoneType": "null",
}
_KEY = re.compile(r'Parser key "([\w.]+)"')
_CLASS = re.compile(r"class_path (?:'|=')?'?([\w.]+)'|class_path='([\w.]+)'")
_TYPE = re.compile(r"<class '([\w.]+)'>|typing\.Literal\[([^\]]+)\]|\b(list)\[")
_VALUE = re.compile(r"(?:Got value|Given value): (?:NestedArg\(key='[\w.]+', val=(.+)\)|(.+))")


def explain(message: str, parser: Any) -> str:
    """The sentence for a message of jsonargparse.

    Args:
        message: as given to the parser's ``error``.
        parser: it knows the options, and the classes that an option may choose.
    """
    for known in (
        _unknown_word,
        _unknown_option,
        _unknown_class,
        _missing,
        _unreadable,
        _no_class,
        _bad_value,
    ):
        sentence = known(message, parser)
        if sentence:
            return sentence
    return " ".join(message.split())


def words_of(parser: Any) -> list[str]:
    """The arguments that a parser takes as words by themselves."""
    return [action.dest for action in parser._actions if not action.option_strings]


def _unknown_word(message: str, parser: Any) -> str | None:
    found = re.fullmatch(r"unrecognized arguments: (\S+).*", message, re.DOTALL)
    if not found:
        return None
    word = found[1].partition("=")[0]
    if not word.startswith("-"):
        return f"{found[1]!r} belongs to no option{parser.hint and ': '}{parser.hint}."
    return _no_option(word, parser)


def _no_option(flag: str, parser: Any) -> str:
    """The sentence for a flag that there is not: the nearest, or one with the same last name."""
    own = [name for name in parser._option_string_actions if name.startswith("--")]
    own = [name for name in own if not name.endswith(("+", ".help"))]
    own += [f"--{c}.{name}" for c in parser.chosen for name in _default_options(parser, c)]
    leaf = flag.rpartition(".")[2].lstrip("-")
    if leaf in words_of(parser):
        return (
            f"{flag} is no option: write the {leaf} without a flag, {parser.prog} {leaf.upper()}."
        )
    same = [name for name in own if name.rpartition(".")[2].lstrip("-") == leaf]
    near = nearest(flag, own, 0.85) or next(iter(same), None)
    if near is None:
        for choice in parser.chosen:
            for name, cls in _classes(parser, choice).items():
                if leaf in _options(cls):
                    return (
                        f"{flag} is no option: with --{choice} {name} there is --{choice}.{leaf}."
                    )
    if near is None:
        group = flag.rpartition(".")[0]
        ends = [name.rpartition(".")[2] for name in own if name.rpartition(".")[0] == group]
        if group and ends:  # what the flags of a group have in common makes all of them alike
            end = nearest(leaf, ends)
            near = f"{group}.{end}" if end else None
        else:
            near = nearest(flag, own)
    hint = f"did you mean {near}?" if near else "see --help."
    return f"{flag} is no option: {hint}"


def _unknown_option(message: str, parser: Any) -> str | None:
    group = re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message)
    if group:
        return _no_option(f"--{group[1]}.{group[2]}", parser)
    found = re.search(r"Option '([\w.]+)' is not accepted", message)
    if not found:
        return None
    where = _path(message[: found.start()])
    flag = f"--{'.'.join([*where, found[1]])}"
    cls = _class(message)
    if not where or cls is None:
        return _no_option(flag, parser)
    own = _options(cls)
    near = nearest(found[1], own)
    if near:
        return f"{flag} is no option of {cls.__name__}: did you mean --{where[0]}.{near}?"
    for name, other in _classes(parser, where[0]).items():
        if found[1] in _options(other):
            return f"{flag} is no option of {cls.__name__}: it needs --{where[0]} {name}."
    return f"{flag} is no option of {cls.__name__}; its options are {', '.join(own)}."


def _unknown_class(message: str, parser: Any) -> str | None:
    found = re.search(r"Expected a dot import path string: (\S+)", message)
    kind = re.search(
        r"Expected '([\w.]+)' to be a subclass of <class '(?:[\w.]+\.)?(\w+)'>", message
    )
    foreign = re.search(r"Unable to import|No module named|has no attribute", message)
    where = _path(message)
    option = f"--{'.'.join(where)}" if where else ""
    if kind:
        return f"{option} {kind[1]}: this is no {kind[2]}."
    if foreign and where and not found:
        value = _value(message)
        reason = " ".join(message[foreign.start() :].splitlines()[0].split())
        return f"{option} {value}: cannot be imported ({reason})."
    if not found:
        return None
    if not where:  # --data.help NAME
        option = message.partition(":")[0]
        where = [option.removeprefix("--").removesuffix(".help")]
    classes = _classes(parser, ".".join(where))
    known = [*classes, *(c.__name__ for c in classes.values())]
    hint = did_you_mean(found[1], known, f"give {_choice(classes)}.")
    return f"{option} {found[1]}: there is no such class; {hint}"


def _choice(classes: dict[str, Any]) -> str:
    few = 0 < len(classes) <= 20
    return f"{', '.join(classes)}, or an import path" if few else "the import path of a class"


def _missing(message: str, parser: Any) -> str | None:
    found = re.search(r"the following arguments are required: ([\w., ]+)", message)
    if not found:
        return None
    where = _path(message[: found.start()])
    names = [".".join([*where, name]) for name in found[1].split(", ")]
    words = words_of(parser)
    flags = [name if name in words else f"--{name}" for name in names]
    cls = _class(message)
    owner = f"--{where[0]} {cls.__name__}" if cls and where else parser.prog
    return f"{owner} needs {' and '.join(flags)}."


def _unreadable(message: str, parser: Any) -> str | None:
    place = re.search(r"Problems parsing config: (.*)", message, re.DOTALL)
    if place:
        return f"not YAML: {_one_line(place[1])}."
    place = re.search(r'Parser key "config": (.*)', message, re.DOTALL)
    if place:
        return f"--config: {_one_line(place[1])}."
    if message.startswith("Unexpected config"):
        return "holds no settings: write them as 'model:' and, indented below it, 'chains: 4'."
    found = re.search(r'Key "([\w.]+)\.\w+" not found in namespace', message)
    if found:
        return f"--{found[1]} must be a mapping: write its options below it, indented."
    found = re.search(r"Unable to load config ['\"](.+?)['\"]", message)
    if found:
        return f"--{_path(message)[0]} {found[1]}: no YAML file with its options."
    return None


def _one_line(problem: str) -> str:
    """What PyYAML says, without the source's name."""
    return " ".join(re.sub(r'in "<[^"]*>", ', "at ", problem).split())


def _no_class(message: str, parser: Any) -> str | None:
    """An option of a class that was not chosen, or an option of which nothing is said."""
    where = _path(message)
    option = ".".join(where)
    loose = re.search(r"Given value: NestedArg\(key='([\w.]+)'", message)
    if loose and where and loose[1] != where[-1]:
        return f"--{option}.{loose[1]} needs a class before it: --{option} CLASS."
    classes = _classes(parser, option)
    if classes and _value(message) == "True":
        return f"--{option} needs a value: {_choice(classes)}."
    return None


def _bad_value(message: str, parser: Any) -> str | None:
    where = _path(message)
    flag = "--" + ".".join(where)
    short = re.search(r"argument ([^:]+): (expected (?:one|at least one) argument)", message)
    if short:
        return f"{short[1].split('/')[-1]} needs a value."
    if not where:
        return None
    inner = message[[m.end() for m in _KEY.finditer(message)][-1] :]
    said = re.split(r"Given value|Got value|Errors:", inner)[0]
    types = _TYPE.findall(said)
    value = _value(inner)
    if not types:
        return f"{flag} {value}: {_one_line(said.lstrip(': -')).rstrip('.')}."
    choices = [c.strip("'\" ") for _, literal, _ in types for c in literal.split(",") if literal]
    words = [WORDS.get(name.rpartition(".")[2], _a_class(name)) for name, _, _ in types if name]
    words += [WORDS[name] for _, _, name in types if name]
    expected = _joined([*dict.fromkeys(choices), *sorted(dict.fromkeys(words), key="null".__eq__)])
    if value == "True":  # the option stands without a value
        return f"{flag} needs a value: {expected}."
    hint = did_you_mean(value, choices)
    return f"{flag} is {value or 'empty'}, and must be {expected}{f'; {hint}' if hint else '.'}"


def _a_class(path: str) -> str:
    return f"an instance of {path.rpartition('.')[2]}"


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _value(message: str) -> str:
    """The value that is wrong."""
    found = _VALUE.search(message)
    if not found:
        return ""
    text = (found[1] or found[2]).partition(". Got value")[0].strip()
    return text.strip("'\"")


def _path(message: str) -> list[str]:
    """The names of the nested options that a message speaks of."""
    path: list[str] = []
    for name in _KEY.findall(message):
        if not path or name not in (path[-1], "config"):
            path.append(name)
    return path


def _class(message: str) -> type | None:
    """The class whose options a message speaks of."""
    paths = [quoted or given for quoted, given in _CLASS.findall(message)]
    return imported(paths[-1]) if paths else None


def imported(path: str | type) -> Any:
    """What an import path names; None if there is nothing. A class stays as it is."""
    if not isinstance(path, str):
        return path
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None


def _options(cls: Any) -> list[str]:
    """The options of a class; the latents that a sampler walks are none."""
    try:
        names = inspect.signature(cls).parameters
    except (TypeError, ValueError):
        return []
    return [name for name in names if name not in ("params", "args", "kwargs")]


def _classes(parser: Any, option: str) -> dict[str, Any]:
    """The classes that an option may choose, by what to write."""
    from jsonargparse._typehints import get_all_subclass_paths

    action = parser._option_string_actions.get(f"--{option}")
    if action is None or not hasattr(action, "_typehint"):
        return {}
    named = getattr(action, "classes", None)
    if named:
        return dict(named)
    paths = get_all_subclass_paths(action._typehint)
    return {path.rpartition(".")[2]: imported(path) for path in paths}


def _default_options(parser: Any, option: str) -> list[str]:
    default = parser.get_default(option)
    return _options(imported(default["class_path"])) if default else []
