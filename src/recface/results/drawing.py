"""The pictures beside a table: from its cells, stored curves and predictions to plain data for the room `figures`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recface.errors import RecfaceError
from recface.figures.plots import Files, Panel, Series, draw_panels
from recface.results.records import Entry
from recface.results.table import BlockTable, Table, row_curve

if TYPE_CHECKING:
    from recface.figures.prediction_panels import Method

CURVES = {
    "conflict": {
        "conflict_recognition": "recognition loss (separation)",
        "conflict_reconstruction": "reconstruction loss (landmark + pixel)",
        "conflict_cosine": "cosine of their gradients",
    },
    "training": {
        "training_landmark": "landmark loss (% of half an image)",
        "training_pixel": "pixel loss",
        "training_separation": "recognition loss (separation)",
    },
}
"""Curves of each kind, by the names of their arrays, with labels; the array KIND_step holds their steps."""
SMOOTHED = 5  # points that a curve averages over, where it has three times as many
SIDE_BY_SIDE = ("baseline", "sir", "sfm", "prototypes")
"""Rows whose photos are mapped, and whose shapes are shown in strips, where they have runs."""


def pictures(table: Table) -> dict[str, Callable[[], Files]]:
    """The pictures that a table's YAML asks for, by name, to be drawn; {} where there is nothing to draw.

    PNGs hold the table's provenance. Drawing raises `RecfaceError` where a run did not store what a picture shows, or
    where the cache has no photos to show.
    """
    figure, name, about = table.spec.figure, table.spec.name, f"Provenance: {table.provenance}"
    grids = {name: cell_panels(table), f"{name}_curves": curve_panels(table)}
    found: dict[str, Callable[[], Files]] = {
        key: partial(draw_panels, rows, about) for key, rows in grids.items() if rows
    }
    if blocks := [block for block in table.blocks if block.block.metrics == "benchmark" and _predicted(block)]:
        draws = {"roc": _roc, "errors": _errors, "maps": _maps, "strips": _strips}
        found |= {f"{name}_{kind}": partial(draws[kind], table, blocks, about) for kind in figure.predictions}
    return found


def cell_panels(table: Table) -> list[list[Panel]]:
    """A row of panels of the table's values; [] where there is nothing to draw."""
    figure = table.spec.figure
    if figure.x and figure.y:
        row = tradeoff_panels(table, figure.x, figure.y) if _curve_names(table) else scatter_panels(table)
    else:
        row = line_panels(table) if figure.lines else []
    return [row] if row else []


def _predicted(block: BlockTable) -> list[Entry]:
    """Runs whose predictions are stored."""
    return [entry for entry in block.runs.entries() if entry.predictions is not None]


def _methods(table: Table, block: BlockTable, only: tuple[str, ...] | None = None) -> list[Method]:
    """Rows with stored predictions, of `only` where that is given."""
    from recface.figures.prediction_panels import Method

    names = ("test_parameters", "test_identity", "test_shape_error", "basis_gram", "identity_sigma")
    titles, stored = table.spec.titles(), {id(entry) for entry in _predicted(block)}
    found = []
    for index, (experiment, title) in enumerate(titles.items()):
        if only is None or experiment in only:
            runs = [run for _, run in sorted(block.runs.finished[experiment].items()) if id(run) in stored]
            if runs:
                metrics = runs[0].record.metrics["benchmark"]
                found.append(Method(title, index, [run.arrays(*names) for run in runs], metrics))
    return found


def _roc(table: Table, blocks: list[BlockTable], about: str) -> Files:
    from recface.figures.prediction_panels import roc_panels

    return draw_panels([roc_panels(_methods(table, block), block.block.name) for block in blocks], about)


def _errors(table: Table, blocks: list[BlockTable], about: str) -> Files:
    from recface.figures.prediction_panels import error_panel

    return draw_panels([[error_panel(_methods(table, block), block.block.name) for block in blocks]], about)


def _maps(table: Table, blocks: list[BlockTable], about: str) -> Files:
    from recface.figures.prediction_panels import map_panels

    return draw_panels(map_panels(_methods(table, blocks[0], SIDE_BY_SIDE)), about)


def _strips(table: Table, blocks: list[BlockTable], about: str) -> Files:
    """The first test person, by the first seed of each row; rows with a face model of their own lack it here."""
    from recface.face_model import get
    from recface.figures.consistency_strips import cached_photos, draw_strips
    from recface.results.evaluate import has_own_model

    chosen = {}
    for experiment in SIDE_BY_SIDE:
        for _, entry in sorted(blocks[0].runs.finished.get(experiment, {}).items())[:1]:
            if entry.predictions is not None and not has_own_model(entry.record):
                chosen[table.spec.titles()[experiment]] = entry
    if not chosen:
        raise RecfaceError("no run whose shapes are of the benchmark's face model")
    record = next(iter(chosen.values())).record
    photos, labels = cached_photos(record.data_manifest, "test")
    person = labels["identity"] == labels["identity"][0]
    shapes = {title: entry.arrays("test_parameters")["test_parameters"][person] for title, entry in chosen.items()}
    model = get(record.config["face_model"]["name"], record.config["face_model"].get("path"))
    return draw_strips(model, photos[person], labels["identity_parameters"][0], shapes, about)


def _curve_names(table: Table) -> list[str]:
    return list(dict.fromkeys(block.block.curve for block in table.blocks if block.block.curve))


