"""Matplotlib figures as PNG files, drawn from plain data: the same bytes for the same data and the same Matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
"""Told apart with any color vision: Okabe and Ito, *Color Universal Design*, 2008, their yellow replaced by gray."""
MARKERS = "osD^vPX"  # of another period than the colors


@dataclass(frozen=True)
class Series:
    """One method in one panel, with its label in the legend and the index of its color."""

    label: str
    color: int
    x: np.ndarray  # (S,) of a scatter plot, one value a seed; (N,) along a line
    y: np.ndarray  # (S,) of a scatter plot; (S, N) along a line, one row a seed
    mean: tuple[float, float] = (np.nan, np.nan)  # of x and y over seeds, of a scatter plot
    error: tuple[float | None, float | None] = (None, None)  # standard errors of the mean, None for one seed
    names: Sequence[str] = ()  # (N,) of the points along a line

    @property
    def style(self) -> dict[str, Any]:
        """Color and marker."""
        return {"color": COLORS[self.color % len(COLORS)], "marker": MARKERS[self.color % len(MARKERS)]}


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series] = field(default_factory=list)
    level: tuple[str | None, float] | None = None  # label and height of a dotted horizontal line
    markers: bool = False  # on the points of lines
    log: bool = False  # whether y is logarithmic


def draw_scatter(panels: Sequence[Panel], description: str | None = None) -> bytes:
    """A PNG of panels side by side: seeds as dots, means over seeds with standard errors; it stores the description."""
    figure, axes = _subplots(1, len(panels), 4.6, 3.9)
    for drawn, panel in zip(axes[0], panels, strict=True):
        for series in panel.series:
            drawn.plot(series.x, series.y, linestyle="none", markersize=3, alpha=0.5, **series.style)
            (x, y), (x_error, y_error) = series.mean, series.error
            drawn.errorbar(x, y, xerr=x_error, yerr=y_error, capsize=3, label=series.label, **series.style)
        _finish(drawn, panel)
        drawn.legend(fontsize=7)
    return _to_png(figure, description)


def draw_lines(rows: Sequence[Sequence[Panel]], description: str | None = None) -> bytes:
    """A PNG of a grid of panels: means over seeds as lines, the range of the seeds around them.

    Rows hold equally many panels, the first of each the legend; the file stores the description.
    """
    figure, axes = _subplots(len(rows), len(rows[0]), 4.4, 3.6)
    for line, panels in zip(axes, rows, strict=True):
        for drawn, panel in zip(line, panels, strict=True):
            for series in panel.series:
                style = series.style if panel.markers else {"color": series.style["color"]}
                mean, size = series.y.mean(0), 3 if len(series.x) > 1 else 8
                drawn.plot(series.x, mean, label=series.label, markersize=size, **style)
                band = {"color": style["color"], "alpha": 0.2, "linewidth": 0}
                drawn.fill_between(series.x, series.y.min(0), series.y.max(0), **band)
                for name, point in zip(series.names, zip(series.x, mean, strict=True), strict=False):
                    drawn.annotate(name, point, (3, 3), textcoords="offset points", fontsize=6, color=style["color"])
            _finish(drawn, panel)
        line[0].legend(fontsize=7)
    return _to_png(figure, description)


def _subplots(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """An empty figure, and its (rows, columns) axes, each of a width and height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyplot would look for a screen
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _finish(axes: Any, panel: Panel) -> None:
    if panel.level is not None:
        label, height = panel.level
        axes.axhline(height, color="0.5", linestyle=":", label=label)
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label, title=panel.title)
    axes.title.set_fontsize(8)
    axes.grid(alpha=0.3)
    if panel.log:
        axes.set_yscale("log")


def _to_png(figure: Figure, description: str | None) -> bytes:
    """Write a figure without what changes from one machine to the next."""
    buffer = io.BytesIO()
    described = {} if description is None else {"Description": description}
    figure.savefig(buffer, dpi=DPI, metadata={"Software": None, **described})
    return buffer.getvalue()
