"""A table as data: cells, differences with their statistics, and provenance, before anything is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recface.errors import RecfaceError
from recface.results.records import Entry
from recface.results.selection import BlockRuns, Changes, changes_of_rows, same_data, select_runs
from recface.results.spec import Block, Column, Equal, TableSpec
from recface.results.statistics import (
    LEVEL,
    Result,
    best_reached,
    compare,
    goodness,
    holm,
    mean_and_error,
    probability_of_improvement,
)

TIED = 2.0**-8
"""People's values that differ by less than this share of the largest influence are ties: predictions and influences are
archived as float16."""


@dataclass
class Cell:
    """One metric of one row."""

    mean: float  # over seeds
    error: float | None  # standard error over seeds, None for one seed
    per_seed: dict[int, float]  # seed to value
    best: bool = False  # whether no other row of the block is better, as far as digits are shown


@dataclass(frozen=True)
class Difference:
    """Row minus parent."""

    value: float  # mean over the seeds both have, from the records
    per_seed: dict[int, float]  # seed to difference
    test: Result  # interval and p value, and by what method
    better: float | None = None
    """Probability that a seed of the row beats a seed of the parent on a person; None where neither direction is
    better, or with no more than one pair of values."""
    people: int = 0  # people over which `better` is taken; 0 where only the seeds' values are compared
    holm: float | None = None  # p value corrected over the rows of the column; see `statistics.holm`
    family: int = 0  # number of differences that it was corrected over
    page: float | None = None  # p value corrected over the whole table; by Benjamini and Hochberg's procedure

    @property
    def significant(self) -> bool:
        """Whether it holds after the correction over its column."""
        return self.holm is not None and self.holm < LEVEL

    @property
    def discovery(self) -> bool:
        """Whether it holds after the correction over the whole table, too."""
        return self.significant and self.page is not None and self.page < LEVEL


@dataclass
class BlockTable:
    """One section."""

    block: Block  # what was asked for
    columns: list[Column]  # those that have any value here
    runs: BlockRuns  # the runs used
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    """(experiment, metric) to cell; absent where there is no value."""
    differences: dict[tuple[str, str], Difference] = field(default_factory=dict)
    """(experiment, metric) to the difference to the row's parent."""
    reference: dict[str, float] = field(default_factory=dict)  # metric to the mean face's value
    protocols: dict[str, str] = field(default_factory=dict)  # metric to protocol id


@dataclass
class Table:
    """A whole table."""

    spec: TableSpec  # what was asked for
    blocks: list[BlockTable]  # sections
    changes: dict[str, Changes]  # experiment to dotted key to (parent's value, own value)
    provenance: str  # one line: commits, newest record, number and hash of the records used
    agreement: Table | None = None  # the table whose marks this one's are held against


def build(spec: TableSpec, entries: Iterable[Entry], current: Mapping[str, Any] | None = None) -> Table:
    """Fill a table from all records; rows without runs have no cells.

    `current` are the version keys of the code, to mark outdated records by.

    Raises:
        RecfaceError: Two records of one column name different protocols.
    """
    blocks = [_cells(spec, block, runs) for block, runs in select_runs(spec, entries, current)]
    for table in blocks:
        for column in spec.columns:
            if column.equal is not None and table.block.curve:
                table.cells |= _equal_cells(spec, blocks, table, column, column.equal)
        _complete(spec, table)
    _correct_page(blocks)
    changes = {} if spec.experiment else changes_of_rows(spec.rows, [table.runs for table in blocks])
    return Table(spec, blocks, changes, _provenance([entry for table in blocks for entry in table.runs.entries()]))


def _cells(spec: TableSpec, block: Block, runs: BlockRuns) -> BlockTable:
    """A block with the cells that records give, and all of its columns."""
    wanted = [column for column in spec.columns if block.columns is None or column.metric in block.columns]
    table = BlockTable(block, wanted, runs)
    for experiment in runs.finished:
        for column in wanted:
            if values := per_seed(table, experiment, column.metric):
                table.cells[experiment, column.metric] = Cell(*mean_and_error(list(values.values())), values)
    return table


