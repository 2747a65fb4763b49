"""Numbers in prose come from results/*.csv: check every one of them, or write the present ones into the pages.

    python docs/figures.py            # writes the present values into README.md and docs/findings.md
    python docs/figures.py --check    # writes nothing; exits with 1 and names what differs
    python docs/figures.py --results DIR    # for tables in another folder

A comment after a paragraph, a list item or a table names the source of each decimal number in it, in order:

    SIR lifts the AUC to 0.770 (+0.026, 0.018 to 0.036).
    <!-- figures: sir.geometry_auc sir.geometry_auc.diff sir.geometry_auc.low sir.geometry_auc.high -->

A source is `[TABLE:][BLOCK/]ROW.METRIC`, by default of table `ablation` and block `embedded`; rows and metrics may be
lists (`baseline,sir.nme,sir`), which stand for all their combinations row by row. `.diff`, `.low` and `.high` are the
difference to the parent row and its 95% interval, `.p` is its p value after Holm's correction. A leading `-` turns the
sign: "falls by 0.006". `_` is a number that no table holds, `_3` are three of them. `?ROW.METRIC` asserts that the
interval of the difference holds 0, `!ROW.METRIC` that it does not; neither consumes a number. A number keeps its
digits, and its plus sign if it has one.
"""

from __future__ import annotations

import argparse
import csv
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
results = ROOT / "results"
PAGES = (ROOT / "README.md", ROOT / "docs" / "findings.md")
COMMENT = re.compile(r"<!-- figures:(.*?)-->", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+\.\d+(?![\w]|\.\d)")
SOURCE = re.compile(r"(?P<sign>[-?!]?)(?:(?P<table>\w+):)?(?:(?P<block>[^/]+)/)?(?P<rows>[\w,]+)\.(?P<metrics>[\w,]+)")
PARTS = {"diff": "difference", "low": "low", "high": "high", "p": "p_holm"}


class FigureError(ValueError):
    """A number in prose that its table does not give."""


@functools.cache
def values(table: str) -> dict[tuple[str, str, str], float]:
    """Block, row and metric to the number that the table prints."""
    with open(results / f"{table}.csv") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for row in rows:
        for metric, text in row.items():
            if re.fullmatch(r"-?\d+(\.\d+)?", text or ""):
                found[row["block"], row["experiment"], metric] = float(text)
    return found


@functools.cache
def differences(table: str) -> dict[tuple[str, str, str], dict[str, float]]:
    """Block, row and metric to the difference to the parent row and its interval."""
    with open(results / f"{table}.differences.csv") as file:
        rows = list(csv.DictReader(file))
    return {
        (row["block"], row["experiment"], row["metric"]): {
            part: float(row[column]) for part, column in PARTS.items() if row[column]
        }
        for row in rows
    }


def look_up(source: str) -> Iterator[float | None]:
    """The numbers that a source stands for; None leaves the one in the prose as it is."""
    if match := re.fullmatch(r"_(\d*)", source):
        yield from [None] * int(match[1] or 1)
        return
    whole, _, part = source.rpartition(".")
    if part not in PARTS:
        whole, part = source, ""
    match = SOURCE.fullmatch(whole)
    if match is None:
        raise FigureError(f"a source must be [TABLE:][BLOCK/]ROW.METRIC, not '{source}'")
    table, block, sign = match["table"] or "ablation", match["block"] or "embedded", match["sign"]
    for row in match["rows"].split(","):
        for metric in match["metrics"].split(","):
            try:
                if sign in ("?", "!"):
                    bounds = differences(table)[block, row, metric]
                    if (bounds["low"] <= 0 <= bounds["high"]) != (sign == "?"):
                        raise FigureError(f"{source}: the interval is {bounds['low']:.4g} to {bounds['high']:.4g}")
                    continue
                key = (block, row, metric)
                value = differences(table)[key][part] if part else values(table)[key]
            except KeyError:
                raise FigureError(f"{source}: results/{table}.csv has no such number") from None
            yield -value if sign == "-" else value


def covered(text: str, end: int) -> int:
    """Where the block begins that ends before a comment: a list item, a table or a paragraph."""
    before = text[:end].rstrip()
    start = max(before.rfind("\n\n") + 2, before.rfind("\n- ") + 1, before.rfind("-->") + 3, 0)
    return start


def refreshed(text: str, where: str = "page") -> str:
    """A page with the present numbers.

    Raises:
        FigureError: A source without a number, a number without a source, or a sign that the words contradict.
    """
    for comment in reversed(list(COMMENT.finditer(text))):
        start = covered(text, comment.start())
        block = text[start : comment.start()]
        try:
            wanted = [value for source in comment[1].split() for value in look_up(source)]
        except FigureError as error:
            raise FigureError(f"{where}: {error}") from None
        found = NUMBER.findall(block)
        opening = " ".join(block.split())[:60]
        if len(found) != len(wanted):
            raise FigureError(f"{where}: {len(found)} numbers but {len(wanted)} sources after '{opening}': {found}")
        fresh = iter(wanted)

        def write(match: re.Match[str], fresh=fresh, opening=opening) -> str:
            value, shown = next(fresh), match[0]
            if value is None:
                return shown
            signed = shown[0] in "+-"
            digits = len(shown.partition(".")[2])
            new = f"{value:{'+' if signed else ''}.{digits}f}"
            if not signed and value < 0 and float(new) != 0:
                raise FigureError(f"{where}: {shown} is {new} now, which turns the sense of '{opening}'")
            return new

        text = text[:start] + NUMBER.sub(write, block) + text[comment.start() :]
    return text


def main(arguments: list[str] | None = None) -> int:
    """Refresh or check the pages; returns the exit code."""
    global results
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a number is out of date")
    parser.add_argument("--results", type=Path, default=results, metavar="DIR", help="folder of the tables (results)")
    options = parser.parse_args(arguments)
    results, check = options.results, options.check
    outdated = []
    for page in PAGES:
        text = page.read_text()
        fresh = refreshed(text, page.name)
        if fresh != text:
            outdated.append(page.name)
            if not check:
                page.write_text(fresh)
    for name in outdated:
        print(f"{name}: {'numbers are out of date' if check else 'numbers refreshed'}")
    return 1 if check and outdated else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FigureError as error:
        sys.exit(f"figures.py: {error}")
