"""The one exception that reaches a user, and how other texts fit into its one line."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class RecfaceError(Exception):
    """A mistake that the user can correct, in one line: what is wrong, where, and what to do.

    Entry points print the message without a traceback and exit with a non-zero code. Line ends that come into it, as
    by the name of a file, become blanks.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


class SkippedError(Exception):
    """Why a photo is left out, in a few words; the report counts each reason."""


def one_line(text: object, limit: int | None = None) -> str:
    """Text, such as an exception's, in one line of at most `limit` characters."""
    return " ".join(str(text).split())[:limit]


@contextmanager
def named(where: str) -> Iterator[None]:
    """Put a place, such as the row that names a file, before the message of a mistake."""
    try:
        yield
    except RecfaceError as error:
        raise RecfaceError(f"{where}: {error}") from None


class Interrupted(BaseException):
    """A signal, such as that of `kill`, asks the program to end. No handler of mistakes takes it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.number).name}"
