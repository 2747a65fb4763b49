"""Matplotlib figures as PNG files, the same bytes for the same content and the same Matplotlib."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DPI = 110


def subplots(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """An empty figure of panels.

    Args:
        rows: Of panels.
        columns: Of panels.
        width: Of one panel, in inches.
        height: Of one panel, in inches.

    Returns:
        The figure, and (rows, columns) axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # pyplot would look for a screen
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def to_png(figure: Figure, description: str | None = None) -> bytes:
    """Write a figure without what changes from one machine to the next.

    Args:
        figure: From `subplots`.
        description: Text stored in the file; None for none.

    Returns:
        A PNG.
    """
    buffer = io.BytesIO()
    described = {} if description is None else {"Description": description}
    figure.savefig(buffer, dpi=DPI, metadata={"Software": None, **described})
    return buffer.getvalue()
