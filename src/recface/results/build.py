"""Write the files of results/ from the records, or check that they are what the records give."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recface.baselines.cards import read_cards
from recface.errors import RecfaceError
from recface.files.atomic import sweep_up, write_bytes
from recface.results.drawing import pictures
from recface.results.markdown import to_markdown
from recface.results.pages import to_index, to_published
from recface.results.records import Entry, download_records, find_records
from recface.results.selection import select_runs
from recface.results.spec import TableSpec, read_specs
from recface.results.table import Table, build
from recface.results.writers import to_csv, to_differences_csv, to_long_csv, to_tex
from recface.tracking import archive
from recface.versions import BASELINES_VERSION, SCAN_VERSION, SHAPE_MODEL_VERSION, VERSIONS

CURRENT = {**VERSIONS, "baselines": BASELINES_VERSION, "scan": SCAN_VERSION, "shape_model": SHAPE_MODEL_VERSION}
"""Version keys of this code; records that carry others are outdated."""
WRITERS = {
    "md": to_markdown,
    "csv": to_csv,
    "tex": to_tex,
    "long.csv": to_long_csv,
    "differences.csv": to_differences_csv,
}
_PROVENANCE = ("Provenance:", "% Provenance:")


@dataclass(frozen=True)
class Results:
    """Every table that has a page, filled; and all records, also those of no table."""

    tables: list[Table]
    entries: list[Entry]


def render(
    configs: str | Path,
    runs: str | Path,
    results: str | Path,
    with_figures: bool = True,
    current: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """Make every file of results/ from the records: content by path in the folder.

    Args:
        configs: Folder of table YAMLs.
        runs: Folder of runs.
        results: Folder of results, whose records/ holds the archived records.
        with_figures: Whether to draw.
        current: Version keys; by default this code's.

    Raises:
        RecfaceError: A table YAML is wrong or missing, or protocols disagree.
    """
    return _render(configs, read_results(configs, runs, Path(results) / "records", current).tables, with_figures)


def read_results(
    configs: str | Path, runs: str | Path, records: str | Path, current: Mapping[str, Any] | None = None
) -> Results:
    """What the records of runs and of an archive give; arguments and errors as of `render`."""
    entries = find_records(runs, records)
    return Results(build_tables(read_specs(configs, entries), entries, current), entries)


def build_tables(
    specs: Iterable[TableSpec], entries: list[Entry], current: Mapping[str, Any] | None = None
) -> list[Table]:
    """Every table that has a page, filled from the records; arguments as of `render`."""
    tables = [build(spec, entries, CURRENT if current is None else current) for spec in specs]
    by_name: dict[str | None, Table] = {table.spec.name: table for table in tables}
    for table in tables:
        table.agreement = by_name.get(table.spec.agreement)
    # A table of one program's records has no page until that ran.
    return [table for table in tables if table.spec.experiment is None or table.blocks]


def _render(configs: str | Path, tables: list[Table], with_figures: bool = True) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for table in tables:
        files |= {f"{table.spec.name}.{end}": write(table).encode() for end, write in WRITERS.items()}
        for name, draw in pictures(table).items() if with_figures else ():
            try:
                files |= {f"figures/{name}.{ending}": content for ending, content in draw().items()}
            except RecfaceError as error:
                print(f"figures/{name} is not drawn: {error}", file=sys.stderr)
    if cards := read_cards(Path(configs).resolve().parents[1] / "external"):
        files["published.md"] = to_published(cards).encode()
    pages = {table.spec.name: files[f"{table.spec.name}.md"].decode() for table in tables}
    files["README.md"] = to_index(tables, pages, "published.md" in files).encode()
    return files


def write_tables(
    configs: str | Path, runs: str | Path, results: str | Path, with_figures: bool = True
) -> tuple[list[Path], Results]:
    """Archive the runs that tables take, and write every file of results/ (see `render`).

    Returns:
        The paths of all files, and what they were written from.
    """
    entries = find_records(runs, Path(results) / "records")
    specs = read_specs(configs, entries)
    used = {entry.path for entry in _used(specs, entries)}
    kept = [_archived(entry, Path(results) / "records") if entry.path in used else entry for entry in entries]
    found = Results(build_tables(specs, kept), kept)
    return _write(_render(configs, found.tables, with_figures), results), found


def write_tables_from_wandb(configs: str | Path, project: str, results: str | Path) -> tuple[list[Path], Results]:
    """As `write_tables`, from a W&B project (ENTITY/PROJECT) alone, whose records that tables take are kept.

    Raises:
        RecfaceError: As `render`, and where the project cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder) / "records"
        download_records(project, records)
        entries = find_records(Path(folder) / "runs", records)
        specs = read_specs(configs, entries)
        kept = [_copied(entry, Path(results) / "records") for entry in _used(specs, entries)]
    found = Results(build_tables(specs, kept), kept)
    return _write(_render(configs, found.tables), results), found


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
        raise RecfaceError(f"{results}: older than the runs ({', '.join(stale)}); run `recface tables`")


def _used(specs: Iterable[TableSpec], entries: list[Entry]) -> list[Entry]:
    """The runs that tables take, each once."""
    found = [entry for spec in specs for _, runs in select_runs(spec, entries, CURRENT) for entry in runs.entries()]
    return list({entry.path: entry for entry in found}.values())


def _copied(entry: Entry, records: Path) -> Entry:
    """A record and its predictions in another folder."""
    predictions = None if entry.predictions is None else records / entry.predictions.name
    for path in filter(None, (entry.path, entry.predictions)):
        write_bytes(records / path.name, path.read_bytes())
    return replace(entry, path=records / entry.path.name, predictions=predictions)


def _archived(entry: Entry, records: Path) -> Entry:
    """A run's archived copy, made where it is missing or older than the run."""
    if entry.archived:
        return entry
    path = archive(entry.path.parent, records)
    predictions = path.with_suffix(".npz") if entry.predictions is not None else None
    return replace(entry, predictions=predictions, archived=True)


def _write(files: Mapping[str, bytes], results: str | Path) -> list[Path]:
    sweep_up(results, hours=1)
    for name, content in files.items():
        write_bytes(Path(results) / name, content)
    return [Path(results) / name for name in files]


def _lasting(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(_PROVENANCE)]
