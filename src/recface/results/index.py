"""The first page of results/: all tables, what the symbols mean, where the numbers are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recface.results.cells import legend
from recface.results.figure import panels
from recface.results.markdown import grid
from recface.results.table import BlockTable, Table

NAME = "README.md"
ALSO = {"published.md": "Published numbers, for orientation", "sfm_model.md": "Shape models learned from scans"}


def to_index(tables: Sequence[Table], pages: Mapping[str, str], names: Sequence[str] = ()) -> str:
    """Write the page.

    Args:
        tables: Filled tables, in the order in which they are listed.
        pages: Name of a table to its Markdown page.
        names: Of all files; those of `ALSO` are listed too.

    Returns:
        Markdown; its lines that begin with "Provenance:" change when the same results are made again.
    """
    parts = [
        "# Results",
        "Written by `python src/tables.py` from the records of finished runs in [records](records); "
        "`--check` tells whether it is up to date. Which runs made a cell: "
        f"`python src/tables.py --explain {_example(tables)}`.",
    ]
    for table in tables:
        name = table.spec.name
        files = [f"[{end}]({name}.{end})" for end in ("csv", "long.csv", "differences.csv", "tex")]
        files += [f"[figure]({name}.png)"] if panels(table) else []
        parts += [f"## [{table.spec.title}]({name}.md)", f"Files: [md]({name}.md), {', '.join(files)}."]
        parts.append(grid(["block", "what", "rows", "runs"], [_block(table, block) for block in table.blocks]))
        parts.append(f"Provenance: {table.provenance}")
    also = {name: ALSO[name] for name in names if name in ALSO}
    if also:
        parts += ["## Other pages", "\n".join(f"- [{title}]({name})" for name, title in also.items())]
    used = {symbol for page in pages.values() for symbol in legend(page)}
    if used:
        symbols = [symbol for symbol in legend("\n".join(pages.values())) if symbol in used]
        parts += ["## Legend", "\n".join(f"- {symbol.mark}: {symbol.meaning}" for symbol in symbols)]
    parts += ["## Files", _FILES]
    return "\n\n".join(parts) + "\n"


_FILES = """\
- md: values, every difference to the parent row, values by seed, protocols, and which config keys a row changes
- csv: means alone, for a terminal (`column -s, -t`)
- long.csv: one line a value and seed, with its protocol and the hash of its run
- differences.csv: one line a difference, with interval, p values and probability of improvement
- tex: booktabs, to be included in a paper"""


def _example(tables: Sequence[Table]) -> str:
    """A cell that has a value, as command-line arguments."""
    for table in tables:
        for block in table.blocks:
            for experiment, metric in [*block.differences, *block.cells]:
                return f"{experiment} {metric}" + (f" --table {table.spec.name}" if table is not tables[0] else "")
    return "ROW COLUMN"


def _block(table: Table, block: BlockTable) -> list[str]:
    filled = [name for name, seeds in block.runs.finished.items() if seeds]
    missing = (
        f"; to fill it: `{block.block.command}`" if len(filled) < len(table.spec.rows) and block.block.command else ""
    )
    runs = str(len(block.runs.entries()))
    return [f"`{block.block.name}`", block.block.title + missing, f"{len(filled)} of {len(table.spec.rows)}", runs]