def tradeoff_panels(table: Table, x: str, y: str) -> list[Panel]:
    """One metric against another along the rows' curves over blocks, a panel for each curve's name.

    Curves are means over the seeds that all of them have, which the panel's title lists, and where they share none,
    over their own.
    """
    labels = {column.metric: column.title or column.metric for column in table.spec.columns}
    found = []
    for name in _curve_names(table):
        rows = [(title, *row_curve(table.blocks, name, row, (x, y))) for row, title in table.spec.titles().items()]
        shared = set.intersection(*map(set, drawn)) if (drawn := [curves for *_, curves in rows if curves]) else set()
        series = []
        for index, (title, points, curves) in enumerate(rows):
            if curves:
                values = np.stack([curves[seed] for seed in sorted(shared or curves)])
                names = points if len(points) > 1 else ()
                series.append(Series(title, index, values[:, 0].mean(0), values[:, 1], names=names))
        if series:
            word = "seed" if len(shared) == 1 else "seeds"
            title = f"{name}, {word} {', '.join(map(str, sorted(shared)))}" if shared else name
            found.append(Panel(title, labels[x], labels[y], series, markers=True))
    return found


def scatter_panels(table: Table) -> list[Panel]:
    """One metric against another, a panel for each block in which a row has both."""
    columns = {column.metric: column for column in table.spec.columns}
    x, y = (columns[metric or ""] for metric in (table.spec.figure.x, table.spec.figure.y))
    found = []
    for block in table.blocks:
        series = []
        for index, (experiment, title) in enumerate(table.spec.titles().items()):
            first, second = (block.cells.get((experiment, column.metric)) for column in (x, y))
            if first is None or second is None:
                continue
            seeds = sorted(set(first.per_seed) & set(second.per_seed))
            xs, ys = (np.array([cell.per_seed[seed] for seed in seeds]) for cell in (first, second))
            series.append(Series(title, index, xs, ys, (first.mean, second.mean), (first.error, second.error)))
        level = ("mean face", block.reference[y.metric]) if y.metric in block.reference else None
        if series:
            found.append(Panel(block.block.name, x.title or x.metric, y.title or y.metric, series, level))
    return found


def curve_panels(table: Table) -> list[list[Panel]]:
    """Losses along training, where the table asks for them.

    There is a row of panels for each block whose runs stored them, and are in no block before.

    The titles name rows that have runs, none of which stored curves.
    """
    kind, titles = table.spec.figure.curves, table.spec.titles()
    if kind is None:
        return []
    drawn: set[Path] = set()
    rows = []
    for block in table.blocks:
        paths = {entry.path for entry in block.runs.entries()}
        curves = {} if paths <= drawn else block_curves(block, kind)
        drawn |= paths
        without = [title for name, title in titles.items() if block.runs.finished[name] and name not in curves]
        title = block.block.name + (f"; not stored: {', '.join(without)}" if without else "")
        shown = [(titles[name], index, curves[name]) for index, name in enumerate(titles) if name in curves]
        row = []
        for key, label in CURVES[kind].items():
            series = [Series(name, index, found["steps"], found[key]) for name, index, found in shown if key in found]
            level = (None, 0.0) if key == "conflict_cosine" else None
            row.append(Panel(title, "step of stage 2", label, series, level))
        if shown:
            rows.append(row)
    return rows


def block_curves(block: BlockTable, kind: str) -> dict[str, dict[str, np.ndarray]]:
    """Smoothed curves by experiment: "steps" (T,), and (seeds, T) for each of `CURVES` that all seeds stored."""
    result = {}
    for experiment, found in block.runs.finished.items():
        stored = [curves for _, entry in sorted(found.items()) if (curves := _smoothed(entry, kind))]
        if stored:
            length = min(len(curves["steps"]) for curves in stored)
            names = [name for name in CURVES[kind] if all(name in curves for curves in stored)]
            result[experiment] = {name: np.stack([curves[name][:length] for curves in stored]) for name in names}
            result[experiment]["steps"] = stored[0]["steps"][:length]
    return result


def _smoothed(entry: Entry, kind: str) -> dict[str, np.ndarray]:
    arrays = entry.arrays(f"{kind}_")
    if (steps := arrays.get(f"{kind}_step")) is None:
        return {}
    width = max(1, min(SMOOTHED, len(steps) // 3))
    names = {"steps": f"{kind}_step"} | {name: name for name in CURVES[kind] if name in arrays}
    return {
        key: np.convolve(arrays[name].astype(float), np.full(width, 1 / width), "valid") for key, name in names.items()
    }


def line_panels(table: Table) -> list[Panel]:
    """A metric against the number of modes, a panel for each block."""
    figure, titles = table.spec.figure, table.spec.titles()
    labels = {column.metric: column.title or column.metric for column in table.spec.columns}
    found = []
    for block in table.blocks:
        series = []
        for index, (experiment, title) in enumerate(titles.items()):
            entries = list(block.runs.finished[experiment].values())
            names = {key for entry in entries for key in entry.record.metrics[block.block.metrics]}
            sizes = sorted(int(name.partition("@")[2]) for name in names if name.startswith(f"{figure.lines}@"))
            if sizes and experiment not in figure.hide:
                values = [[entry.value(block.block.metrics, f"{figure.lines}@{n}") for n in sizes] for entry in entries]
                series.append(Series(title, index, np.array(sizes), np.array(values, float)))
        label = labels.get(figure.lines or "", figure.lines or "")
        if series:
            found.append(Panel(block.block.name, "modes", label, series, markers=True, log="y"))
    return found
