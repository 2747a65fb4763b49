"""`recface tables`, `evaluate` and `pictures`: what the records of runs, and any method's predictions, show."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from recface.cli.declaration import BENCHMARK_FOLDERS, argument, command, flag, path, progress
from recface.errors import RecfaceError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from recface.results.recompute import Recomputed
    from recface.results.records import Entry


_RUNS = path("--runs", "DIR", "folder of runs", "runs")
_RECORDS = path("--records", "DIR", "folder of records", "results/records")


@command(
    "tables",
    _RUNS,
    path("--results", "DIR", "where to write", "results"),
    path("--configs", "DIR", "table YAMLs (configs/table)"),
    flag("--check", "write nothing; exit 1 if results/ is out of date"),
    flag("--no-figures", "write neither figures nor report.html, which take half a minute"),
    argument("--wandb", metavar="ENTITY/PROJECT", help="take the runs from this W&B project alone"),
    argument("--explain", nargs=2, metavar=("ROW", "COLUMN"), help="tell which runs made a cell, and how"),
    argument("--table", metavar="NAME", help="with --explain: table of the cell (the first that has it)"),
    argument("--block", metavar="NAME", help="with --explain: block of the cell (the first with a value)"),
    one_thread=True,
)
def tables(options: argparse.Namespace) -> None:
    """Build every table of configs/table/ from the records of runs, or check or explain them."""
    if options.explain and (options.check or options.wandb):
        raise RecfaceError("--explain reads the runs on disk and writes nothing: leave out --check and --wandb")
    if not options.explain and (options.table or options.block):
        raise RecfaceError("--table and --block name the cell of --explain ROW COLUMN, which is missing")
    if options.no_figures and (options.check or options.explain or options.wandb):
        raise RecfaceError("--no-figures is for tables from the runs on disk: leave out the other options")
    if options.check and options.wandb:
        raise RecfaceError("--check compares with the runs on disk: leave out --wandb")
    from recface.results.build import check_tables, write_tables, write_tables_from_wandb
    from recface.results.explain import explain
    from recface.settings.compose import CONFIGS

    configs = options.configs or CONFIGS / "table"
    if options.explain:
        row, column = options.explain
        print(explain(configs, options.runs, options.results, row, column, options.table, options.block))
    elif options.check:
        check_tables(configs, options.runs, options.results)
        print(f"{options.results} is up to date")
    else:
        if options.wandb:
            written, found = write_tables_from_wandb(configs, options.wandb, options.results)
        else:
            written, found = write_tables(configs, options.runs, options.results, not options.no_figures)
        if not options.no_figures:
            from recface.files.atomic import write_bytes
            from recface.report.page import report_of_results

            page = options.results / "report.html"
            write_bytes(page, report_of_results(found.tables, found.entries))
            written.append(page)
        print("\n".join(map(str, written)))


@command(
    "evaluate",
    flag("--markdown", "with --list: the table of docs/protocols.md"),
    argument("--protocol", metavar="ID", help="such as lfw-10fold-cos/v1"),
    argument("--layout", choices=BENCHMARK_FOLDERS, help="--data is this benchmark's official folder"),
    path("--data", "MANIFEST", "CSV, pair list, or folder; a run needs none"),
    path("--run", "RUN", "with --layout: reconstruct its photos with this run first, into the folder --predictions"),
    argument("--unit", choices=("mm", "cm", "dm", "m", "um"), default="mm", help="of predicted meshes and points (mm)"),
    path("--template", "FILE", "REALY's keypoints NAME.txt of the predictions' topology, NAME.obj beside it"),
    path("--template-mask", "FILE", "with --template: 0 or 1 for each vertex, REALY's --template_mask"),
    argument("--face-model", metavar="NAME[=PATH]", help="measure in the face region of this face model"),
    flag("--allow-missing", "leave out samples without prediction, and count them"),
    path("--json", "FILE", "write the numbers to this file, too"),
    _RUNS,
    _RECORDS,
    one_of=(
        flag("--list", "every protocol: id, source, unit, what it needs"),
        flag("--all", "recompute the metrics of all runs, compare with the records"),
        path("--predictions", "DIR", "npz, npy, OBJ or PLY of any method; or a run"),
    ),
    one_thread=True,
)
def evaluate(options: argparse.Namespace) -> None:
    """Measure any method's predictions under a protocol of the field, or recompute every run's metrics.

    docs/protocols.md says what predictions and manifests hold, and which official folders --layout reads.
    """
    from recface.files.atomic import write_json
    from recface.results.evaluate import evaluate as measure
    from recface.results.evaluate import listing, markdown

    if options.list:
        print(markdown() if options.markdown else listing(), end="\n" * (not options.markdown))
    elif options.all:
        _recompute(options)
    else:
        if options.run is not None:
            _reconstruct(options)
        report = measure(
            options.predictions,
            options.protocol,
            options.data,
            options.face_model,
            options.allow_missing,
            layout=options.layout,
            unit=options.unit,
            template=options.template,
            template_mask=options.template_mask,
        )
        _print_report(report)
        if options.json:
            write_json(options.json, report)


def _reconstruct(options: argparse.Namespace) -> None:
    """Prepare the photos of a benchmark's folder, beside the predictions, and predict them with a run's network."""
    from recface.files.atomic import require_empty
    from recface.metrics.layouts import find_layout
    from recface.prepare.catalog import DATASETS
    from recface.prepare.preparation import prepare
    from recface.run.reconstruct import open_faces, open_run, reconstruct_photos

    if options.layout not in DATASETS or options.data is None:
        known = ", ".join(name for name in BENCHMARK_FOLDERS if name in DATASETS)
        raise RecfaceError(f"--run needs --data, and --layout {known}: photos that `recface prepare` knows")
    find_layout(options.layout, options.protocol)  # mistakes are told before the work
    require_empty(options.predictions)
    bench, variant = open_run(options.run)
    raw = options.data.parent if options.data.is_file() else options.data
    out = options.predictions.with_name(f"{options.predictions.name}-photos")
    with progress("preparing photos") as show:
        store = prepare(options.layout, raw, out, bench.config["scale"]["image_size"], os.cpu_count() or 1, watch=show)
    with progress("reconstructing") as show:
        photos = open_faces(store.parent, bench)
        reconstruct_photos(bench, variant, photos, options.predictions, benchmark=options.layout, watch=show)


def _recompute(options: argparse.Namespace) -> None:
    from recface.files.atomic import write_json
    from recface.results.evaluate import SCHEMA, split_model
    from recface.results.recompute import compare_runs
    from recface.results.records import find_records

    entries = find_records(options.runs, options.records)
    if not entries:
        raise RecfaceError(f"no runs in {options.runs} or {options.records}; `recface run +experiment=sir` makes one")
    name, path = split_model(options.face_model) if options.face_model else ("", None)
    result = compare_runs(entries, {name: path} if path else None)
    _print_comparisons(result)
    off = [item for item in result.comparisons.values() if item.off]
    if options.json:
        comparisons = [vars(item) | {"off": item.off} for item in result.comparisons.values()]
        content = {"comparisons": comparisons, "values": result.values, "skipped": result.skipped}
        write_json(options.json, {"schema": SCHEMA} | content)
    if not result.values:
        raise RecfaceError("no run could be recomputed; the reasons are above")
    if off:
        worst = off[0]
        raise RecfaceError(
            f"{len(off)} metrics differ from their records beyond rounding, such as {worst.block}.{worst.metric} of "
            f"{worst.where} by {worst.largest:.3g}: the code measures otherwise than when it ran; raise its protocol"
        )
    print(f"{len(result.values)} runs recomputed: all metrics agree with their records")


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4f}" if abs(value) < 1e4 else f"{value:.4g}"


def _print_report(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("number", "value", "what it is", title=report["protocol"], title_justify="left")
    for name, value in report["values"].items():
        unit = report["units"].get(name, report["unit"])
        table.add_row(name, _number(value) + (f" {unit}" if unit else ""), report["meaning"].get(name, ""))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    pairs = "" if report["pairs"] is None else f", {report['pairs']:,} pairs"
    console.print(f"{report['samples']:,} samples{pairs}; {report['region']}", highlight=False)
    if report["missing"]:
        lost = f", and with them {report['missing_pairs']:,} pairs" if report["missing_pairs"] else ""
        console.print(f"left out, since they have no prediction: {report['missing']:,}{lost}", highlight=False)
    if report["unused"]:
        console.print(f"left out, since the list does not name them: {report['unused']:,}", highlight=False)


def _print_comparisons(result: Recomputed) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("block", "metric", "runs", "largest difference", "rounding explains", "in", "")
    for item in result.comparisons.values():
        off = "OFF" if item.off else ""
        numbers = (str(item.runs), f"{item.largest:.2g}", f"{item.bound:.2g}")
        table.add_row(item.block, item.metric, *numbers, item.where, off)
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    for reason, count in result.skipped.items():
        print(f"not compared: {count} x {reason}")


SHOWN = ("001_smiling.jpg", "002_neutral.jpg")
"""Photographs on docs/reconstructed.png: the first smiling one, and the next person's neutral one."""


