"""A table as Markdown, for people: values, differences with their statistics, seeds, changed keys, provenance.

How values, differences and marks are written in a cell, and the legend of the marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from recface.results.differences import STUDENT, Difference, Improvement
from recface.results.selection import value_text
from recface.results.significance import LEVEL, goodness
from recface.results.spec import Column, Row
from recface.results.table import BlockTable, Cell, Table

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


def to_markdown(table: Table) -> str:
    """Write the whole table.

    Args:
        table: Filled table.

    Returns:
        Markdown text; only its line that begins with "Provenance:" changes when the same results are made again.
    """
    parts = []
    for block in table.blocks:
        parts.append(f"## {block.block.title or block.block.name} (`{block.block.name}`)")
        parts.append(_values(table.spec.rows, block) if block.cells else no_runs(block))
        parts += _comparisons(table.spec.rows, block)
        parts += _seeds(table.spec.rows, block)
        parts += _protocols(block)
        parts += [f"- {note}" for note in block.runs.notes]
    parts += _changes(table)
    symbols = [f"- {symbol.mark}: {symbol.meaning}" for symbol in legend("\n\n".join(parts))]
    head = [f"# {table.spec.title}"]
    head += [f"Selection: {table.spec.selection}."] if table.spec.selection else []
    head += ["\n".join(symbols)] if symbols else []
    return "\n\n".join([*head, *parts, f"Provenance: {table.provenance}"]) + "\n"


def no_runs(block: BlockTable) -> str:
    """What stands in place of a block without any value."""
    return "No finished runs" + (f": `{block.block.command}`" if block.block.command else ".")


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: first column to the left, the others to the right, padded so that the source can be read."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]

    def text(line: Sequence[str]) -> str:
        cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        return "| " + " | ".join(cells) + " |"

    rule = [("-" * w) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([text(lines[0]), "|" + "|".join(f" {r} " for r in rule) + "|", *map(text, lines[1:])])


def _values(rows: list[Row], block: BlockTable) -> str:
    lines = []
    for row in rows:
        found = block.runs.finished[row.experiment]
        outdated = any((row.experiment, seed) in block.runs.outdated for seed in found)
        line = [(row.title or row.experiment) + (" (outdated)" if outdated else ""), str(len(found))]
        for column in block.columns:
            cell = block.cells.get((row.experiment, column.metric))
            if cell is None:
                line.append(hole(block, row.experiment))
                continue
            text = number(cell, column.digits)
            mark = verdict(block, row.experiment, column)
            line.append((f"**{text}**" if cell.best else text) + (f" {mark}" if mark else ""))
        lines.append(line)
    if block.reference:
        lines.append(["*mean face, for reference*", "", *reference_texts(block)])
    return grid(["", "seeds", *map(heading, block.columns)], lines)


def _comparisons(rows: list[Row], block: BlockTable) -> list[str]:
    """One line a difference: many columns side by side could not be read."""
    titles = {row.experiment: row.title or row.experiment for row in rows}
    lines = []
    for row in rows:
        for column in block.columns:
            found = block.differences.get((row.experiment, column.metric))
            if found is None or row.parent is None:
                continue
            mark = verdict(block, row.experiment, column)
            lines.append(
                [
                    f"{titles[row.experiment]} − {titles[row.parent]}",
                    heading(column),
                    interval(found, column.digits + 1) + (f" {mark}" if mark else ""),
                    probability(found.improvement),
                    p_value(found.holm),
                ]
            )
    header = ["", "column", "difference [95%]", "P(better) [95%]", "p (Holm)"]
    return ["### Against the parent row", grid(header, lines)] if lines else []


def _seeds(rows: list[Row], block: BlockTable) -> list[str]:
    """Per-seed values, while they are few enough to be read."""
    lines = []
    for row in rows:
        seeds = sorted(block.runs.finished[row.experiment])
        if not 1 < len(seeds) <= 5:
            continue
        line = [row.title or row.experiment, " / ".join(map(str, seeds))]
        for column in block.columns:
            cell = block.cells.get((row.experiment, column.metric))
            values = [cell.per_seed.get(seed) if cell else None for seed in seeds]
            line.append(" / ".join(UNDEFINED if v is None else f"{v:.{column.digits}f}" for v in values))
        lines.append(line)
    return ["### Per seed", grid(["", "seeds", *map(heading, block.columns)], lines)] if lines else []


def _protocols(block: BlockTable) -> list[str]:
    named = [f"{metric} `{name}`" for metric, name in block.protocols.items() if name]
    return [f"Protocols: {', '.join(named)}."] if named else []


def _changes(table: Table) -> list[str]:
    lines = []
    for row in table.spec.rows:
        if row.experiment not in table.changes:
            continue
        keys = [f"`{k}`: {value_text(a)} → {value_text(b)}" for k, (a, b) in table.changes[row.experiment].items()]
        lines.append(f"- {row.title or row.experiment} against {row.parent}: {', '.join(keys) or 'nothing'}")
    return ["## What each row changes", "\n".join(lines)] if lines else []
