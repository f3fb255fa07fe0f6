"""Commands that are functions: their options are its arguments, their help its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser

from ..errors import ArgumentError, UserError
from .mistakes import explain, words_of
from .names import program

__all__ = ["function_parser", "run"]


class FunctionParser(ArgumentParser):
    """A parser that answers a mistake with one sentence."""

    chosen: Sequence[str] = ()
    hint = ""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise the sentence.

        Raises:
            UserError: always.
        """
        raise UserError(explain(message, self)) from None


def run(function: Callable[..., None], words: Sequence[str]) -> int:
    """Call the function with what the words say; returns the exit status.

    Raises:
        UserError: a sentence about the arguments of a model or a data module names those of this command.
    """
    parser = function_parser(function)
    given = parser.parse_args(list(words))
    try:
        function(**given.as_dict())
    except ArgumentError as error:
        raise UserError(error.flagged(words_of(parser), model="--", data="--")) from error
    return 0


def function_parser(function: Callable[..., None]) -> FunctionParser:
    """The parser of a function: arguments before its ``*`` are words by themselves, others options.

    A list takes several words; a truth value may stand without one.
    """
    parser = FunctionParser(prog=f"{program()} {function.__name__}", allow_abbrev=False)
    types = get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        kind, default = types[name], parameter.default
        option: dict[str, Any] = {"type": kind}
        if default is not parameter.empty:
            option["default"] = default
        if get_origin(kind) is list:
            option |= {"type": get_args(kind)[0], "nargs": "+"}
        if parameter.kind is parameter.KEYWORD_ONLY:
            action = parser.add_argument(f"--{name}", **option)
            if action.nargs is None:
                action.nargs, action.const = "?", True
        else:
            if "default" in option:
                option["nargs"] = "?"
            parser.add_argument(name, **option)
    return parser
