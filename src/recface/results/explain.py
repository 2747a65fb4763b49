"""Where one cell of a table comes from.

One cell of a table in words: its value, runs, parent, and statistics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from recface.errors import RecfaceError
from recface.results.build import read_specs
from recface.results.differences import BOOTSTRAP, STUDENT, Difference
from recface.results.markdown import BETTER, OTHER, UNDEFINED, WORSE, number, p_value, verdict
from recface.results.records import Entry, find_records
from recface.results.selection import select_block, value_text
from recface.results.spec import Block, Column, Row, TableSpec
from recface.results.table import BlockTable, Table, build
from recface.versions import VERSIONS

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


Named = TypeVar("Named", TableSpec, Block, Row, Column)


def explain(
    configs: str | Path,
    runs: str | Path,
    results: str | Path,
    row: str,
    column: str,
    table: str | None = None,
    block: str | None = None,
) -> str:
    """Tell which runs made a cell, and what its statistics are.

    Args:
        configs: Folder of table YAMLs.
        runs: Folder of runs.
        results: Folder of results, whose records/ holds the archived records.
        row: Name of the row's experiment.
        column: Name of the column's metric.
        table: Name of the table; by default the first that has both.
        block: Name of the block; by default the first in which the cell has a value.

    Returns:
        Lines of text.

    Raises:
        RecfaceError: No such table, row, column or block; the line lists the known ones.
    """
    entries = find_records(runs, Path(results) / "records")
    specs = list(read_specs(configs, entries).values())
    if not specs:
        raise RecfaceError(f"{configs}: no table YAML here")
    spec = _table(specs, row, column, table)
    chosen = _block(spec, entries, row, column, block)
    columns = [item for item in spec.columns if item.metric == column]
    # Statistics of one column need that column alone; the draws are the same, so are the numbers.
    filled = build(replace(spec, blocks=[chosen], columns=columns), entries, VERSIONS)
    elsewhere = [
        f"--table {other.name} --block {part.name}"
        for other in specs
        if _has(other, row, column)
        for part in other.blocks
        if (other.name, part.name) != (spec.name, chosen.name) and _value(other, part, entries, row, column)
    ]
    return "\n".join(report(filled, row, columns[0], elsewhere))


def _has(spec: TableSpec, row: str, column: str) -> bool:
    return row in [item.experiment for item in spec.rows] and column in [item.metric for item in spec.columns]


def _table(specs: Sequence[TableSpec], row: str, column: str, table: str | None) -> TableSpec:
    if table is not None:
        specs = [_pick(specs, table, "table", "", "name")]
    fitting = [spec for spec in specs if _has(spec, row, column)]
    if fitting:
        return fitting[0]
    where = f" of table {specs[0].name}" if table is not None else ""
    with_row = [spec for spec in specs if row in [item.experiment for item in spec.rows]]
    if not with_row:
        _pick([item for spec in specs for item in spec.rows], row, "row", where, "experiment")
    where = where or f" beside row {row}"
    _pick([item for spec in with_row for item in spec.columns], column, "column", where, "metric")
    raise AssertionError("a row and a column that some table has")


def _block(spec: TableSpec, entries: Sequence[Entry], row: str, column: str, block: str | None) -> Block:
    showing = [item for item in spec.blocks if item.columns is None or column in item.columns]
    if block is not None:
        _pick(spec.blocks, block, "block", f" of table {spec.name}", "name")
        return _pick(showing, block, "block", f" with column {column} in table {spec.name}", "name")
    with_value = [item for item in showing if _value(spec, item, entries, row, column)]
    if not showing:
        raise RecfaceError(f"no block of table {spec.name} shows column {column}")
    return (with_value or showing)[0]


def _value(spec: TableSpec, block: Block, entries: Iterable[Entry], row: str, column: str) -> bool:
    """Whether a cell has a value."""
    if block.columns is not None and column not in block.columns:
        return False
    found = select_block(entries, block, [row]).finished[row]
    return any(entry.value(block.metrics, column) is not None for entry in found.values())


def _pick(items: Sequence[Named], name: str, kind: str, where: str, attribute: str) -> Named:
    known = {getattr(item, attribute): item for item in items}
    if name not in known:
        raise RecfaceError(f"unknown {kind} {name}; {kind}s{where} are {', '.join(known)}")
    return known[name]
