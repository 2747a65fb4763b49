"""One cell of a table in words: its value, runs, parent, and statistics."""

from __future__ import annotations

import re
from collections.abc import Sequence

from recface.results.cells import BETTER, OTHER, UNDEFINED, WORSE, number, p_value, verdict
from recface.results.changes import value_text
from recface.results.differences import BOOTSTRAP, STUDENT, Difference
from recface.results.spec import Column
from recface.results.table import BlockTable, Table

_METHODS = {
    BOOTSTRAP: "paired bootstrap over seeds and identities",
    STUDENT: "Student's t over per-seed differences",
}
_VERDICTS = {BETTER: "better than the parent", WORSE: "worse than the parent", OTHER: "differs from the parent"}


def report(table: Table, row: str, column: Column, elsewhere: Sequence[str]) -> list[str]:
    """Tell everything about one cell.

    Args:
        table: Filled table of one block and the column.
        row: Name of the row's experiment.
        column: The column.
        elsewhere: Other places where the row has a value in the column.

    Returns:
        Lines of text.
    """
    (block,) = table.blocks
    titles = {item.experiment: item for item in table.spec.rows}
    parent = titles[row].parent
    lines = [
        f"{titles[row].title or row} ({row}), {column.title or column.metric} ({column.metric})",
        f"table {table.spec.name}, block {block.block.name}" + (f": {block.block.title}" if block.block.title else ""),
        "",
        *_value_lines(block, row, column),
        *_run_lines(block, row, column),
        "",
        *_parent_lines(table, block, row, parent, column),
    ]
    lines += [f"note        {note}" for note in block.runs.notes]
    return lines + [f"also in     {place}" for place in elsewhere]


def _value_lines(block: BlockTable, row: str, column: Column) -> list[str]:
    cell = block.cells.get((row, column.metric))
    if cell is None:
        missing = not block.runs.finished[row]
        command = f": {block.block.command}" if missing and block.block.command else ""
        return ["value       " + (f"no finished run{command}" if missing else "the runs give no such value")]
    count = len(cell.per_seed)
    error = f" (mean ± standard error over {count} seeds)" if count > 1 else " (one seed)"
    best = ", the best row of the column" if cell.best else ""
    return [f"value       {number(cell, column.digits)}{error}{best}", f"protocol    {_protocol(block, column)}"]


def _protocol(block: BlockTable, column: Column) -> str:
    unit = re.search(r"\(([^()]+)\)$", column.title)
    better = f"the nearest to {column.target:g} is better" if column.target is not None else ""
    better = better or (f"{column.direction} is better" if column.direction else "neither direction is better")
    name = block.protocols.get(column.metric) or "none named"
    return f"{name}, {'unit ' + unit[1] if unit else 'no unit'}, {better}"


def _run_lines(block: BlockTable, row: str, column: Column) -> list[str]:
    lines = []
    for seed, entry in sorted(block.runs.finished[row].items()):
        record = entry.record
        value = entry.value(block.block.metrics, column.metric)
        text = UNDEFINED if value is None else f"{value:.{column.digits + 1}f}"
        old = ", outdated" if (row, seed) in block.runs.outdated else ""
        path = entry.path.parent if entry.path.name == "run.json" else entry.path
        lines.append(
            f"seed {seed:<6} {text}  {path}, hash {record.hash}, commit {entry.commit}, "
            f"{record.updated or 'no date'}{old}"
        )
    return lines


def _parent_lines(table: Table, block: BlockTable, row: str, parent: str | None, column: Column) -> list[str]:
    if parent is None:
        return ["parent      none: other rows are compared to this one"]
    cell = block.cells.get((parent, column.metric))
    lines = [
        f"parent      {parent}, {number(cell, column.digits) if cell else 'without a value'}",
        *_run_lines(block, parent, column),
    ]
    if row in table.changes:
        changes = [f"{key}: {value_text(old)} -> {value_text(new)}" for key, (old, new) in table.changes[row].items()]
        lines += [f"config      {change}" for change in changes or ["nothing differs"]]
    difference = block.differences.get((row, column.metric))
    if difference is None:
        return [*lines, "difference  none: the two rows share no seed with a value"]
    return lines + _difference_lines(difference, verdict(block, row, column), column)


def _difference_lines(difference: Difference, mark: str, column: Column) -> list[str]:
    digits = column.digits + 1
    text = f"difference  {difference.value:+.{digits}f}"
    if difference.low is not None and difference.high is not None:
        text += f", 95% interval {difference.low:+.{digits}f} to {difference.high:+.{digits}f}"
        text += f" ({_METHODS[difference.method]})"
    lines = [text]
    seeds = ", ".join(f"{seed}: {value:+.{digits}f}" for seed, value in difference.per_seed.items())
    lines.append(f"by seed     {seeds}")
    better = difference.improvement
    if better is not None:
        over = f"pairs of seeds and {better.people} people" if better.people else "pairs of seeds alone"
        span = "" if better.low is None else f", 95% interval {better.low:.3f} to {better.high:.3f}"
        lines.append(f"P(better)   {better.value:.3f}{span} (over {over}, ties half)")
    if difference.p is not None:
        found = _VERDICTS.get(mark, "no difference shown")
        lines.append(
            f"p           {p_value(difference.p)}, after Holm's correction over the {difference.family} rows "
            f"compared in this column {p_value(difference.holm)}: {found}"
        )
    return lines
