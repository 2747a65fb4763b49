"""The page: everything on it put into one HTML file that needs no network, and kept up to date while runs train."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from recface.report.comparison import Comparison, find_benchmark, mesh_data, real_comparison, rendered_comparison
from recface.report.curves import curves_of
from recface.report.details import cell_details, changes_sentence, run_columns, run_details, run_name
from recface.results import markdown
from recface.results.build import build_tables
from recface.results.records import Entry, find_runs
from recface.results.spec import read_specs
from recface.results.table import BlockTable, Table

DRAWN_FIRST = 6
"""Runs whose curves are shown before a reader chooses."""
RELOAD_SECONDS = 10


def report_of_results(tables: Sequence[Table], entries: Sequence[Entry]) -> bytes:
    """The page of results/: every table, and all records."""
    return render_page("Recognizable 3D face shapes: results", tables, entries, compared_in_tables(tables))


def report_of_runs(configs: str | Path, paths: Sequence[Path], reload: bool = False) -> bytes:
    """The page of a user's own runs: tables that they fill, each of their curves, their faces side by side.

    Args:
        configs: Folder of table YAMLs.
        paths: Run folders, or folders with runs below.
        reload: Whether the page loads itself anew while it is open.

    Raises:
        RecfaceError: A table YAML is wrong or missing, protocols disagree, or a path holds no run.
    """
    entries = find_runs(paths)
    tables = [table for table in build_tables(read_specs(configs, entries), entries) if _filled(table)]
    return render_page("Runs side by side", tables, entries, compared_runs(entries), reload)


def watch(
    write: Callable[[bool], None],
    paths: Sequence[Path],
    seconds: float = 5.0,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Write a page whenever a log or record of the runs has grown, until none of them is running.

    Args:
        write: Writes the page; its argument is whether it shall reload itself.
        paths: As of `report_of_runs`.
        seconds: Time between two looks.
        sleep: Waits for as many seconds.
    """
    seen = None
    while True:
        entries = find_runs(paths)
        files = [entry.path.with_name(name) for entry in entries for name in ("run.json", "metrics.jsonl")]
        state = [(path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()]
        running = any(entry.record.state == "running" for entry in entries)
        if state != seen:
            write(running)
            seen = state
        if not running:
            return
        sleep(seconds)


def compared_in_tables(tables: Iterable[Table]) -> list[Comparison]:
    """Faces of the blocks that compare the most methods, one for each benchmark, and one of real photographs.

    Those whose photos are at hand come first.
    """
    found: dict[tuple[str | None, str], tuple[str, dict[str, Entry]]] = {}
    for table in tables:
        for block in table.blocks:
            methods = _methods(table, block)
            for part in ("test", "photos"):
                able = {name: entry for name, entry in methods.items() if _holds(entry, part)}
                if able and (part == "photos") == (block.block.metrics == "photos"):
                    key = next(iter(able.values())).record.data_manifest, part
                    if len(able) > len(found.get(key, ("", {}))[1]):
                        found[key] = block.block.title or block.block.name, able
    # The benchmark of the table that comes first is the one that the page is about.
    rendered = [(title, methods) for (_, part), (title, methods) in found.items() if part == "test"]
    real = [(title, methods) for (_, part), (title, methods) in found.items() if part == "photos"]
    rendered.sort(key=lambda item: find_benchmark(next(iter(item[1].values())).record.data_manifest) is None)
    comparisons = [
        *(rendered_comparison(title, methods) for title, methods in rendered[:2]),
        *(real_comparison(title, methods) for title, methods in real[:1]),
    ]
    return sorted(comparisons, key=lambda comparison: not comparison.people)


def compared_runs(entries: Iterable[Entry]) -> list[Comparison]:
    """Faces of finished runs side by side, those of one benchmark together."""
    groups: dict[str | None, dict[str, Entry]] = {}
    for entry in entries:
        if entry.record.state == "finished":
            groups.setdefault(entry.record.data_manifest, {})[run_name(entry)] = entry
    found = []
    for manifest, methods in groups.items():
        for part, draw in (("test", rendered_comparison), ("photos", real_comparison)):
            if able := {name: entry for name, entry in methods.items() if _holds(entry, part)}:
                kind = "Rendered photos" if part == "test" else "Real photographs"
                found.append(draw(f"{kind} (data {manifest})", able))
    return found


def _methods(table: Table, block: BlockTable) -> dict[str, Entry]:
    """Title of each row to the run of its first seed; a run that an earlier version made is left out."""
    first = {name: min(seeds) for name, seeds in block.runs.finished.items() if seeds}
    titles = table.spec.titles()
    return {
        titles[name]: block.runs.finished[name][seed]
        for name, seed in first.items()
        if (name, seed) not in block.runs.outdated
    }


def _holds(entry: Entry, part: str) -> bool:
    return f"{part}_parameters" in entry.arrays(f"{part}_parameters")


def _filled(table: Table) -> bool:
    table.blocks = [block for block in table.blocks if block.cells]
    return bool(table.blocks)


def render_page(
    title: str,
    tables: Sequence[Table],
    entries: Sequence[Entry],
    comparisons: Sequence[Comparison] = (),
    reload: bool = False,
) -> bytes:
    """The page as HTML.

    Args:
        title: Heading.
        tables: Filled tables, in their order.
        entries: All runs: a table of their own, and their curves.
        comparisons: Of faces.
        reload: Whether it loads itself anew while it is open.
    """
    from jinja2 import Environment, FunctionLoader

    names = [run_name(entry) for entry in entries]
    curves = curves_of(entries, names)
    name_of = {entry.path: name for entry, name in zip(entries, names, strict=True)}  # rows may name runs otherwise
    rows = [
        name_of[entry.path]
        for table in tables[:1]
        for block in table.blocks
        for entry in _methods(table, block).values()
    ]
    ordered = sorted(
        range(len(curves)), key=lambda i: rows.index(name) if (name := curves[i]["name"]) in rows else len(rows)
    )
    data = {
        "cells": cell_details(tables, {str(entry.path): i for i, entry in enumerate(entries)}),
        "runs": run_details(entries),
        "curves": curves,
        "drawn": ordered[:DRAWN_FIRST],
        "meshes": mesh_data(comparisons),
        "reload": RELOAD_SECONDS if reload else 0,
    }
    environment = Environment(loader=FunctionLoader(_file), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template("page.html").render(
        title=title,
        tables=tables,
        entries=list(zip(entries, names, strict=True)),
        columns=run_columns(tables, entries),
        curves=curves,
        comparisons=comparisons,
        markdown=markdown,
        changes_sentence=changes_sentence,
        symbols=markdown.SYMBOLS,
        full=max((comparison.full_mm for comparison in comparisons if comparison.people), default=0),
        data=_json(data),
        file=_file,
        viewer=bool(data["meshes"]),
        reload=reload,
    )
    return page.encode()


def _file(name: str) -> str:
    """A part of the page that lies beside this module."""
    return (resources.files("recface.report") / name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """JSON that no HTML reader takes for the end of the script that holds it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
