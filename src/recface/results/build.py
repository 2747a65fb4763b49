"""Write the files of results/, or check that they are what the records give.

Rows for methods that did not run here, known by their records.

The first page of results/: all tables, what the symbols mean, where the numbers are from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.results import build as index
from recface.results import curves as figure
from recface.results import published, sfm_model
from recface.results import sfm_model as sfm_groups
from recface.results.cache import Cache, identity
from recface.results.curves import draw_curves, panels
from recface.results.markdown import grid, legend, to_markdown
from recface.results.records import Entry, find_records
from recface.results.selection import select_block
from recface.results.spec import Row, TableSpec, read_spec
from recface.results.table import BlockTable, Table, build
from recface.results.writers import to_csv, to_differences_csv, to_long_csv, to_tex
from recface.tracking import archive
from recface.tracking.atomic import write_bytes
from recface.versions import PEER_VERSION, VERSIONS


def with_imported(spec: TableSpec, entries: Iterable[Entry]) -> TableSpec:
    """Add a row for every finished record that src/peers.py made of a folder external/NAME, where the table wants them.

    Args:
        spec: The table.
        entries: All records.

    Returns:
        The table with rows at its end, by name.
    """
    if spec.imported is None:
        return spec
    taken = {row.experiment for row in spec.rows}
    titles = {
        entry.record.experiment: str(entry.record.config.get("title", entry.record.experiment))
        for entry in entries
        if entry.record.state == "finished" and entry.record.config.get("peer", {}).get("method") == "imported"
    }
    new = [Row(name, title, spec.imported) for name, title in sorted(titles.items()) if name not in taken]
    return replace(spec, rows=[*spec.rows, *new])


def read_specs(configs: str | Path, entries: list[Entry]) -> dict[Path, TableSpec]:
    """All tables of a folder with their rows, by their files in order; raises as `read_spec`."""
    return {path: with_imported(read_spec(path), entries) for path in sorted(Path(configs).glob("*.yaml"))}


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


_PROVENANCE = ("Provenance:", "% Provenance:")


def render(
    configs: str | Path,
    runs: str | Path,
    results: str | Path,
    with_figures: bool = True,
    current: Mapping[str, Any] | None = None,
    cache: Cache | None = None,
) -> dict[str, bytes]:
    """Make every file of results/ from the records.

    Args:
        configs: Folder of table YAMLs.
        runs: Folder of runs.
        results: Folder of results, whose records/ holds the archived records.
        with_figures: Whether to draw, which takes most of the time.
        current: Version keys; by default this code's.
        cache: Of an earlier build in this process, which then computes only what has changed.

    Returns:
        File name to content.

    Raises:
        RecfaceError: No table YAML, or one that is wrong; a record that cannot be read; protocols that disagree.
    """
    entries = find_records(runs, Path(results) / "records")
    specs = read_specs(configs, entries)
    if not specs:
        raise RecfaceError(f"{configs}: no table YAML here")
    current = VERSIONS | {"peer": PEER_VERSION} if current is None else current
    files: dict[str, bytes] = {}
    tables: list[Table] = []
    cache = Cache() if cache is None else cache
    for path, spec in specs.items():
        table = build(spec, entries, current, cache)
        name = table.spec.name
        if f"{name}.md" in files:
            raise RecfaceError(f"{path}: another table is named {name}, too; names of tables are names of files")
        files[f"{name}.md"] = to_markdown(table).encode()
        files[f"{name}.csv"] = to_csv(table).encode()
        files[f"{name}.tex"] = to_tex(table).encode()
        files[f"{name}.long.csv"] = to_long_csv(table).encode()
        files[f"{name}.differences.csv"] = to_differences_csv(table).encode()
        picture = _picture(table, cache) if with_figures else None
        if picture is not None:
            files[f"{name}.png"] = picture
        tables.append(table)
    if cards := published.read_cards(Path(configs).resolve().parents[1] / "external"):
        files["published.md"] = published.to_markdown(cards).encode()
    files |= sfm_model.render(entries, with_figures, cache)
    pages = {table.spec.name: files[f"{table.spec.name}.md"].decode() for table in tables}
    files[index.NAME] = index.to_index(tables, pages, sorted(files)).encode()
    cache.forget_unused()
    return files


def _picture(table: Table, cache: Cache) -> bytes | None:
    """The figure that a table's YAML asks for: points of one metric against another, or curves along training."""
    draw = draw_curves if "curves" in table.spec.figure else figure.draw
    shown = tuple(tuple(map(identity, block.runs.entries())) for block in table.blocks)
    return cache.remember(("picture", repr(table.spec), table.provenance, shown), lambda: draw(table))