@command(
    "pictures",
    path("--data", "DIR", "folder of ict_face/ and london/, to draw that face model and reconstructed photographs too"),
    _RUNS,
    _RECORDS,
    path("--out", "DIR", "where to write", "docs"),
    overrides="of the benchmark's configuration",
)
def pictures(options: argparse.Namespace) -> None:
    """Draw docs/*.png again: face models, the embedded benchmark, methods side by side."""
    from recface.data.workbench import open_workbench
    from recface.figures.benchmark_page import draw_benchmark_page
    from recface.figures.comparison_page import METHODS, draw_comparison_page
    from recface.figures.face_model_page import draw_face_model_page
    from recface.results.records import find_records
    from recface.settings.compose import compose_config

    bench = open_workbench(compose_config("+experiment=baseline", *options.overrides))
    draw_benchmark_page(bench.benchmark, options.out / "benchmark.png")
    few = [
        "scale=smoke",
        "scale.image_size=96",
        "scale.identity_photos=14",
        "scale.photos_each=14",
        "scale.control_photos=14",
    ]
    lifelike = open_workbench(compose_config("+experiment=baseline", *few, "scale.appearance=lifelike"))
    draw_benchmark_page(lifelike.benchmark, options.out / "lifelike.png")
    entries = find_records(options.runs, options.records)
    shown = page_methods(entries, METHODS, bench.benchmark.manifest_hash)
    draw_comparison_page(bench, shown, options.out / "comparison.png")
    draw_face_model_page(options.out / "face_models.png", options.data)
    if options.data is not None and (options.data / "london").is_dir():
        draw_reconstructed(options.data / "london" / "images", options.out / "reconstructed.png")


