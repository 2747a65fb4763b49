"""The table's figure: one metric against another, rows as points with their seeds."""

from __future__ import annotations

from recface.results import picture
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
