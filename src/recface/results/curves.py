"""The figure of a study along training: losses and their gradients' cosine, one line an experiment.

The table's figure: one metric against another, rows as points with their seeds.
"""

from __future__ import annotations

import numpy as np

from recface.figures import plots as picture
from recface.results.records import Entry
from recface.results.spec import Column
from recface.results.table import BlockTable, Table


def panels(table: Table) -> list[BlockTable]:
    """The blocks that the figure shows: those in which a row has both metrics."""
    metrics = [table.spec.figure.get(axis) for axis in "xy"]
    if not set(metrics) <= {column.metric for column in table.spec.columns}:
        return []
    return [b for b in table.blocks if any(all((e, m) in b.cells for m in metrics) for e in b.runs.finished)]


def draw(table: Table) -> bytes | None:
    """Draw a panel for each block that holds both metrics: seeds as dots, means with standard errors.

    Args:
        table: Filled table; its spec's figure names the metrics x and y.

    Returns:
        A PNG, the same bytes for the same table and Matplotlib; None where there is nothing to draw.
    """
    blocks = panels(table)
    if not blocks:
        return None
    columns = {column.metric: column for column in table.spec.columns}
    x, y = (columns[table.spec.figure[axis]] for axis in "xy")
    figure, axes = picture.subplots(1, len(blocks), 4.6, 3.9)
    for panel, block in zip(axes[0], blocks, strict=True):
        _panel(panel, table, block, x, y)
    return picture.to_png(figure, f"Provenance: {table.provenance}")


def _panel(axes, table: Table, block: BlockTable, x: Column, y: Column) -> None:
    for index, row in enumerate(table.spec.rows):
        first, second = (block.cells.get((row.experiment, column.metric)) for column in (x, y))
        if first is None or second is None:
            continue
        colour = f"C{index}"
        seeds = sorted(set(first.per_seed) & set(second.per_seed))
        axes.plot([first.per_seed[s] for s in seeds], [second.per_seed[s] for s in seeds], ".", color=colour, alpha=0.5)
        axes.errorbar(
            first.mean,
            second.mean,
            xerr=first.error,
            yerr=second.error,
            fmt="o",
            color=colour,
            capsize=3,
            label=row.title or row.experiment,
        )
    if y.metric in block.reference:
        axes.axhline(block.reference[y.metric], color="0.5", linestyle=":", label="mean face")
    axes.set(xlabel=x.title or x.metric, ylabel=y.title or y.metric, title=block.block.name)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


PANELS = {
    "conflict_recognition": "recognition loss (separation)",
    "conflict_reconstruction": "reconstruction loss (landmark + pixel)",
    "conflict_cosine": "cosine of their gradients",
}
SMOOTHED = 5  # points that a line averages over


def draw_curves(table: Table) -> bytes | None:
    """Draw a row of panels for each block whose runs stored curves: means over seeds, and the range of the seeds.

    Args:
        table: Filled table.

    Returns:
        A PNG, the same bytes for the same records and Matplotlib; None where no run stored curves.
    """
    curves = [(block, found) for block in table.blocks if (found := block_curves(block))]
    if not curves:
        return None
    figure, rows = picture.subplots(len(curves), len(PANELS), 4.2, 3.4)
    titles = {row.experiment: row.title or row.experiment for row in table.spec.rows}
    for axes, (block, found) in zip(rows, curves, strict=True):
        for panel, (name, label) in zip(axes, PANELS.items(), strict=True):
            for index, experiment in enumerate(titles):
                if experiment in found:
                    steps, values = found[experiment]["steps"], found[experiment][name]
                    panel.plot(steps, values.mean(0), color=f"C{index}", label=titles[experiment])
                    panel.fill_between(steps, values.min(0), values.max(0), color=f"C{index}", alpha=0.2, linewidth=0)
            panel.set(xlabel="step of stage 2", ylabel=label, title=block.block.name)
            panel.grid(alpha=0.3)
        axes[-1].axhline(0, color="0.5", linestyle=":")
        axes[0].legend(fontsize=7)
    return picture.to_png(figure)


def block_curves(block: BlockTable) -> dict[str, dict[str, np.ndarray]]:
    """Smoothed curves of a block's rows.

    Returns:
        Experiment to "steps" (T,) and the names of `PANELS`, each (seeds, T); without those whose seeds stored none.
    """
    result = {}
    for experiment, found in block.runs.finished.items():
        stored = [_smoothed(entry) for _, entry in sorted(found.items())]
        stored = [curves for curves in stored if curves]
        if stored:
            length = min(len(curves["steps"]) for curves in stored)
            result[experiment] = {name: np.stack([c[name][:length] for c in stored]) for name in PANELS}
            result[experiment]["steps"] = stored[0]["steps"][:length]
    return result


def _smoothed(entry: Entry) -> dict[str, np.ndarray]:
    arrays = entry.arrays()
    if "conflict_step" not in arrays:
        return {}
    width = min(SMOOTHED, len(arrays["conflict_step"]))
    kernel = np.full(width, 1 / width)
    names = {"steps": "conflict_step"} | {name: name for name in PANELS}
    return {key: np.convolve(arrays[name].astype(float), kernel, "valid") for key, name in names.items()}
