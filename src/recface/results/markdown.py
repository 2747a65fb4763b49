"""A table as Markdown, for people: values, differences with their statistics, seeds, changed keys, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recface.results.cells import (
    UNDEFINED,
    heading,
    hole,
    interval,
    legend,
    number,
    p_value,
    probability,
    reference_texts,
    verdict,
)
from recface.results.changes import value_text
from recface.results.spec import Row
from recface.results.table import BlockTable, Table


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