def draw_reconstructed(folder: Path, path: Path) -> None:
    """Draw faces of photographs, reconstructed by the network that comes with the package."""
    from recface.data.found_faces import find_faces
    from recface.files.atomic import replacing
    from recface.run.face_files import picture_of_faces
    from recface.run.reconstruct import predict, reframe
    from recface.run.shipped import open_shipped

    network = open_shipped()
    detected = find_faces([folder / name for name in SHOWN], network.canonical, network.image_size)
    faces = reframe(network.variant, detected, network.canonical)
    with replacing(path) as part:
        picture_of_faces(faces, predict(network.variant, faces.images)).save(part, "PNG", optimize=True)


def page_methods(entries: Iterable[Entry], experiments: Iterable[str], manifest: str) -> dict[str, np.ndarray]:
    """Predicted parameters (N, K) of the test photos by experiment: of its plainest record on this benchmark.

    Args:
        entries: From `find_records`.
        experiments: Those wanted; the ones without a record are left out.
        manifest: Hash of the benchmark.
    """
    found: dict[str, np.ndarray] = {}
    usable = [e for e in entries if e.record.data_manifest == manifest and e.record.state == "finished"]
    for name in experiments:
        chosen = [e for e in usable if e.record.experiment == name and e.predictions is not None]
        if chosen:
            plainest = min(chosen, key=lambda e: (len(e.record.overrides), e.record.seed))
            found[name] = plainest.arrays("test_parameters")["test_parameters"].astype("float32")
    return found
