"""Losses and metrics of runs along training, from their logs while they train and from their records afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from recface.files.guard import is_file, is_number
from recface.files.json_files import read_json_lines
from recface.results.records import Entry

MOST_POINTS, ALL_POINTS = 100, 20_000
"""Points of one curve, and of one curve of each run together: many runs are drawn coarser, so that the page opens."""
LEFT_OUT = ("stage", "step", "rate")


def run_curves(entry: Entry, points: int = MOST_POINTS) -> dict[str, dict[str, list[float]]]:
    """Curves of a run by name, such as "loss/pixel" or "conflict/cosine", in the units of the log.

    Args:
        entry: The run; where its metrics.jsonl is, curves are of the stage that was logged last.
        points: The most points of a curve, evenly spaced.

    Returns:
        Name to {"x": steps, "y": values}, finite ones alone, rounded to four digits.

    Raises:
        RecfaceError: The log or the predictions are damaged.
    """
    log = entry.path.with_name("metrics.jsonl")
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if entry.path.name == "run.json" and is_file(log):
        rows = [row for row in read_json_lines(log) if _whole(row.get("step"))]
        last = max((row["stage"] for row in rows if _whole(row.get("stage"))), default=None)
        # A run that was killed repeats the lines after its last checkpoint: the last line of a step counts.
        kept = {row["step"]: row for row in rows if row.get("stage") == last}
        for name in sorted({key for row in kept.values() for key in row} - set(LEFT_OUT)):
            found = {step: row[name] for step, row in sorted(kept.items()) if name in row and is_number(row[name])}
            curves[name] = np.array(list(found), float), np.array(list(found.values()), float)
    else:
        arrays = entry.arrays("training_", "conflict_")
        for key, values in arrays.items():
            kind, _, name = key.partition("_")
            steps = arrays.get(f"{kind}_step")
            if name != "step" and steps is not None and steps.shape == values.shape:
                curves[f"{'loss' if kind == 'training' else kind}/{name}"] = steps.astype(float), values.astype(float)
    return {name: thinned for name, (x, y) in curves.items() if (thinned := _thinned(x, y, points))["x"]}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _thinned(x: np.ndarray, y: np.ndarray, points: int) -> dict[str, list[float]]:
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    places = np.linspace(0, len(x) - 1, min(len(x), points)).round().astype(int)
    return {"x": x[places].tolist(), "y": [float(f"{value:.4g}") for value in y[places].tolist()]}


def curves_of(entries: Sequence[Entry], names: Sequence[str]) -> list[dict[str, Any]]:
    """Runs that have curves, with their names, as the page draws them."""
    points = max(20, min(MOST_POINTS, math.ceil(ALL_POINTS / max(1, len(entries)))))
    found = [(name, run_curves(entry, points)) for entry, name in zip(entries, names, strict=True)]
    return [{"name": name, "curves": curves} for name, curves in found if curves]
