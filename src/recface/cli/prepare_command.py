"""`recface prepare` and `prepare check`: from official folders of datasets to stores of framed photos."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from recface.cli.declaration import argument, command, progress
from recface.errors import RecfaceError


def _whole(least: int, most: int) -> type:
    """A reader of whole numbers in a range, for argparse."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}, not '{text}'")
        return int(text)

    return read  # type: ignore[return-value]


def _required(name: str, metavar: str, text: str) -> tuple[tuple[str, ...], dict[str, object]]:
    return argument(name, type=Path, metavar=metavar, help=text, required=True)


@command(
    "prepare",
    argument("name", metavar="NAME", help="the dataset, such as vggface2 or 300w_lp; docs/prepare.md lists all"),
    _required("--raw", "DIR", "the dataset's official folder"),
    _required("--out", "DIR", "new folder to write to, or that of the same preparation, to resume it"),
    argument("--size", type=_whole(8, 1024), default=224, metavar="S", help="pixels of the crops (224)"),
    argument("--workers", type=_whole(1, 256), metavar="N", help="processes (one for each core)"),
    argument("--limit", type=_whole(1, 10**9), metavar="N", help="take only the first N photos"),
    one_thread=True,
)
def prepare(options: argparse.Namespace) -> None:
    """Turn a dataset's official folder into a store of framed photos that training reads.

    Checks the folder first, and says what is missing. An interrupted preparation is resumed by the same command.
    OUT gets the photos, a report with a sheet of crops, and the pairs of verification benchmarks; datasets of
    registered meshes become a folder for `recface scans`.
    """
    from recface.prepare.preparation import prepare as run

    workers = options.workers or os.cpu_count() or 1
    with progress("photos") as show:
        goal = run(options.name, options.raw, options.out, options.size, workers, options.limit, show)
    report = goal.parent / "report.md"
    print(report.read_text() if report.is_file() else "", end="")
    print(goal)


@command(
    "prepare check",
    argument("stores", type=Path, nargs="+", metavar="STORE", help="prepared stores, looked at together"),
    one_thread=True,
)
def check(options: argparse.Namespace) -> int:
    """Look for what spoils training or evaluation in prepared stores; exit code 1 where there is anything.

    Damaged photos, photos that are there twice, above all of training and test people, implausible landmarks; and how
    labels are distributed. Several stores are compared with one another.
    """
    from recface.prepare.check import check_stores

    if len(set(map(str, options.stores))) < len(options.stores):
        raise RecfaceError("a store is named twice; name each once")
    with progress("photos") as show:
        facts, findings = check_stores(options.stores, show)
    print("\n".join((*facts, *findings)) if findings else "\n".join((*facts, "nothing found")))
    return 1 if findings else 0