def per_seed(table: BlockTable, experiment: str, metric: str) -> dict[int, float]:
    """Seed to recorded value, of the seeds that have one."""
    found = sorted(table.runs.finished[experiment].items())
    values = {seed: entry.value(table.block.metrics, metric) for seed, entry in found}
    return {seed: value for seed, value in values.items() if value is not None}


def row_curve(
    blocks: Sequence[BlockTable], name: str, experiment: str, metrics: Sequence[str]
) -> tuple[list[str], dict[int, np.ndarray]]:
    """A row's curve over the blocks of one name, by the seeds that have all of its points.

    A configuration that several blocks hold, such as that of a row without the weight, is one point.

    Returns:
        (W,) names of the points; and seed to (M, W) values of the M metrics.
    """
    points: dict[str, tuple[str, list[dict[int, float]]]] = {}
    for table in blocks:
        if table.block.curve == name and table.runs.finished[experiment]:
            digest = next(iter(table.runs.finished[experiment].values())).record.hash
            points.setdefault(digest, (table.block.point, [per_seed(table, experiment, key) for key in metrics]))
    found = [values for _, values in points.values()]
    seeds = sorted(set.intersection(*(set(values) for point in found for values in point))) if found else []
    return [label for label, _ in points.values()], {
        seed: np.array([[values[seed] for values in point] for point in found]).T for seed in seeds
    }


def _equal_cells(
    spec: TableSpec, blocks: Sequence[BlockTable], table: BlockTable, column: Column, equal: Equal
) -> dict[tuple[str, str], Cell]:
    """Cells of a column whose values are read off the rows' curves, at the level of one row in this block."""
    directions = {other.metric: other.direction for other in spec.columns}
    first, second = (1.0 if directions[key] == "higher" else -1.0 for key in (equal.metric, equal.value))
    levels = per_seed(table, equal.row, equal.metric)
    cells = {}
    for experiment, runs in table.runs.finished.items():
        curves = row_curve(blocks, table.block.curve, experiment, (equal.metric, equal.value))[1] if runs else {}
        values = {}
        for seed in sorted(set(curves) & set(levels)):
            held, read = curves[seed]
            best = best_reached(first * held, second * read, first * levels[seed])
            if best is not None:
                values[seed] = second * best
        if values:
            cells[experiment, column.metric] = Cell(*mean_and_error(list(values.values())), values)
    return cells


def _complete(spec: TableSpec, table: BlockTable) -> None:
    """Keep the columns that have any value, and add what follows from the cells."""
    present = {metric for _, metric in table.cells}
    table.columns = [column for column in table.columns if column.metric in present] or table.columns
    for column in table.columns:
        table.protocols[column.metric] = _protocol(spec, table, column.metric)
        _mark_best(table, column)
        _add_reference(table, column)
        differences = {
            row.experiment: difference
            for row in spec.rows
            if row.parent and (difference := _difference(table, row.experiment, row.parent, column))
        }
        table.differences |= {(name, column.metric): item for name, item in _correct(differences).items()}


def _difference(table: BlockTable, row: str, parent: str, column: Column) -> Difference | None:
    """Difference in one metric over the seeds both rows have, not yet corrected; None where they share none."""
    key = column.metric
    own, its = table.cells.get((row, key)), table.cells.get((parent, key))
    seeds = sorted(set(own.per_seed) & set(its.per_seed)) if own and its else []
    if not seeds or own is None or its is None:
        return None
    first, second = (np.array([cell.per_seed[seed] for seed in seeds]) for cell in (own, its))
    sides = [[table.runs.finished[name][seed] for seed in seeds] for name in (row, parent)]
    influences = _influences(sides, table.block.metrics, key)
    # In % of the parent's value where the column asks for it; the influence on a ratio follows by the quotient rule.
    scale = 100 / second if column.relative else np.ones(len(seeds))
    ratio = first / second if column.relative else np.ones(len(seeds))
    deltas = (first - second) * scale
    on_delta, rounding, first, second = None, 0.0, first[:, None], second[:, None]
    if influences is not None:
        on_delta = (influences[0] - influences[1] * ratio[:, None]) * scale[:, None]
        rounding = TIED * float(np.abs(influences).max())
        # A person's value: exact for means over people, which most metrics are; linear for the others.
        first, second = first + influences[0], second + influences[1]
    good, other = (goodness(values, column.direction, column.target) for values in (first, second))
    better = None
    if good is not None and other is not None and good.size > 1:
        better = probability_of_improvement(good, other, rounding)
    return Difference(
        float(deltas.mean()),
        dict(zip(seeds, deltas.tolist(), strict=True)),
        compare(deltas.tolist(), on_delta),
        better,
        0 if influences is None else influences.shape[2],
    )


