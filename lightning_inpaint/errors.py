"""Errors meant for the person at the keyboard."""

import re

__all__ = ["ArgumentError", "UserError", "require_at_least"]


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

    def flagged(self, **prefixes: str) -> str:
        """The sentence with the flags of the command line in place of the arguments.

        Args:
            prefixes: what the flags of a place begin with, where it is not ``--PLACE.``.
        """
        return _ARGUMENT.sub(lambda found: self._flag(found, prefixes), str(self))

    def _flag(self, found: re.Match[str], prefixes: dict[str, str]) -> str:
        name, value = found.groups()
        place, dot, rest = name.partition(".")
        if not dot or place not in _PLACES:
            place, rest = self.place, name
        flag = f"--{name}" if name in _PLACES else prefixes.get(place, _begin(place)) + rest
        return flag if value is None else f"{flag} {_WRITTEN.get(value, value)}"


def _begin(place: str) -> str:
    return f"--{place}." if place else "--"


_ARGUMENT = re.compile(r"`([a-z][a-z0-9_.]*)(?:=([^`]+))?`")
_PLACES = ("model", "data", "trainer", "writer")
_WRITTEN = {"True": "true", "False": "false", "None": "null"}


def require_at_least(least: int, **values: int | None) -> None:
    """Raise an ArgumentError that names the first argument of the module below ``least``; None passes."""
    for name, value in values.items():
        if value is not None and value < least:
            bound = "not be negative" if least == 0 else f"be at least {least}"
            raise ArgumentError(f"`{name}` is {value}; it must {bound}")
