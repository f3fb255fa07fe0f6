"""Errors meant for the person at the keyboard."""

import difflib
import re
from collections.abc import Collection, Iterable

__all__ = [
    "ArgumentError",
    "UserError",
    "did_you_mean",
    "nearest",
    "require_at_least",
    "speak_of_flags",
    "worded",
]


class UserError(Exception):
    """A mistake in the input or the settings.

    Its text is one sentence that names the file or option, says what is wrong and what to do. The
    command line prints it and exits with status 2; nobody sees a traceback.
    """


class ArgumentError(UserError):
    """A mistake in the arguments of a class or function that the command line fills from its options.

    Args:
        sentence: it names arguments in backticks, with a value where one is to be written: "`chains` is 0;
            it must be at least 1", "pass `resize=True`".
        place: where the arguments belong to: ``model``, ``data``, or nowhere (empty). Those of other places
            have a name with a dot: "`trainer.devices`".
    """

    def __init__(self, sentence: str, place: str = "model") -> None:
        super().__init__(sentence)
        self.place = place

    def flagged(self, words: Collection[str] = (), **prefixes: str) -> str:
        """The sentence with the flags of the command line in place of the arguments.

        Args:
            words: flags, without their dashes, that the command takes as words by themselves.
            prefixes: what the flags of a place begin with, where it is not ``--PLACE.``.
        """
        return _ARGUMENT.sub(lambda found: self._flag(found, words, prefixes), str(self))

    def _flag(self, found: re.Match[str], words: Collection[str], prefixes: dict[str, str]) -> str:
        name, value = found.groups()
        place, dot, rest = name.partition(".")
        if not dot or place not in _PLACES:
            place, rest = self.place, name
        flag = f"--{name}" if name in _PLACES else prefixes.get(place, _begin(place)) + rest
        if flag.removeprefix("--") in words:
            flag = flag.removeprefix("--")
        return flag if value is None else f"{flag} {_WRITTEN.get(value, value)}"


def _begin(place: str) -> str:
    return f"--{place}." if place else "--"


_ARGUMENT = re.compile(r"`([a-z][a-z0-9_.]*)(?:=([^`]+))?`")
_PLACES = ("model", "data", "trainer", "writer")
_WRITTEN = {"True": "true", "False": "false", "None": "null"}


_flags = False  # whether the person at the keyboard writes flags


def speak_of_flags(really: bool = True) -> None:
    """From now on :func:`worded` names flags: the command line is what runs; or not any more."""
    global _flags
    _flags = really


def worded(sentence: str, place: str = "model") -> str:
    """A notice's sentence, its arguments written as its reader writes them.

    Args:
        sentence: it names arguments in backticks, as an :class:`ArgumentError` does.
        place: where they belong to.

    Returns:
        The sentence with flags where the command line runs; else as it is.
    """
    return ArgumentError(sentence, place).flagged() if _flags else sentence


def nearest(word: str, known: Iterable[str], least: float = 0.6) -> str | None:
    """The most alike of the known words; None where none is as alike as ``least``, in [0, 1]."""
    return next(iter(difflib.get_close_matches(word, list(known), 1, least)), None)


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "", least: float = 0.6) -> str:
    """The question whether the :func:`nearest` known word was meant; ``otherwise`` where none is near."""
    near = nearest(word, known, least)
    return f"did you mean {near}?" if near else otherwise


def require_at_least(least: int, **values: int | None) -> None:
    """Raise an ArgumentError that names the first argument of the module below ``least``; None passes."""
    for name, value in values.items():
        if value is not None and value < least:
            bound = "not be negative" if least == 0 else f"be at least {least}"
            raise ArgumentError(f"`{name}` is {value}; it must {bound}")
