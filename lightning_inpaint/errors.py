"""Errors meant for the person at the keyboard."""

__all__ = ["UserError"]


class UserError(Exception):
    """A mistake in the input or the settings.

    Its text is one sentence that names the file or option, says what is wrong and what to do. The
    command line prints it and exits with status 2; nobody sees a traceback.
    """
