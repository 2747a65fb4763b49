"""Where one cell of a table comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from recface.errors import RecfaceError
from recface.results.cell_report import report
from recface.results.imported import read_specs
from recface.results.load import Entry, find_records
from recface.results.selection import select_block
from recface.results.spec import Block, Column, Row, TableSpec
from recface.results.table import build
from recface.versions import VERSIONS

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
