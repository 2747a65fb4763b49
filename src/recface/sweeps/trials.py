"""What an Optuna study and a run's record say about a point: small functions that a search is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from recface.errors import RecfaceError
from recface.sweeps.distributions import Draw
from recface.tracking.record import read_record


def drawn_of(trial: FrozenTrial) -> dict[str, Any]:
    """What was drawn for a trial, or given to it when it was enqueued."""
    return trial.system_attrs.get("fixed_params", {}) | trial.params


def retried_numbers(trials: Iterable[FrozenTrial]) -> set[int]:
    """Numbers of the failed trials that another one has taken the place of."""
    return {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}


def stored_choice(draw: Draw, value: Any) -> Any:
    """The form in which a study stores one of a categorical parameter's values."""
    return next(choice for choice in draw.distribution.choices if draw.value(choice) == value)  # type: ignore


def report(study: optuna.Study, number: int, values: Sequence[float]) -> bool:
    """Tell a study the values of a trial that it does not know yet, until its pruner would stop the trial.

    Args:
        study: The study.
        number: Of the trial.
        values: One a step, from step 1 on.

    Returns:
        Whether the pruner would stop it.
    """
    stored = study.get_trials(deepcopy=False)[number]
    trial = optuna.trial.Trial(study, stored._trial_id)
    for step, value in enumerate(values, start=1):
        if step not in stored.intermediate_values:
            trial.report(value, step)
            if trial.should_prune():
                return True
    return False


def run_metric(run: Path | None, name: str) -> float:
    """A metric from a run's record.

    Args:
        run: Folder of the run, None where the run told none.
        name: Block and key, such as "validation/geometry_auc".

    Returns:
        Its value.

    Raises:
        RecfaceError: There is no record, or no such metric in it.
    """
    if run is None:
        raise RecfaceError(f"the run told no folder, so its {name} is not known")
    block, _, key = name.partition("/")
    metrics = read_record(run).metrics
    value = metrics.get(block, {}).get(key)
    if value is None:
        known = ", ".join(f"{block}/{key}" for block, values in metrics.items() for key in values) or "none"
        raise RecfaceError(f"{run}/run.json holds no metric {name}; it holds {known}")
    return float(value)
