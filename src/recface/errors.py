"""The one exception that reaches a user."""


class RecfaceError(Exception):
    """A mistake that the user can correct, in one line: what is wrong, where, and what to do.

    Entry points print the message without a traceback and exit with a non-zero code.
    """