def _influences(sides: Sequence[Sequence[Entry]], block: str, metric: str) -> np.ndarray | None:
    """(2, S, P) influences of both rows; None unless all runs stored them, of the same people in the same data."""
    entries = [entry for side in sides for entry in side]
    found = [entry.influence(block, metric) for entry in entries]
    stored = [influence for influence in found if influence is not None]
    if len(stored) < len(found) or not same_data(entries, block):
        return None
    people = stored[0][1]
    if any(not np.array_equal(people, other) for _, other in stored):
        return None
    return np.stack([influence for influence, _ in stored]).astype(np.float64).reshape(2, len(sides[0]), len(people))


def _correct(differences: dict[str, Difference]) -> dict[str, Difference]:
    """Holm's correction over the rows of one column in one block."""
    family = {name: item.test.p for name, item in differences.items() if item.test.p is not None}
    corrected = dict(zip(family, holm(list(family.values())), strict=True))
    return {name: replace(item, holm=corrected.get(name), family=len(family)) for name, item in differences.items()}


def _correct_page(blocks: Iterable[BlockTable]) -> None:
    """Benjamini and Hochberg's correction over all differences of a table, in place."""
    tested = [
        (block.differences, key, difference, difference.test.p)
        for block in blocks
        for key, difference in block.differences.items()
        if difference.test.p is not None
    ]
    if not tested:
        return
    from scipy.stats import false_discovery_control  # takes half a second to import

    corrected = false_discovery_control([p for *_, p in tested]).tolist()
    for (differences, key, difference, _), p in zip(tested, corrected, strict=True):
        differences[key] = replace(difference, page=p)


def _protocol(spec: TableSpec, table: BlockTable, metric: str) -> str:
    """The one protocol of a column; two never share a column."""
    seen: dict[str, str] = {}
    for (experiment, name), cell in table.cells.items():
        for seed in cell.per_seed if name == metric else ():
            protocol = table.runs.finished[experiment][seed].protocol(table.block.metrics, metric)
            seen.setdefault(protocol, f"{experiment} seed {seed}")
    if len(seen) > 1:
        which = ", ".join(f"{name or 'none'} ({who})" for name, who in sorted(seen.items()))
        raise RecfaceError(
            f"table {spec.name}, block {table.block.name}: column {metric} mixes protocols {which}; "
            "run the outdated experiments again"
        )
    return next(iter(seen), "")


def _mark_best(table: BlockTable, column: Column) -> None:
    cells = [cell for (_, metric), cell in table.cells.items() if metric == column.metric]
    shown = [goodness(round(cell.mean, column.digits), column.direction, column.target) for cell in cells]
    scores = [score for score in shown if score is not None]
    for cell, score in zip(cells, scores, strict=False):
        cell.best = len(cells) > 1 and score == max(scores)


def _add_reference(table: BlockTable, column: Column) -> None:
    if column.reference is None:
        return
    found = [entry.value(table.block.metrics, column.reference) for entry in table.runs.entries()]
    values = [value for value in found if value is not None]
    if values:
        table.reference[column.metric] = mean_and_error(values)[0]


def _provenance(entries: Sequence[Entry]) -> str:
    """One line that changes only when the records do."""
    if not entries:
        return "no records"
    records = {(str(entry.path), entry.record.experiment): entry.record for entry in entries}
    content = [[r.experiment, r.hash, r.seed, r.metrics, r.protocols, r.versions] for r in records.values()]
    content.sort(key=lambda item: item[:3])
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    commits = {entry.commit for entry in entries}
    newest = max(record.updated for record in records.values())
    count = len({path for path, _ in records})
    return f"{count} records, hash {digest}, newest {newest}, commit {', '.join(sorted(commits))}" + (
        " (+ = with uncommitted changes)" if any(name.endswith("+") for name in commits) else ""
    )
