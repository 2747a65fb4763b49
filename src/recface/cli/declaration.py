"""How a subcommand is declared: positionals, then key=value overrides of the configuration, then --options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from recface.errors import RecfaceError


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes end in one line, as every other mistake does."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and exiting."""
        raise RecfaceError(f"{message}; see `{self.prog} --help`")


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        name: One word, or two such as "sweep status".
        summary: One line for the list of commands.
        body: Does the work; returns the exit code, None for 0.
        declare: Adds positionals and options to the parser.
        overrides: Help of the key=value overrides; None where the command takes none.
        details: Further help.
        hydra: Whether Hydra parses the command line; `declare` then serves help and completion alone.
        one_thread: Whether BLAS and OpenMP keep to one thread: small matrices, where more threads only wait for one
            another, or a process beside runs that need the cores.
    """

    name: str
    summary: str
    body: Callable[[argparse.Namespace], int | None]
    declare: Callable[[argparse.ArgumentParser], object] = lambda parser: None
    overrides: str | None = None
    details: str = ""
    hydra: bool = False
    one_thread: bool = False

    def parser(self, related: Sequence[Command] = ()) -> Parser:
        """The command's parser.

        Args:
            related: Commands of two words that begin with this one's; help names them.
        """
        below = "".join(f"\n  recface {command.name:<20} {command.summary}" for command in related)
        result = Parser(
            prog=f"recface {self.name}",
            description="\n\n".join(part for part in (self.summary, self.details) if part),
            epilog=f"see also:{below}" if below else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.declare(result)
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
        for text in getattr(options, "overrides", []):
            if "=" not in text:
                raise RecfaceError(f"unexpected '{text}': overrides are key=value; see `recface {self.name} --help`")
        return options


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr; yields the function that takes how many are done, and of how many."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
