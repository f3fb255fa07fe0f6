"""SIGINT and SIGTERM as an exception, from the first import to the last file."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupted", "stopping_on_signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; not an Exception, so that nothing on the way swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def name(self) -> str:
        """SIGINT or SIGTERM."""
        return signal.Signals(self.number).name

    @property
    def status(self) -> int:
        """The exit status that a shell gives to a process which this signal has ended."""
        return 128 + self.number

    def report(self, sentence: str) -> None:
        """Print the signal's name and what it has led to; at a terminal, below a bar or a ``^C``."""
        begin = "\n" if sys.stderr.isatty() else ""
        print(f"{begin}{self.name}: {sentence}", file=sys.stderr)


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Raise :class:`Interrupted` where a signal arrives; afterwards signals do what they did before."""
    if threading.current_thread() is not threading.main_thread():  # no other may set handlers
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
