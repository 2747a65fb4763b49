"""Figures of one style as PNG and PDF, drawn from plain data: the same bytes for the same data and Matplotlib."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN, PAGE = 3.5, 7.16
"""Widths in inches of one column and of both columns of a paper."""
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
"""Told apart with any color vision: Okabe and Ito, *Color Universal Design*, 2008, their yellow replaced by gray."""
MARKERS = "osD^vPX"  # of another period than the colors
DASHES = ("-", (0, (5, 1)), (0, (3, 1, 1, 1)))  # likewise, for print without colors

Files = dict[str, bytes]
"""Content of a figure's files by ending: "png" and "pdf"."""


def style() -> AbstractContextManager[None]:
    """The style of every figure, for a `with` around drawing and writing: text of 7 points at the width of a paper."""
    import matplotlib

    return matplotlib.rc_context(
        {
            "font.size": 7,
            "axes.titlesize": 7,
            "axes.linewidth": 0.6,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "grid.linewidth": 0.5,
            "lines.linewidth": 1.1,
            "lines.markersize": 3.5,
            "legend.frameon": False,
            "savefig.dpi": 200,
            "pdf.fonttype": 42,  # text stays text, in fonts that publishers take
        }
    )


@dataclass(frozen=True)
class Series:
    """One method in one panel, with its label in the legend ("" for none) and the index of its color."""

    label: str
    color: int
    x: np.ndarray  # (S,) of dots, one value a seed; (N,) along a line
    y: np.ndarray  # (S,) of dots; (S, N) along a line, one row a seed
    mean: tuple[float, float] | None = None  # of x and y over seeds, to be marked among dots
    error: tuple[float | None, float | None] = (None, None)  # standard errors of the mean, None for one seed
    names: Sequence[str] = ()  # (N,) of the points along a line, N >= 2; those of its ends are written

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
    log: str = ""  # which axes are logarithmic: "x", "y" or "xy"
    y_range: tuple[float, float] | None = None
    map: bool = False  # whether places alone matter: no ticks, both axes on one scale


def draw_panels(rows: Sequence[Sequence[Panel]], description: str | None = None) -> Files:
    """Draw a grid of panels above one legend; the PNG stores the description.

    Dots are seeds, around their mean with its standard errors; lines are means over seeds, in the range of the seeds.

    Args:
        rows: Of equally many panels.
        description: What the figure was made from.
    """
    with style():
        columns = len(rows[0])
        width = (COLUMN if columns == 1 else PAGE) / columns
        figure = new_figure(width * columns, (0.95 if rows[0][0].map else 0.85) * width * len(rows) + 0.35)
        axes = figure.subplots(len(rows), columns, squeeze=False)
        for panel, drawn in zip((panel for row in rows for panel in row), axes.flat, strict=True):
            for series in panel.series:
                (_draw_dots if series.y.ndim == 1 else _draw_line)(drawn, panel, series)
            _finish(drawn, panel, width)
            _name_ends(drawn, [series for series in panel.series if series.names])
        found = [drawn.get_legend_handles_labels() for drawn in axes.flat]
        shown = {label: handle for handles, labels in found for handle, label in zip(handles, labels, strict=True)}
        if shown:
            longest = max(map(len, shown))
            fitting = int(width * columns * 17 / (longest + 6))  # characters of 7 points, and the handle's room
            figure.legend(shown.values(), shown, loc="outside lower center", ncols=max(1, min(len(shown), fitting)))
        return to_files(figure, description)


def _draw_dots(axes: Any, panel: Panel, series: Series) -> None:
    if series.mean is None:
        axes.plot(series.x, series.y, linestyle="none", markersize=3, **series.style)
        return
    axes.plot(series.x, series.y, linestyle="none", alpha=0.5, **(series.style | {"markersize": 2}))
    (x, y), (x_error, y_error) = series.mean, series.error
    axes.errorbar(x, y, xerr=x_error, yerr=y_error, capsize=2, label=series.label, **series.style)


def _draw_line(axes: Any, panel: Panel, series: Series) -> None:
    mean, color = series.y.mean(0), series.style["color"]
    drawn = series.style if panel.markers else {"color": color, "linestyle": DASHES[series.color % len(DASHES)]}
    if panel.markers and len(series.x) == 1:
        drawn["markersize"] = 6
    axes.plot(series.x, mean, label=series.label, **drawn)
    if len(series.y) > 1:
        axes.fill_between(series.x, series.y.min(0), series.y.max(0), color=color, alpha=0.2, linewidth=0)


def _finish(axes: Any, panel: Panel, width: float) -> None:
    """Labels and ticks of a panel of a width in inches."""
    if panel.level is not None:
        label, height = panel.level
        axes.axhline(height, color="0.5", linestyle=":", label=label)
    title, y_label = textwrap.fill(panel.title, int(17 * width)), textwrap.fill(panel.y_label, int(12 * width))
    axes.set(xlabel=panel.x_label, ylabel=y_label, title=title)
    if panel.y_range is not None:
        axes.set_ylim(panel.y_range)
    if panel.map:
        axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
        axes.spines[:].set(visible=True, color="0.8")
        return
    if "x" in panel.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        axes.locator_params(axis="x", nbins=max(4, int(1.9 * width)))
    if "y" in panel.log:
        axes.set_yscale("log")
        axes.yaxis.get_minor_locator().set_params(subs=(2, 5))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")


def _name_ends(axes: Any, lines: Sequence[Series]) -> None:
    """Write the names of the first and last point of lines, beyond them: names of all would hide one another."""
    if lines:
        axes.margins(0.12)
    for line in lines:
        points = np.stack([line.x, line.y.mean(0)], 1)
        places = axes.transData.transform(points)
        for end, inner in ((0, 1), (-1, -2)):
            beyond = places[end] - places[inner]
            offset = 10 * beyond / max(np.hypot(*beyond), 1e-9)
            options = {"textcoords": "offset points", "ha": "center", "va": "center", "fontsize": 6}
            axes.annotate(line.names[end], points[end], offset, color=line.style["color"], **options)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, within `style`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyplot would look for a screen
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def to_files(figure: Figure, description: str | None = None) -> Files:
    """Write a figure, within `style`, without what changes from one machine or day to the next."""
    described = {} if description is None else {"Description": description}
    kinds: dict[str, dict[str, Any]] = {
        "png": {"Software": None, **described},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    files = {}
    for ending, metadata in kinds.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=ending, metadata=metadata)
        files[ending] = buffer.getvalue()
    return files
