"""A table as Markdown, for people: values, differences with intervals, seeds, what was changed, where it is from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from recface.results.differences import BOOTSTRAP, STUDENT, Difference
from recface.results.spec import Column, Row
from recface.results.table import BlockTable, Cell, Table

MISSING = "×"


def to_markdown(table: Table) -> str:
    """Write the whole table.

    Args:
        table: Filled table.

    Returns:
        Markdown text; only its line that begins with "Provenance:" changes when the same results are made again.
    """
    parts = [f"# {table.spec.title}", _legend(table)]
    for block in table.blocks:
        parts.append(f"## {block.block.title or block.block.name} (`{block.block.name}`)")
        parts.append(_values(table.spec.rows, block) if block.cells else f"No finished runs: `{block.block.command}`")
        parts += _differences(table.spec.rows, block)
        parts += _seeds(table.spec.rows, block)
        parts += _protocols(block)
        parts += [f"- {note}" for note in block.runs.notes]
    parts += _changes(table)
    parts.append(f"Provenance: {table.provenance}")
    return "\n\n".join(parts) + "\n"


def _legend(table: Table) -> str:
    rule = f"Selection: {table.spec.selection}. " if table.spec.selection else ""
    return (
        f"{rule}Cells: mean ± standard error over seeds; **bold** is best; {MISSING} is missing. "
        "Arrows tell what is better."
    )


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: first column to the left, the others to the right, padded so that the source can be read."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]

    def text(line: Sequence[str]) -> str:
        cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        return "| " + " | ".join(cells) + " |"

    rule = [("-" * w) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([text(lines[0]), "|" + "|".join(f" {r} " for r in rule) + "|", *map(text, lines[1:])])


def heading(column: Column) -> str:
    """Title of a column with what is better."""
    arrow = {"lower": " ↓", "higher": " ↑"}.get(column.direction, "")
    return (column.title or column.metric) + (f" → {column.target:g}" if column.target is not None else arrow)


def number(cell: Cell | None, digits: int) -> str:
    """Mean ± standard error, without any mark."""
    if cell is None:
        return MISSING
    error = "" if cell.error is None else f" ± {cell.error:.{digits}f}"
    return f"{cell.mean:.{digits}f}{error}"


def _values(rows: list[Row], block: BlockTable) -> str:
    lines = []
    for row in rows:
        found = block.runs.finished[row.experiment]
        outdated = any((row.experiment, seed) in block.runs.outdated for seed in found)
        line = [(row.title or row.experiment) + (" (outdated)" if outdated else ""), str(len(found))]
        for column in block.columns:
            cell = block.cells.get((row.experiment, column.metric))
            text = number(cell, column.digits)
            line.append(f"**{text}**" if cell is not None and cell.best else text)
        lines.append(line)
    if block.reference:
        line = [
            f"{block.reference[c.metric]:.{c.digits}f}" if c.metric in block.reference else "" for c in block.columns
        ]
        lines.append(["*mean face, for reference*", "", *line])
    return grid(["", "seeds", *map(heading, block.columns)], lines)


def interval(difference: Difference | None, digits: int) -> str:
    """Signed difference with its interval; `t` marks a t interval over seeds."""
    if difference is None:
        return MISSING
    text = f"{difference.value:+.{digits}f}"
    if difference.low is None or difference.high is None:
        return text
    text += f" [{difference.low:+.{digits}f}, {difference.high:+.{digits}f}]"
    return text + (" t" if difference.method == STUDENT else "")


def _differences(rows: list[Row], block: BlockTable) -> list[str]:
    titles = {row.experiment: row.title or row.experiment for row in rows}
    lines = []
    for row in rows:
        found = [block.differences.get((row.experiment, column.metric)) for column in block.columns]
        if row.parent is None or not any(found):
            continue
        cells = [interval(d, c.digits + 1) for d, c in zip(found, block.columns, strict=True)]
        cells = [
            f"**{text}**" if d is not None and d.excludes_zero else text for d, text in zip(found, cells, strict=True)
        ]
        lines.append([f"{titles[row.experiment]} − {titles[row.parent]}", *cells])
    if not lines:
        return []
    methods = {difference.method for difference in block.differences.values()}
    legend = "### Difference to the parent row, 95% interval\n\n**Bold** where the interval excludes 0."
    if BOOTSTRAP in methods:
        legend += (
            " Paired bootstrap over seeds and identities; for geometry verification by root mean square"
            " vertex distance (the value itself: by mean distance)."
        )
    if STUDENT in methods:
        legend += " `t`: Student's t over per-seed differences alone, where stored predictions do not give the value."
    return [legend, grid(["", *map(heading, block.columns)], lines)]


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
            line.append(" / ".join(MISSING if v is None else f"{v:.{column.digits}f}" for v in values))
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
        keys = [f"`{k}`: {_short(a)} → {_short(b)}" for k, (a, b) in table.changes[row.experiment].items()]
        lines.append(f"- {row.title or row.experiment} against {row.parent}: {', '.join(keys) or 'nothing'}")
    return ["## What each row changes", "\n".join(lines)] if lines else []


def _short(value: Any) -> str:
    return "absent" if value is None else f"{value}"
