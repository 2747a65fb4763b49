"""A table as a Markdown page: values and what they show first, statistics below, then provenance."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from recface.results.selection import value_text
from recface.results.spec import Column
from recface.results.statistics import LEVEL, PEOPLE, SEEDS, goodness
from recface.results.table import BlockTable, Cell, Difference, Table

MISSING = "×"
UNDEFINED = "–"
BETTER, WORSE, OTHER = "▲", "▼", "≠"
ARROWS = {"lower": "↓", "higher": "↑"}
NARROWER = {SEEDS: " t", PEOPLE: " one seed"}
"""Marks of intervals that let only seeds, or only people, vary."""


@dataclass(frozen=True)
class Symbol:
    """A mark."""

    mark: str  # as it is printed
    pattern: str  # regular expression that finds it on a page
    meaning: str  # what a reader should know


SYMBOLS = (
    Symbol("a ± b", r"\d ± \d", "mean ± standard error over seeds (one seed: no error)"),
    Symbol("**bold**", r"\| +\*\*-?\d[^|]*\*\*", "best row of the column, as far as digits are shown"),
    Symbol("↓ ↑ → 1", r"[↓↑] +\||→ [\d.]+ +\|", "lower is better, higher is better, the nearest to 1 is better"),
    Symbol(
        f"{BETTER} {WORSE}",
        rf" (?:{BETTER}|{WORSE}) ",
        f"better, worse than the parent row: p < {LEVEL:g} after Holm's correction over the rows of the column",
    ),
    Symbol(OTHER, rf" {OTHER} ", "differs so from the parent row, where neither direction is better"),
    Symbol(MISSING, rf"\| +{MISSING} +(?=\|)", "no finished run"),
    Symbol(UNDEFINED, rf"[|/] +{UNDEFINED} +(?=[|/])", "the run gives no such value"),
    Symbol("(outdated)", r"\(outdated\)", "made by an older version of the benchmark or of the code"),
    Symbol(
        "[a, b]",
        r"\d\](?: [▲▼≠])? +\|",
        "95% interval over seeds and test people (Obuchowski-Rockette, from each person's influence on the metric)",
    ),
    Symbol(
        "[a, b] t",
        r"\] t\b",
        "95% interval by Student's t over seeds alone: the runs store no influence of people on this metric",
    ),
    Symbol("[a, b] one seed", r"\] one seed\b", "95% interval over test people alone, of one seed"),
    Symbol(
        "P(better)",
        r"P\(better\)",
        "probability that a seed of the row beats a seed of its parent on a person, ties half; 0.5 is no improvement",
    ),
    Symbol("s", r"\d s +\|", "over the values of seeds alone"),
    Symbol("p", r"p \(Holm\)", "two-sided, by the interval's method, corrected over the rows of the column"),
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
    return f"{cell.mean:z.{digits}f}{error}"


def hole(block: BlockTable, experiment: str) -> str:
    """Text of a cell without a value."""
    return UNDEFINED if block.runs.finished[experiment] else MISSING


def reference_texts(block: BlockTable) -> list[str]:
    """The mean face's value in each column, "" where it has none."""
    found = ((block.reference.get(column.metric), column.digits) for column in block.columns)
    return ["" if value is None else f"{value:.{digits}f}" for value, digits in found]


def verdict(block: BlockTable, experiment: str, parent: str | None, column: Column) -> str:
    """Mark of a difference that holds after the correction, "" for one that does not."""
    difference = block.differences.get((experiment, column.metric))
    if difference is None or parent is None or not difference.significant:
        return ""
    seeds = difference.per_seed
    cells = [block.cells[name, column.metric].per_seed for name in (experiment, parent)]
    means = [sum(values[seed] for seed in seeds) / len(seeds) for values in cells]
    own, its = (goodness(mean, column.direction, column.target) for mean in means)
    if own is None or its is None or own == its:
        return OTHER
    return BETTER if own > its else WORSE


def signed(column: Column) -> Callable[[float], str]:
    """How differences of a column are written: one digit more than its values, or in % of the parent's."""
    return "{:+.2f}%".format if column.relative else f"{{:+.{column.digits + 1}f}}".format


def interval(difference: Difference, column: Column) -> str:
    """Signed difference with its interval; a mark says what does not vary."""
    test, text = difference.test, signed(column)
    if test.low is None or test.high is None:
        return text(difference.value)
    return f"{text(difference.value)} [{text(test.low)}, {text(test.high)}]{NARROWER.get(test.method, '')}"


