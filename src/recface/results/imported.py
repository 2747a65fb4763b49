"""Rows for methods that did not run here, known by their records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from recface.results.load import Entry
from recface.results.spec import Row, TableSpec, read_spec


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
