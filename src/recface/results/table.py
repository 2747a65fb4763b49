"""A table as data: cells, differences and provenance, before anything is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from recface.errors import RecfaceError
from recface.results.cache import Cache
from recface.results.derived import derive
from recface.results.differences import Comparer, Difference
from recface.results.records import Entry
from recface.results.selection import BlockRuns, Changes, changes_of_rows, select_block
from recface.results.significance import goodness, holm
from recface.results.spec import Block, Column, TableSpec
from recface.results.statistics import mean_and_error


@dataclass
class Cell:
    """One metric of one row.

    Attributes:
        mean: Over seeds.
        error: Standard error over seeds, None for one seed.
        per_seed: Seed to value.
        best: Whether no other row of the block is better.
    """

    mean: float
    error: float | None
    per_seed: dict[int, float]
    best: bool = False


@dataclass
class BlockTable:
    """One section.

    Attributes:
        block: What was asked for.
        columns: Those that have any value here.
        runs: The runs used.
        cells: (experiment, metric) to cell; absent where there is no value.
        differences: (experiment, metric) to the difference to the row's parent.
        reference: Metric to the mean face's value.
        protocols: Metric to protocol id.
    """

    block: Block
    columns: list[Column]
    runs: BlockRuns
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    differences: dict[tuple[str, str], Difference] = field(default_factory=dict)
    reference: dict[str, float] = field(default_factory=dict)
    protocols: dict[str, str] = field(default_factory=dict)


@dataclass
class Table:
    """A whole table.

    Attributes:
        spec: What was asked for.
        blocks: Sections.
        changes: Experiment to dotted key to (parent's value, own value).
        provenance: One line: commits, newest record, number and hash of the records used.
    """

    spec: TableSpec
    blocks: list[BlockTable]
    changes: dict[str, Changes]
    provenance: str


def build(
    spec: TableSpec,
    entries: Iterable[Entry],
    current: Mapping[str, Any] | None = None,
    cache: Cache | None = None,
) -> Table:
    """Fill a table from records.

    Args:
        spec: The table.
        entries: All records there are.
        current: Version keys of the code, to mark outdated records by.
        cache: Of what was computed from predictions, to share with other tables and builds.

    Returns:
        The table; rows without runs have no cells.

    Raises:
        RecfaceError: Two records of one column name different protocols.
    """
    cache = Cache() if cache is None else cache
    entries = derive(entries, spec.blocks, cache)
    experiments = [row.experiment for row in spec.rows]
    blocks = [_block(spec, block, select_block(entries, block, experiments, current), cache) for block in spec.blocks]
    used = {str(entry.path): entry for table in blocks for entry in table.runs.entries()}
    return Table(
        spec,
        blocks,
        changes_of_rows(spec.rows, [table.runs for table in blocks]),
        _provenance([used[key] for key in sorted(used)]),
    )


def _block(spec: TableSpec, block: Block, runs: BlockRuns, cache: Cache) -> BlockTable:
    wanted = [column for column in spec.columns if block.columns is None or column.metric in block.columns]
    values = {
        (experiment, column.metric): {
            seed: value
            for seed, entry in sorted(found.items())
            if (value := entry.value(block.metrics, column.metric)) is not None
        }
        for experiment, found in runs.finished.items()
        for column in wanted
    }
    present = {metric for (_, metric), per_seed in values.items() if per_seed}
    columns = [column for column in wanted if column.metric in present] or wanted
    table = BlockTable(block, columns, runs)
    for (experiment, metric), per_seed in values.items():
        if per_seed:
            table.cells[experiment, metric] = Cell(*mean_and_error(list(per_seed.values())), per_seed)
    for column in columns:
        table.protocols[column.metric] = _protocol(spec, block, runs, column.metric)
        _mark_best(table, column)
        _add_reference(table, column)
    comparer = Comparer(block, spec.statistics, cache)
    for column in columns:
        found = {
            row.experiment: difference
            for row in spec.rows
            if row.parent is not None
            and (difference := comparer.compare(runs.finished[row.experiment], runs.finished[row.parent], column))
        }
        table.differences |= {(name, column.metric): item for name, item in _correct(found).items()}
    return table


def _correct(differences: dict[str, Difference]) -> dict[str, Difference]:
    """Holm's correction over the rows of one column in one block."""
    family = {name: item.p for name, item in differences.items() if item.p is not None}
    corrected = dict(zip(family, holm(list(family.values())), strict=True))
    return {name: replace(item, holm=corrected.get(name), family=len(family)) for name, item in differences.items()}


def _protocol(spec: TableSpec, block: Block, runs: BlockRuns, metric: str) -> str:
    """The one protocol of a column; two never share a column."""
    seen: dict[str, str] = {}
    for entry in runs.entries():
        record = entry.record
        if entry.value(block.metrics, metric) is not None:
            seen.setdefault(record.protocol(block.metrics, metric), f"{record.experiment} seed {record.seed}")
    if len(seen) > 1:
        which = ", ".join(f"{name or 'none'} ({who})" for name, who in sorted(seen.items()))
        raise RecfaceError(
            f"table {spec.name}, block {block.name}: column {metric} mixes protocols {which}; "
            "run the outdated experiments again"
        )
    return next(iter(seen), "")


def _mark_best(table: BlockTable, column: Column) -> None:
    cells = [cell for (_, metric), cell in table.cells.items() if metric == column.metric]
    scores = [goodness(cell.mean, column.direction, column.target) for cell in cells]
    if None in scores:
        return
    for cell, score in zip(cells, scores, strict=True):
        cell.best = len(cells) > 1 and score == max(scores)


def _add_reference(table: BlockTable, column: Column) -> None:
    if column.reference is None:
        return
    found = [entry.value(table.block.metrics, column.reference) for entry in table.runs.entries()]
    values = [value for value in found if value is not None]
    if values:
        table.reference[column.metric] = mean_and_error(values)[0]


def _provenance(entries: list[Entry]) -> str:
    """One line that changes only when the records do."""
    if not entries:
        return "no records"
    records = [entry.record for entry in entries]
    content = [[r.experiment, r.hash, r.seed, r.metrics, r.protocols, r.versions] for r in records]
    content.sort(key=lambda item: item[:3])
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    commits = {entry.commit for entry in entries}
    newest = max(record.updated for record in records)
    return f"{len(records)} records, hash {digest}, newest {newest}, commit {', '.join(sorted(commits))}" + (
        " (+ = with uncommitted changes)" if any(name.endswith("+") for name in commits) else ""
    )
