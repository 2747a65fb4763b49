"""The one exception that reaches a user, and how another's text fits into its one line."""


class RecfaceError(Exception):
    """A mistake that the user can correct, in one line: what is wrong, where, and what to do.

    Entry points print the message without a traceback and exit with a non-zero code.
    """


def one_line(text: object, limit: int | None = None) -> str:
    """Text, such as an exception's, in one line of at most `limit` characters."""
    return " ".join(str(text).split())[:limit]
