"""The program `recface`: finds the subcommand, runs it, and ends in an exit code and at most one line of error."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

# Each of these modules declares commands.
from recface.cli import (  # noqa: F401
    completion,
    doctor_command,
    export_command,
    method_commands,
    prepare_command,
    report_command,
    results_commands,
    run_command,
    sweep_command,
)
from recface.cli.declaration import COMMANDS, Command
from recface.errors import Interrupted, RecfaceError

PATIENCE_SECONDS = 10.0
"""A signal that comes again within this time does not disturb the tidying up that it asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; by default the process's own.

    Returns:
        Exit code, as `ended`.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == [completion.HOOK]:
        return ended("recface", lambda: print("\n".join(completion.candidates(COMMANDS, arguments[1:]))))
    if not arguments or arguments[0] in ("-h", "--help"):
        return ended("recface", lambda: print(overview()))
    if arguments[0] == "--version":
        from importlib.metadata import version

        return ended("recface", lambda: print(version("recface")))
    command = COMMANDS.get(" ".join(arguments[:2])) or COMMANDS.get(arguments[0])
    if command is None:
        names = ", ".join(sorted(name for name in COMMANDS if " " not in name))
        print(f"recface: no command '{arguments[0]}': known are {names}", file=sys.stderr)
        return 1
    if command.one_thread:
        for name in ("OMP_NUM_THREADS", "IGL_NUM_THREADS"):
            os.environ.setdefault(name, "1")
    rest = arguments[1 + command.name.count(" ") :]
    return ended(f"recface {command.name}", lambda: run(command, rest))


def run(command: Command, arguments: Sequence[str]) -> int | None:
    """Print the command's help, or do its work."""
    if {"-h", "--help"} & set(arguments):
        related = [other for name, other in COMMANDS.items() if name.startswith(f"{command.name} ")]
        print(command.parser(related).format_help(), end="")
        return 0
    return command.body(command.parse(arguments))


def overview() -> str:
    """Help of the whole program."""
    lines = [f"  {name:<12} {command.summary}" for name, command in sorted(COMMANDS.items()) if " " not in name]
    return "\n".join(
        [
            "usage: recface COMMAND [arguments] [key=value ...] [--options]",
            "",
            "Recognizable 3D face shapes: train variants, track runs, build tables.",
            "",
            *lines,
            "",
            "`recface COMMAND --help` explains a command; `recface --version` prints the version.",
        ]
    )


def ended(name: str, body: Callable[[], int | None]) -> int:
    """Run the body of a program so that a user's mistake ends in one line on stderr.

    Args:
        name: The program, and the command, as the line begins.
        body: Does the work; returns an exit code, None for 0.

    Returns:
        The body's exit code; 1 after a mistake, and as a shell has it: 130 after Ctrl-C, 143 after `kill`, 129 where
        the terminal was closed, 141 where the reader closed the pipe early, as `| head -1` does. Exceptions keep their
        traceback only with RECFACE_DEBUG=1.
    """
    try:
        with interruptible():
            code = body() or 0
            sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter would try to write the rest once more when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (KeyboardInterrupt, Interrupted) as error:
        print(f"{name}: interrupted: run the same command again to resume", file=sys.stderr)
        return 128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT)
    except (Exception, run_command.TaskError) as error:
        cause = (error.__cause__ or error) if isinstance(error, run_command.TaskError) else error
        if os.environ.get("RECFACE_DEBUG"):
            raise cause from None
        print(f"{name}: {explain(cause)}", file=sys.stderr)
        return 1
    return code


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Interrupted`, except where they are handled already or, as by nohup, ignored.

    SIGINT raises KeyboardInterrupt as ever, but once.
    """
    process, last = os.getpid(), float("-inf")

    def interrupt(number: int, _: object) -> None:
        nonlocal last
        if os.getpid() != process:  # forked from here, and only told to end
            os._exit(128 + number)
        before, last = last, time.monotonic()
        if last - before > PATIENCE_SECONDS:
            raise KeyboardInterrupt if number == signal.SIGINT else Interrupted(number)

    main_thread = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT) if main_thread else ()  # others cannot set handlers
    handlers = {number: signal.getsignal(number) for number in numbers}
    ours = {n: handler for n, handler in handlers.items() if handler in (signal.SIG_DFL, signal.default_int_handler)}
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


def explain(error: BaseException) -> str:
    """An exception in one line, with a hint where it is no mistake of the user's."""
    if isinstance(error, RecfaceError):
        return " ".join(str(error).splitlines())
    from recface.settings.compose import message

    expected = type(error).__module__.partition(".")[0] in ("hydra", "omegaconf")
    return message(error) + ("" if expected else f" ({type(error).__name__}; RECFACE_DEBUG=1 shows where)")
