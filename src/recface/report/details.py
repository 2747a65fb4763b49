"""What the page tells about a cell or a run when it is opened: runs, configuration, values by seed, statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recface.results.explain import difference_lines, value_lines
from recface.results.markdown import verdict
from recface.results.records import Entry
from recface.results.selection import Changes, config_difference, value_text
from recface.results.spec import Column, Row
from recface.results.table import Cell, Table

TEXT_FROM = 12  # where `explain` begins the text behind a label
MOST_KEYS = 8
"""Config keys in a sentence; a row's cells list them all."""
Run = dict[str, Any]


def cell_details(tables: Iterable[Table], run_ids: Mapping[str, int]) -> dict[str, Any]:
    """Everything that opening a cell shows, by "table/block/row/metric".

    Args:
        tables: Filled tables.
        run_ids: Path of a record to its place in `run_details`.
    """
    found = {}
    for table in tables:
        for block in table.blocks:
            for row in table.spec.rows:
                for column in block.columns:
                    cell = block.cells.get((row.experiment, column.metric))
                    if cell is None:
                        continue
                    lines = value_lines(block, row.experiment, column)
                    if (difference := block.differences.get((row.experiment, column.metric))) is not None:
                        mark = verdict(block, row.experiment, row.parent, column)
                        lines += difference_lines(difference, mark, column)
                    parent = block.cells.get((row.parent or "", column.metric))
                    found["/".join((table.spec.name, block.block.name, row.experiment, column.metric))] = {
                        "title": f"{row.title or row.experiment}: {column.title or column.metric}",
                        "where": block.block.title or block.block.name,
                        "lines": [line for text in lines if (line := _parted(text))[0] != "by seed"],
                        "parent": table.spec.titles().get(row.parent or "", ""),
                        "seeds": _by_seed(cell, parent, column),
                        "changes": changed(table.changes.get(row.experiment)),
                        "runs": [run_ids[str(entry.path)] for entry in block.runs.finished[row.experiment].values()],
                    }
    return found


def _parted(line: str) -> list[str]:
    return [line[:TEXT_FROM].strip(), line[TEXT_FROM:].strip()]


def _by_seed(cell: Cell, parent: Cell | None, column: Column) -> list[list[str]]:
    digits, rows = column.digits + 1, []
    for seed, value in sorted(cell.per_seed.items()):
        other = None if parent is None else parent.per_seed.get(seed)
        last = ["–", "–"] if other is None else [f"{other:.{digits}f}", f"{value - other:+.{digits}f}"]
        rows.append([str(seed), f"{value:.{digits}f}", *last])
    return rows


def changed(changes: Changes | None) -> list[str] | None:
    """Each config key that differs, with the parent's value and the own one; None where there is no parent."""
    if changes is None:
        return None
    return [f"{key}: {value_text(old)} → {value_text(new)}" for key, (old, new) in changes.items()]


def run_name(entry: Entry) -> str:
    """Experiment, seed and hash of a run, by which a reader tells it from others."""
    record = entry.record
    return f"{record.experiment} seed {record.seed} ({record.hash})"


def run_details(entries: Sequence[Entry]) -> list[Run]:
    """What opening a run shows, in the order given."""
    return [_run(entry, _parent_of(entry, entries)) for entry in entries]


def _run(entry: Entry, parent: Entry | None) -> Run:
    record = entry.record
    lines = [
        ["state", record.state + (f": {record.reason}" if record.reason else "")],
        ["file", str(entry.path.parent if entry.path.name == "run.json" else entry.path)],
        ["command", " ".join(["recface run", *record.overrides])],
        ["commit", entry.commit],
        ["started", record.started],
        ["updated", record.updated],
        *([name.replace("_seconds", ""), f"{seconds:.4g} s"] for name, seconds in record.timings.items()),
    ]
    changes = None if parent is None else config_difference(parent.record.config, record.config)
    return {
        "title": run_name(entry),
        "lines": [line for line in lines if line[1]],
        "parent": "" if parent is None else run_name(parent),
        "changes": changed(changes),
    }


def _parent_of(entry: Entry, entries: Sequence[Entry]) -> Entry | None:
    """The run of the parent experiment with the same seed and data whose command line is the nearest."""
    own = entry.record
    wanted = own.parent, own.seed, own.data_manifest
    fitting = [e for e in entries if (e.record.experiment, e.record.seed, e.record.data_manifest) == wanted]
    return min(fitting, key=lambda e: len(set(e.record.overrides) ^ set(own.overrides)), default=None)


def run_columns(tables: Iterable[Table], entries: Sequence[Entry]) -> list[Column]:
    """Columns of the table of all runs: those of the tables that any run's benchmark has, each once."""
    known: dict[str, Column] = {}
    for table in tables:
        for column in table.spec.columns:
            known.setdefault(column.metric, column)
    return [c for c in known.values() if any(e.value("benchmark", c.metric) is not None for e in entries)]


def changes_sentence(row: Row, table: Table) -> str:
    """What a row asks: the keys in which it differs from its parent; "" for a row without one."""
    keys, titles = changed(table.changes.get(row.experiment)) or [], table.spec.titles()
    shown = keys[:MOST_KEYS] + ([f"and {more} further keys"] if (more := len(keys) - MOST_KEYS) > 0 else [])
    if not keys or row.parent is None:
        return ""
    return f"{titles[row.experiment]} against {titles[row.parent]} changes " + "; ".join(shown) + "."
