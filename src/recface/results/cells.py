"""How values, differences and marks are written in a cell, and the legend of the marks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from recface.results.differences import STUDENT, Difference, Improvement
from recface.results.significance import LEVEL, goodness
from recface.results.spec import Column
from recface.results.table import BlockTable, Cell

MISSING = "×"
UNDEFINED = "–"
BETTER, WORSE, OTHER = "▲", "▼", "≠"
ARROWS = {"lower": "↓", "higher": "↑"}


@dataclass(frozen=True)
class Symbol:
    """A mark.

    Attributes:
        mark: As it is printed.
        pattern: Regular expression that finds it on a page.
        meaning: What a reader should know.
    """

    mark: str
    pattern: str
    meaning: str


SYMBOLS = (
    Symbol("a ± b", r"\d ± \d", "mean ± standard error over seeds (one seed: no error)"),
    Symbol("**bold**", r"\| +\*\*\d[^|]*\*\*", "best row of the column"),
    Symbol("↓ ↑ → 1", r"[↓↑] +\||→ [\d.]+ +\|", "lower is better, higher is better, the nearest to 1 is better"),
    Symbol(
        f"{BETTER} {WORSE}",
        rf" (?:{BETTER}|{WORSE}) ",
        f"better, worse than the parent row: p < {LEVEL:g} after Holm's correction over the rows of the column",
    ),
    Symbol(OTHER, rf" {OTHER} ", "differs so from the parent row, where neither is better"),
    Symbol(MISSING, rf"\| +{MISSING} +(?=\|)", "no finished run"),
    Symbol(UNDEFINED, rf"[|/] +{UNDEFINED} +(?=[|/])", "the run gives no such value"),
    Symbol("(outdated)", r"\(outdated\)", "made by an older version of the benchmark or of the code"),
    Symbol(
        "[a, b]",
        r"\] +\|",
        "95% interval: paired bootstrap over seeds and identities, about the recorded value; the spread is that of the "
        "value recomputed from stored predictions (verification on geometry: by root mean square vertex distance)",
    ),
    Symbol(
        "t", r"\] t\b", "Student's t over per-seed differences alone, where predictions do not give the value again"
    ),
    Symbol(
        "P(better)",
        r"P\(better\)",
        "probability that a seed of the row beats a seed of its parent on a person, ties half; 0.5 is no improvement",
    ),
    Symbol("s", r"\d\]? s +\|", "over the seeds' values alone: stored predictions do not give them person by person"),
    Symbol(
        "p",
        r"p \(Holm\)",
        "two-sided, by the interval's method, corrected over the rows of the column; R bootstrap draws give none below "
        "2 / (R + 1) before the correction. Where differences scatter over seeds far more than "
        "over people, few seeds make it too sure (benchmarks/bench_bootstrap.py)",
    ),
)


def legend(page: str) -> list[Symbol]:
    """The symbols that a Markdown page uses."""
    return [symbol for symbol in SYMBOLS if re.search(symbol.pattern, page)]


def heading(column: Column) -> str:
    """Title of a column with what is better."""
    arrow = f" {ARROWS[column.direction]}" if column.direction else ""
    return (column.title or column.metric) + (f" → {column.target:g}" if column.target is not None else arrow)


def number(cell: Cell, digits: int) -> str:
    """Mean ± standard error, without any mark."""
    error = "" if cell.error is None else f" ± {cell.error:.{digits}f}"
    return f"{cell.mean:.{digits}f}{error}"


def hole(block: BlockTable, experiment: str) -> str:
    """What stands in a cell without a value."""
    return UNDEFINED if block.runs.finished[experiment] else MISSING


def reference_texts(block: BlockTable) -> list[str]:
    """The mean face's value in each column, "" where it has none."""
    found = ((block.reference.get(column.metric), column.digits) for column in block.columns)
    return ["" if value is None else f"{value:.{digits}f}" for value, digits in found]


def verdict(block: BlockTable, experiment: str, column: Column) -> str:
    """Mark of a difference that holds after the correction, "" for one that does not."""
    difference = block.differences.get((experiment, column.metric))
    if difference is None or not difference.significant:
        return ""
    own = block.cells[experiment, column.metric].mean
    its = own - difference.value  # over the seeds that both have
    scores = [goodness(value, column.direction, column.target) for value in (own, its)]
    if scores[0] is None or scores[1] is None or scores[0] == scores[1]:
        return OTHER
    return BETTER if scores[0] > scores[1] else WORSE


def signed(difference: Difference, digits: int) -> str:
    """Signed difference with its interval where it has one."""
    text = f"{difference.value:+.{digits}f}"
    if difference.low is None or difference.high is None:
        return text
    return text + f" [{difference.low:+.{digits}f}, {difference.high:+.{digits}f}]"


def interval(difference: Difference, digits: int) -> str:
    """Signed difference with its interval; `t` marks a t interval over seeds."""
    return signed(difference, digits) + (" t" if difference.method == STUDENT else "")


def probability(improvement: Improvement | None) -> str:
    """Probability of improvement with its interval; `s` marks one over seeds alone."""
    if improvement is None:
        return UNDEFINED
    text = f"{improvement.value:.2f}"
    if improvement.low is not None and improvement.high is not None:
        text += f" [{improvement.low:.2f}, {improvement.high:.2f}]"
    return text + ("" if improvement.people else " s")


def p_value(p: float | None) -> str:
    """A p value with three decimals."""
    return UNDEFINED if p is None else "< 0.001" if p < 0.0005 else f"{p:.3f}"