def p_value(p: float | None) -> str:
    """A p value with three decimals, or with two digits below 0.001, so that small ones rank, too."""
    return UNDEFINED if p is None else f"{p:.3f}" if p >= 0.001 else f"{p:.2g}"


def to_markdown(table: Table) -> str:
    """The whole page; only its line that begins with "Provenance:" changes when the same results are made again."""
    parts = [f"# {table.spec.title}"]
    for block in table.blocks:
        parts.append(f"## {block.block.title or block.block.name} (`{block.block.name}`)")
        todo = f": `{block.block.command}`" if block.block.command else "."
        parts.append(_values(table, block) if block.cells else "No finished runs" + todo)
        for lines in (findings(table, block), [f"- {note}" for note in block.runs.notes]):
            parts += ["\n".join(lines)] if lines else []
    if table.agreement is not None:
        parts += _agreement(table, table.agreement)
    statistics = [part for block in table.blocks for part in _statistics(table, block)]
    parts += ["## Statistics", *_discoveries(table), *statistics] if statistics else []
    parts += _changes(table)
    notes = [f"Selection: {table.spec.selection}."] if table.spec.selection else []
    notes += [table.spec.notes.strip()] if table.spec.notes else []
    symbols = [f"- {symbol.mark}: {symbol.meaning}" for symbol in legend("\n\n".join(parts))]
    notes += ["\n".join(symbols)] if symbols else []
    parts += ["## How to read this page", *notes] if notes else []
    return "\n\n".join([*parts, f"Provenance: {table.provenance}"]) + "\n"


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: first column to the left, the others to the right, padded so that the source can be read."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]

    def text(line: Sequence[str]) -> str:
        cells = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        return "| " + " | ".join(cells) + " |"

    rule = [("-" * w) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([text(lines[0]), "|" + "|".join(f" {r} " for r in rule) + "|", *map(text, lines[1:])])


def _values(table: Table, block: BlockTable) -> str:
    lines = []
    for row in table.spec.rows:
        found = block.runs.finished[row.experiment]
        if block.block.split and not found:  # a configuration of another row
            continue
        outdated = any((row.experiment, seed) in block.runs.outdated for seed in found)
        line = [(row.title or row.experiment) + (" (outdated)" if outdated else ""), str(len(found))]
        for column in block.columns:
            cell = block.cells.get((row.experiment, column.metric))
            if cell is None:
                line.append(hole(block, row.experiment))
                continue
            text = number(cell, column.digits)
            mark = verdict(block, row.experiment, row.parent, column)
            line.append((f"**{text}**" if cell.best else text) + (f" {mark}" if mark else ""))
        lines.append(line)
    if block.reference:
        lines.append(["*mean face, for reference*", "", *reference_texts(block)])
    return grid(["", "seeds", *map(heading, block.columns)], lines)


def findings(table: Table, block: BlockTable, intervals: bool = False) -> list[str]:
    """One sentence for each compared row of a block, made of the marks; `intervals` are those of marked differences."""
    titles = table.spec.titles()
    words = {BETTER: "better in", WORSE: "worse in", OTHER: "different in", "": "no difference shown in"}
    sentences = []
    for row in table.spec.rows:
        columns: dict[str, list[str]] = {word: [] for word in (*words.values(), "not tested in")}
        for column in block.columns:
            difference = block.differences.get((row.experiment, column.metric))
            if difference is not None:
                tested = words[mark := verdict(block, row.experiment, row.parent, column)]
                title = re.sub(r" \([^()]*\)$", "", column.title or column.metric)
                title += f" ({interval(difference, column)})" if intervals and mark else ""
                columns[tested if difference.holm is not None else "not tested in"].append(title)
        shown = [f"{word} {', '.join(names)}" for word, names in columns.items() if names]
        if shown and row.parent is not None:
            sentences.append(f"- {titles[row.experiment]} against {titles[row.parent]}: {'; '.join(shown)}.")
    return sentences


def _discoveries(table: Table) -> list[str]:
    """How many marks of the page hold among all of its differences, and which do not."""
    titles = table.spec.titles()
    marked = [
        (f"{titles[experiment]} in {column.title or column.metric} (`{block.block.name}`)", found)
        for block in table.blocks
        for column in block.columns
        for experiment in titles
        if (found := block.differences.get((experiment, column.metric))) and found.significant
    ]
    count = sum(found.page is not None for block in table.blocks for found in block.differences.values())
    lost = [name for name, found in marked if not found.discovery]
    text = (
        f"Of the {len(marked)} marked differences, {len(marked) - len(lost)} hold at a false-discovery rate of "
        f"{LEVEL:.0%} over the {count} differences tested on this page (Benjamini-Hochberg)"
    )
    return [f"{text}; not: {'; '.join(lost)}." if lost else f"{text}."] if marked else []


def _agreement(table: Table, other: Table) -> list[str]:
    """Which marked differences of the page have the same mark in another table, by block, row and column."""
    titles, blocks = table.spec.titles(), {block.block.name: block for block in other.blocks}
    found: dict[str, list[str]] = {"alike": [], "unmarked": [], "opposite": []}
    for block in table.blocks:
        for row in table.spec.rows:
            for column in block.columns:
                key, there = (row.experiment, column.metric), blocks.get(block.block.name)
                own = verdict(block, row.experiment, row.parent, column)
                if own and there is not None and key in there.differences:
                    its = verdict(there, row.experiment, row.parent, column)
                    name = f"{titles[row.experiment]} in {column.title or column.metric}"
                    found["alike" if its == own else "opposite" if its else "unmarked"].append(name)
    count = sum(map(len, found.values()))
    if not count:
        return []
    where = f"[{other.spec.title}]({other.spec.name}.md)"
    lines = [f"Of {count} differences marked on this page, {len(found['alike'])} have the same mark in {where}."]
    for kind, text in (("unmarked", "Not marked there"), ("opposite", "Marked the other way there")):
        lines += [f"{text}: {', '.join(found[kind])}."] if found[kind] else []
    return [f"## Where it agrees with {other.spec.title}", " ".join(lines)]


def _statistics(table: Table, block: BlockTable) -> list[str]:
    parts = []
    name = f"(`{block.block.name}`)"
    if differences := _comparisons(table, block):
        header = ["", "column", "difference [95%]", "P(better)", "p (Holm)"]
        parts += [f"### Against the parent row {name}", grid(header, differences)]
    if seeds := _seeds(table, block):
        parts += [f"### Per seed {name}", grid(["", "seeds", *map(heading, block.columns)], seeds)]
    named = [f"{metric} `{protocol}`" for metric, protocol in block.protocols.items() if protocol]
    return parts + ([f"Protocols {name}: {', '.join(named)}."] if named else [])


def _comparisons(table: Table, block: BlockTable) -> list[list[str]]:
    """One line for each difference: many columns side by side could not be read."""
    titles = table.spec.titles()
    lines = []
    for row in table.spec.rows:
        for column in block.columns:
            found = block.differences.get((row.experiment, column.metric))
            if found is None or row.parent is None:
                continue
            mark = verdict(block, row.experiment, row.parent, column)
            better = UNDEFINED if found.better is None else f"{found.better:.2f}{'' if found.people else ' s'}"
            text = interval(found, column) + (f" {mark}" if mark else "")
            rows = f"{titles[row.experiment]} − {titles[row.parent]}"
            lines.append([rows, heading(column), text, better, p_value(found.holm)])
    return lines


def _seeds(table: Table, block: BlockTable) -> list[list[str]]:
    """Per-seed values, while they are few enough to be read."""
    lines = []
    for experiment, title in table.spec.titles().items():
        seeds = sorted(block.runs.finished[experiment])
        if not 1 < len(seeds) <= 5:
            continue
        line = [title, " / ".join(map(str, seeds))]
        for column in block.columns:
            cell = block.cells.get((experiment, column.metric))
            values = [cell.per_seed.get(seed) if cell else None for seed in seeds]
            line.append(" / ".join(UNDEFINED if v is None else f"{v:.{column.digits}f}" for v in values))
        lines.append(line)
    return lines


def _changes(table: Table) -> list[str]:
    lines, titles = [], table.spec.titles()
    for row in table.spec.rows:
        if row.parent and row.experiment in table.changes:
            keys = [f"`{k}`: {value_text(a)} → {value_text(b)}" for k, (a, b) in table.changes[row.experiment].items()]
            lines.append(f"- {titles[row.experiment]} against {titles[row.parent]}: {', '.join(keys) or 'nothing'}")
    return ["## What each row changes", "\n".join(lines)] if lines else []
