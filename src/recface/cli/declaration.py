"""How a subcommand is declared: positionals, then key=value overrides of the configuration, then --options."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from recface.errors import RecfaceError
from recface.settings.overrides import normalize_arguments

Body = Callable[[argparse.Namespace], int | None]
Argument = tuple[tuple[str, ...], dict[str, Any]]
BENCHMARK_FOLDERS = ("now", "realy", "micc", "lfw", "bin", "aflw2000")
"""Keys of `recface.metrics.layouts.LAYOUTS`, whose import takes longer than a help may."""


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes end in one line, as every other mistake does."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        text = message.removesuffix(", key=value")  # argparse counts overrides, of which there may be none
        raise RecfaceError(f"{text}; see `{self.prog} --help`")


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        name: One word, or two such as "sweep status".
        body: Does the work; returns the exit code, None for 0. Its docstring is the command's help.
        arguments: Positionals and options.
        overrides: Help of the key=value overrides; None where the command takes none.
        sweep: Whether the overrides are a sweep's parameters, which are read as its file is.
        one_of: Options of which exactly one is needed.
        hydra: Whether Hydra parses the command line; `arguments` then serve help and completion alone.
        one_thread: Whether BLAS and OpenMP keep to one thread: small matrices, where more threads only wait for one
            another, or a process beside runs that need the cores.
    """

    name: str
    body: Body
    arguments: tuple[Argument, ...] = ()
    overrides: str | None = None
    sweep: bool = False
    one_of: tuple[Argument, ...] = ()
    hydra: bool = False
    one_thread: bool = False

    @property
    def summary(self) -> str:
        """The first line of the help."""
        return (self.body.__doc__ or "").partition("\n")[0]

    def parser(self, related: Sequence[Command] = ()) -> Parser:
        """The command's parser.

        Args:
            related: Commands of two words that begin with this one's; help names them.
        """
        below = "".join(f"\n  recface {command.name:<20} {command.summary}" for command in related)
        result = Parser(
            prog=f"recface {self.name}",
            description=inspect.getdoc(self.body),
            epilog=f"see also:{below}" if below else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if self.one_of:
            group = result.add_mutually_exclusive_group(required=True)
            for flags, keywords in self.one_of:
                group.add_argument(*flags, **keywords)
        for flags, keywords in self.arguments:
            result.add_argument(*flags, **keywords)
        if self.overrides is not None:
            result.add_argument("overrides", nargs="*", metavar="key=value", help=self.overrides)
        return result

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Read the command line behind the command's name.

        Raises:
            RecfaceError: An unknown option, a missing positional, or a further word that is no override.
        """
        if self.hydra:
            return argparse.Namespace(arguments=list(arguments))
        options = self.parser().parse_intermixed_args(arguments)
        if self.overrides is not None:
            if wrong := [text for text in options.overrides if "=" not in text]:
                raise RecfaceError(
                    f"unexpected '{wrong[0]}': overrides are key=value; see `recface {self.name} --help`"
                )
            if not self.sweep:
                options.overrides = normalize_arguments(options.overrides, {})
        return options


COMMANDS: dict[str, Command] = {}
"""Name to command, in the order of declaration."""


def command(name: str, *arguments: Argument, alias: str | None = None, **settings: Any) -> Callable[[Body], Body]:
    """Declare the decorated function as the body of a command; see `Command`.

    Args:
        name: The command's name.
        arguments: From `argument`, `flag` and `path`.
        alias: A second name.
        settings: Further fields of `Command`.
    """

    def register(body: Body) -> Body:
        COMMANDS[name] = Command(name, body, arguments, **settings)
        if alias:
            COMMANDS[alias] = replace(COMMANDS[name], name=alias)
        return body

    return register


def argument(*flags: str, **keywords: Any) -> Argument:
    """A positional or an option, as for argparse."""
    return flags, keywords


def flag(name: str, text: str) -> Argument:
    """An option that takes no value."""
    return (name,), {"action": "store_true", "help": text}


def path(name: str, metavar: str, text: str, default: str | None = None) -> Argument:
    """A positional or an option that is a path; help ends in the default."""
    text = f"{text} ({default})" if default else text
    return (name,), {"type": Path, "metavar": metavar, "help": text, "default": Path(default) if default else None}


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr; yields the function that takes how many are done, and of how many."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
