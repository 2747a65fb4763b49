"""Pages of results/ without a table of runs: the index with the legend, and numbers that others published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recface.baselines.cards import Card, Number
from recface.results.drawing import pictures
from recface.results.markdown import ARROWS, grid, legend
from recface.results.table import BlockTable, Table

FILES = """\
- md: values and what they show, then every difference to the parent row, values by seed, protocols, and which config
  keys a row changes
- csv: means alone, for a terminal (`column -s, -t`)
- long.csv: one line a value and seed, with its protocol and the hash of its run
- differences.csv: one line a difference, with interval, p values and probability of improvement
- tex: booktabs, to be included in a paper
- png: figures, each beside a pdf of the same name"""


def to_index(tables: Sequence[Table], pages: Mapping[str, str], published: bool = False) -> str:
    """README.md of results/; its lines that begin with "Provenance:" change when the same results are made again.

    Args:
        tables: Filled tables, in the order in which they are listed.
        pages: Name of a table to its Markdown page.
        published: Whether there is a page of published numbers.
    """
    parts = [
        "# Results",
        "Written by `recface tables` from the records of finished runs in [records](records); "
        "`--check` tells whether it is up to date. Which runs made a cell: "
        f"`recface tables --explain {_example(tables)}`.",
    ]
    for table in tables:
        name = table.spec.name
        files = [f"[{end}]({name}.{end})" for end in ("csv", "long.csv", "differences.csv", "tex")]
        files += [f"[{picture}.png](figures/{picture}.png)" for picture in pictures(table)]
        parts += [f"## [{table.spec.title}]({name}.md)", f"Files: [md]({name}.md), {', '.join(files)}."]
        parts.append(grid(["block", "content", "rows", "runs"], [_block(table, block) for block in table.blocks]))
        parts.append(f"Provenance: {table.provenance}")
    if published:
        parts += ["## Other pages", "- [Published numbers, for orientation](published.md)"]
    symbols = [f"- {symbol.mark}: {symbol.meaning}" for symbol in legend("\n".join(pages.values()))]
    parts += ["## Legend", "\n".join(symbols)] if symbols else []
    return "\n\n".join([*parts, "## Files", FILES]) + "\n"


def _example(tables: Sequence[Table]) -> str:
    """A cell that has a value, as command-line arguments."""
    for table in tables:
        for block in table.blocks:
            for experiment, metric in [*block.differences, *block.cells]:
                return f"{experiment} {metric}" + (f" --table {table.spec.name}" if table is not tables[0] else "")
    return "ROW COLUMN"


def _block(table: Table, block: BlockTable) -> list[str]:
    filled = [name for name, seeds in block.runs.finished.items() if seeds]
    count = len(filled) if block.block.split else len(table.spec.rows)  # a configuration has the rows that it has
    missing = len(filled) < count and block.block.command
    title = block.block.title + (f"; to fill it: `{block.block.command}`" if missing else "")
    return [f"`{block.block.name}`", title, f"{len(filled)} of {count}", str(len(block.runs.entries()))]


def published_columns(cards: Sequence[Card]) -> dict[str, dict[str, dict[str, Number]]]:
    """Protocol to metric to name of the method to its number: every number under its own protocol."""
    found: dict[str, dict[str, dict[str, Number]]] = {}
    for card in cards:
        for number in card.numbers:
            found.setdefault(number.protocol, {}).setdefault(number.metric, {})[card.name] = number
    return {protocol: found[protocol] for protocol in sorted(found)}


def to_published(cards: Sequence[Card]) -> str:
    """published.md from `baselines.cards.read_cards`: a table for each protocol, best first; then the methods."""
    parts = [
        "# Published numbers, for orientation",
        "Others measured them, each under the protocol of its heading, on data that this suite does not hold. "
        "None compares with a number of the other tables here, nor with one under another heading. "
        "See external/README.md.",
    ]
    for protocol, metrics in published_columns(cards).items():
        kinds = [next(iter(by.values())) for by in metrics.values()]
        heads = [f"{kind.metric}{f' ({kind.unit})' if kind.unit else ''} {ARROWS[kind.direction]}" for kind in kinds]
        first, sign = next(iter(metrics.values())), 1 if kinds[0].direction == "lower" else -1
        names = sorted(
            {name for by in metrics.values() for name in by},
            key=lambda name: (sign * first[name].value if name in first else float("inf"), name),
        )
        lines = [[name, *(f"{by[name].value:g}" if name in by else "–" for by in metrics.values())] for name in names]
        sources = sorted({number.source for by in metrics.values() for number in by.values()})
        parts += [f"## `{protocol}`", grid(["", *heads], lines), f"Source: {'; '.join(sources)}."]
    methods = [
        f"- **{c.name}**: {c.paper}. {c.code or 'No code'}. 3DMM: {c.face_model}. Licence: {c.licence}." for c in cards
    ]
    return "\n\n".join([*parts, "## The methods", "\n".join(methods)]) + "\n"
