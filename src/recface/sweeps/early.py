"""Early termination: W&B's hyperband on Optuna's successive halving, and the values that it compares.

A run is compared with the others each time it has written a line to metrics.jsonl (one an epoch of stage 2). The value
is that of the sweep's own metric where the line holds it; with `trainer.validate=true` it holds `validation/...`. Where
it does not, the metric being known at the end alone, it is the training loss, `loss/total`, which is to fall; do not
rely on that in a sweep over the weights of this loss.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

FALLBACK = "loss/total"


def pruner(early_terminate: dict[str, Any] | None) -> BasePruner:
    """Optuna's pruner for W&B's `early_terminate`.

    W&B compares runs after b, b eta, b eta^2, ... values of the metric, and stops those that are not among the best
    1/eta; b is min_iter, or max_iter / eta^s. That is asynchronous successive halving, with eta 3 if nothing is said.

    Args:
        early_terminate: {"type": "hyperband", "min_iter" or "max_iter" and "s", "eta"}; None never stops a run.

    Returns:
        The pruner.
    """
    from optuna.pruners import NopPruner, SuccessiveHalvingPruner

    if early_terminate is None:
        return NopPruner()
    eta = early_terminate.get("eta", 3)
    first = early_terminate.get("min_iter")
    if first is None:
        first = max(1, int(early_terminate["max_iter"] / eta ** early_terminate["s"]))
    return SuccessiveHalvingPruner(min_resource=first, reduction_factor=eta)


def intermediate_values(run: Path, metric: str, goal: str) -> list[float]:
    """The values by which a run is compared with others on its way.

    Args:
        run: Its folder, with metrics.jsonl.
        metric: Name of the sweep's metric.
        goal: "minimize" or "maximize".

    Returns:
        One value a line, better in the direction of `goal`; NaN where the run wrote that it was no number.
    """
    try:
        lines = (run / "metrics.jsonl").read_text().splitlines()
    except OSError:
        return []
    rows: dict[Any, dict[str, Any]] = {}
    for number, line in enumerate(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the last line, half written
        step = row.get("step", number)
        # A run that was killed goes on from its last checkpoint, and repeats the lines after it.
        rows = {before: kept for before, kept in rows.items() if before < step} | {step: row}
    values = []
    for row in rows.values():
        name = metric if metric in row else FALLBACK
        if name in row:
            value = math.nan if row[name] is None else float(row[name])
            values.append(-value if name != metric and goal == "maximize" else value)
    return values
