"""One cell of a table in words: its value, the runs that made it, its parent, and its statistics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from recface.errors import RecfaceError
from recface.results.build import CURRENT
from recface.results.markdown import BETTER, OTHER, UNDEFINED, WORSE, number, p_value, signed, verdict
from recface.results.records import Entry, find_records
from recface.results.selection import value_text
from recface.results.spec import Column, Row, TableSpec, read_specs
from recface.results.statistics import BOTH, PEOPLE, SEEDS
from recface.results.table import BlockTable, Difference, Table, build

_METHODS = {
    BOTH: "Obuchowski-Rockette over seeds and test people",
    PEOPLE: "over test people, of one seed",
    SEEDS: "Student's t over per-seed differences",
}
_VERDICTS = {BETTER: "better than the parent", WORSE: "worse than the parent", OTHER: "differs from the parent"}


Named = TypeVar("Named", TableSpec, Row, Column)


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
        row: Experiment of the row.
        column: Metric of the column.
        table: Name; by default the first table that has both.
        block: Name; by default the first block in which the cell has a value.

    Raises:
        RecfaceError: No such table, row, column or block; the line lists the known ones.
    """
    entries = find_records(runs, Path(results) / "records")
    specs = read_specs(configs, entries)
    spec = _table(specs, row, column, table)
    filled = {item.name: _column(item, column, entries) for item in specs if _has(item, row, column)}
    found = _block(filled[spec.name], row, column, block)
    elsewhere = [
        f"also in     --table {name} --block {part.block.name}"
        for name, item in filled.items()
        for part in item.blocks
        if (row, column) in part.cells and (name, part.block.name) != (spec.name, found.block.name)
    ]
    own = next(item for item in spec.rows if item.experiment == row)
    described = _cell_lines(filled[spec.name], found, own, next(item for item in spec.columns if item.metric == column))
    return "\n".join([*described, *elsewhere])


def _column(spec: TableSpec, column: str, entries: Sequence[Entry]) -> Table:
    """A table of one column, and of those it is read off; Holm's correction is by column, so the statistics agree."""
    wanted = {column}.union(*(_sources(item) for item in spec.columns if item.metric == column))
    columns = [item for item in spec.columns if item.metric in wanted]
    blocks = [item for item in spec.blocks if item.columns is None or column in item.columns]
    return build(spec.model_copy(update={"columns": columns, "blocks": blocks}), entries, CURRENT)


def _sources(column: Column) -> set[str]:
    return set() if column.equal is None else {column.equal.value, column.equal.metric}


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


def _block(table: Table, row: str, column: str, block: str | None) -> BlockTable:
    names = {item.block.name: item for item in table.blocks}
    if block is not None:
        if block not in names:
            where = f"blocks of table {table.spec.name} with column {column}"
            raise RecfaceError(f"unknown block {block}; {where} are {', '.join(names)}")
        return names[block]
    if not names:
        raise RecfaceError(f"no block of table {table.spec.name} shows column {column}")
    return next((item for item in table.blocks if (row, column) in item.cells), table.blocks[0])


def _pick(items: Sequence[Named], name: str, kind: str, where: str, attribute: str) -> Named:
    known = {getattr(item, attribute): item for item in items}
    if name not in known:
        raise RecfaceError(f"unknown {kind} {name}; {kind}s{where} are {', '.join(known)}")
    return known[name]


def _cell_lines(table: Table, block: BlockTable, row: Row, column: Column) -> list[str]:
    """Everything about one cell of a table."""
    return [
        f"{row.title or row.experiment} ({row.experiment}), {column.title or column.metric} ({column.metric})",
        f"table {table.spec.name}, block {block.block.name}" + (f": {block.block.title}" if block.block.title else ""),
        "",
        *value_lines(block, row.experiment, column),
        *_run_lines(block, row.experiment, column),
        "",
        *_parent_lines(table, block, row, column),
        *(f"note        {note}" for note in block.runs.notes),
    ]


def value_lines(block: BlockTable, row: str, column: Column) -> list[str]:
    """The value of a cell and its protocol, each line's text from the twelfth character on."""
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
        cell = block.cells.get((row, column.metric))
        value = None if cell is None else cell.per_seed.get(seed)
        text = UNDEFINED if value is None else f"{value:.{column.digits + 1}f}"
        old = ", outdated" if (row, seed) in block.runs.outdated else ""
        path = entry.path.parent if entry.path.name == "run.json" else entry.path
        lines.append(
            f"seed {seed:<6} {text}  {path}, hash {record.hash}, commit {entry.commit}, "
            f"{record.updated or 'no date'}{old}"
        )
    return lines


def _parent_lines(table: Table, block: BlockTable, row: Row, column: Column) -> list[str]:
    if row.parent is None:
        return ["parent      none: other rows are compared with this one"]
    cell = block.cells.get((row.parent, column.metric))
    lines = [
        f"parent      {row.parent}, {number(cell, column.digits) if cell else 'without a value'}",
        *_run_lines(block, row.parent, column),
    ]
    if row.experiment in table.changes:
        changed = table.changes[row.experiment].items()
        changes = [f"{key}: {value_text(old)} -> {value_text(new)}" for key, (old, new) in changed]
        lines += [f"config      {change}" for change in changes or ["nothing differs"]]
    difference = block.differences.get((row.experiment, column.metric))
    if difference is None:
        return [*lines, "difference  none: the two rows share no seed with a value"]
    return lines + difference_lines(difference, verdict(block, row.experiment, row.parent, column), column)


def difference_lines(difference: Difference, mark: str, column: Column) -> list[str]:
    """The difference to the parent row and its statistics, in the form of `value_lines`."""
    test, number_text = difference.test, signed(column)
    text = f"difference  {number_text(difference.value)}"
    if test.low is not None and test.high is not None:
        text += f", 95% interval {number_text(test.low)} to {number_text(test.high)} ({_METHODS[test.method]})"
    seeds = ", ".join(f"{seed}: {number_text(value)}" for seed, value in difference.per_seed.items())
    lines = [text, f"by seed     {seeds}"]
    if difference.better is not None:
        over = f"pairs of seeds and {difference.people} people" if difference.people else "pairs of seeds alone"
        lines.append(f"P(better)   {difference.better:.3f} (over {over}, ties half)")
    if test.p is not None:
        found = _VERDICTS.get(mark, "no difference shown")
        lines.append(
            f"p           {p_value(test.p)}, after Holm's correction over the {difference.family} rows "
            f"compared in this column {p_value(difference.holm)}: {found}"
        )
    return lines
