"""The picture beside a table: from its cells and stored curves to plain data for `figures.plots`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recface.figures.plots import Panel, Series, draw_lines, draw_scatter
from recface.results.records import Entry
from recface.results.table import BlockTable, Table, row_curve

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


def draw(table: Table) -> bytes | None:
    """A PNG that the table's YAML asks for, its description the table's provenance; None with nothing to draw."""
    rows, description = panels(table), f"Provenance: {table.provenance}"
    if not rows:
        return None
    scattered = table.spec.figure.x and not _curve_names(table)
    return draw_scatter(rows[0], description) if scattered else draw_lines(rows, description)


def panels(table: Table) -> list[list[Panel]]:
    """Rows of panels of a table's picture; [] where there is nothing to draw."""
    figure = table.spec.figure
    if figure.curves:
        return curve_panels(table)
    if figure.x and figure.y:
        row = tradeoff_panels(table, figure.x, figure.y) if _curve_names(table) else scatter_panels(table)
    else:
        row = line_panels(table) if figure.lines else []
    return [row] if row else []


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
    """Losses along training, a row of panels for each block whose runs stored them, and are in no block before.

    The titles name rows that have runs, none of which stored curves.
    """
    kind, titles = table.spec.figure.curves or "", table.spec.titles()
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
            found.append(Panel(block.block.name, "modes", label, series, markers=True, log=True))
    return found
