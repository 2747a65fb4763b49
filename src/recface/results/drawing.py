"""The picture beside a table: from its cells and stored curves to plain data for `figures.plots`."""

from __future__ import annotations

import numpy as np

from recface.figures.plots import Panel, Series, draw_lines, draw_scatter
from recface.results.records import Entry
from recface.results.table import BlockTable, Table

CURVES = {
    "conflict_recognition": "recognition loss (separation)",
    "conflict_reconstruction": "reconstruction loss (landmark + pixel)",
    "conflict_cosine": "cosine of their gradients",
}
SMOOTHED = 5  # points that a curve averages over


def draw(table: Table) -> bytes | None:
    """A PNG that the table's YAML asks for, its description the table's provenance; None with nothing to draw."""
    rows, description = panels(table), f"Provenance: {table.provenance}"
    if not rows:
        return None
    return draw_scatter(rows[0], description) if table.spec.figure.x else draw_lines(rows, description)


def panels(table: Table) -> list[list[Panel]]:
    """Rows of panels of a table's picture; [] where there is nothing to draw."""
    figure = table.spec.figure
    if figure.curves:
        return curve_panels(table)
    row = scatter_panels(table) if figure.x and figure.y else line_panels(table) if figure.lines else []
    return [row] if row else []


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
    """Losses and the cosine of their gradients along training, a row of panels a block whose runs stored them."""
    rows = []
    for block in table.blocks:
        curves, row = block_curves(block), []
        titles = enumerate(table.spec.titles().items())
        shown = [(index, title, curves[experiment]) for index, (experiment, title) in titles if experiment in curves]
        for name, label in CURVES.items():
            series = [Series(title, index, found["steps"], found[name]) for index, title, found in shown]
            level = (None, 0.0) if name == "conflict_cosine" else None
            row.append(Panel(block.block.name, "step of stage 2", label, series, level))
        if shown:
            rows.append(row)
    return rows


def block_curves(block: BlockTable) -> dict[str, dict[str, np.ndarray]]:
    """Smoothed curves by experiment: "steps" (T,), and (seeds, T) for each of `CURVES`; without those never stored."""
    result = {}
    for experiment, found in block.runs.finished.items():
        stored = [curves for _, entry in sorted(found.items()) if (curves := _smoothed(entry))]
        if stored:
            length = min(len(curves["steps"]) for curves in stored)
            result[experiment] = {name: np.stack([c[name][:length] for c in stored]) for name in CURVES}
            result[experiment]["steps"] = stored[0]["steps"][:length]
    return result


def _smoothed(entry: Entry) -> dict[str, np.ndarray]:
    arrays = entry.arrays("conflict_")
    if "conflict_step" not in arrays:
        return {}
    width = min(SMOOTHED, len(arrays["conflict_step"]))
    kernel = np.full(width, 1 / width)
    names = {"steps": "conflict_step"} | {name: name for name in CURVES}
    return {key: np.convolve(arrays[name].astype(float), kernel, "valid") for key, name in names.items()}


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
