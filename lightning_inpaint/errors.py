"""Errors meant for the person at the keyboard."""

import re

__all__ = ["ArgumentError", "UserError"]


class UserError(Exception):
    """A mistake in the input or the settings.

    Its text is one sentence that names the file or option, says what is wrong and what to do. The
    command line prints it and exits with status 2; nobody sees a traceback.
    """


class ArgumentError(UserError):
    """A mistake in the arguments of a class that the command line makes from its options.

    Args:
        sentence: it names each argument in backticks: "`chains` is 0; it must be at least 1".
        place: what the class is to the command line: ``model`` or ``data``.
    """

    def __init__(self, sentence: str, place: str = "model") -> None:
        super().__init__(sentence)
        self.place = place

    @property
    def flagged(self) -> str:
        """The sentence with the flags of the command line in place of the arguments."""
        return re.sub(r"`([a-z][a-z_.]*)`", rf"--{self.place}.\1", str(self))