def write_tables(configs: str | Path, runs: str | Path, results: str | Path, cache: Cache | None = None) -> list[Path]:
    """Archive the runs that tables take into results/records/, and write every file of results/; see `render`.

    Returns:
        Paths of all tables and figures, changed or not.
    """
    cache = Cache() if cache is None else cache
    archive_used(configs, runs, results, cache)
    return _write(render(configs, runs, results, cache=cache), results)


def write_tables_from_wandb(configs: str | Path, project: str, results: str | Path) -> list[Path]:
    """Write every file of results/ from the runs of a W&B project alone, and keep the records that the tables take.

    Args:
        configs: Folder of table YAMLs.
        project: ENTITY/PROJECT.
        results: Folder of results.

    Returns:
        Paths of all tables and figures.

    Raises:
        RecfaceError: As `render`, and where the project cannot be read.
    """
    from recface.results.wandb_project import download_records

    with tempfile.TemporaryDirectory() as folder:
        none, records = Path(folder) / "runs", Path(folder) / "records"
        download_records(project, records)
        files = render(configs, none, folder)
        for entry in _used(configs, find_records(none, records)):
            for path in filter(None, (entry.path, entry.predictions)):
                write_bytes(Path(results) / "records" / path.name, path.read_bytes())
    return _write(files, results)


def _write(files: Mapping[str, bytes], results: str | Path) -> list[Path]:
    for name, content in files.items():
        write_bytes(Path(results) / name, content)
    return [Path(results) / name for name in files]


def archive_used(configs: str | Path, runs: str | Path, results: str | Path, cache: Cache | None = None) -> None:
    """Copy the finished runs that the tables take to results/records/, so that a fresh clone can rebuild them.

    Args:
        configs: Folder of table YAMLs.
        runs: Folder of runs.
        results: Folder of results.
        cache: Of an earlier build in this process; what it has copied is copied again only if the run has changed.
    """
    cache, records = Cache() if cache is None else cache, Path(results) / "records"
    for entry in _used(configs, find_records(runs, records)):
        if entry.path.name == "run.json":
            own = entry.path.parent / "predictions.npz"  # the entry's may be the copy
            run = identity(replace(entry, predictions=own if own.is_file() else None))
            cache.remember(("archived", str(records), run), partial(archive, entry.path.parent, records))


def _used(configs: str | Path, entries: list[Entry]) -> Iterator[Entry]:
    for spec in read_specs(configs, entries).values():
        rows = [row.experiment for row in spec.rows]
        for block in spec.blocks:
            yield from select_block(entries, block, rows).entries()
    yield from sfm_groups.model_entries(entries)


def check_tables(configs: str | Path, runs: str | Path, results: str | Path) -> None:
    """Check that results/ is what the records give; the provenance lines and the pictures may differ.

    Raises:
        RecfaceError: A file is missing or would change, in one line that names the files.
    """
    stale = []
    for name, content in render(configs, runs, results, with_figures=False).items():
        path = Path(results) / name
        if not path.is_file() or _lasting(path.read_text()) != _lasting(content.decode()):
            stale.append(name)
    if stale:
        raise RecfaceError(f"{results}: older than the runs ({', '.join(stale)}); run `python src/tables.py`")


def _lasting(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(_PROVENANCE)]
