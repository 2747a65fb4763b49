"""Write the files of results/, or check that they are what the records give."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.results import figure, index, published, sfm_groups, sfm_model
from recface.results.cache import Cache, identity
from recface.results.curves import draw_curves
from recface.results.imported import read_specs
from recface.results.load import Entry, find_records
from recface.results.markdown import to_markdown
from recface.results.selection import select_block
from recface.results.table import Table, build
from recface.results.writers import to_csv, to_differences_csv, to_long_csv, to_tex
from recface.tracking import archive
from recface.tracking.atomic import write_bytes
from recface.versions import PEER_VERSION, VERSIONS

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
