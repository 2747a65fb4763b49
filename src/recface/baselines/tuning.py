"""Settings of a third-party baseline chosen on validation people; test people and photographs stay unopened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from recface.baselines.configuration import METHODS, baseline_config
from recface.baselines.run_baseline import build_baseline
from recface.data import Source
from recface.data.sources import embedded_source
from recface.data.workbench import open_workbench
from recface.errors import RecfaceError
from recface.run.evaluation import Geometry, measured_shapes

SPAN = 10.0
"""Each setting is searched from its value in configs/baselines/ divided by this to that value times this."""
KEPT = ("noise",)
"""Numbers that describe a method's input rather than the method."""


@dataclass(frozen=True)
class Trial:
    """The values tried, by name, and the mean shape error of validation photos (`shape-error-similarity/v1`)."""

    settings: dict[str, float]
    error_mm: float


def every(source: Source, count: int) -> Source:
    """`count` photos spread evenly over a source; all of them if it has no more."""
    if len(source) <= count:
        return source
    rows = np.linspace(0, len(source) - 1, count).round().astype(int)
    arrays = {field.name: getattr(source, field.name) for field in fields(source)}
    chosen = {key: value[rows] for key, value in arrays.items() if isinstance(value, np.ndarray)}
    extra = None if source.extra is None else {key: value[rows] for key, value in source.extra.items()}
    return replace(source, **chosen, extra=extra)


def search(
    name: str,
    overrides: Sequence[str] = (),
    trials: int = 30,
    photos: int = 150,
    watch: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Search a baseline's numbers for the lowest shape error on validation people.

    Optuna's TPE sampler searches the logarithm of every real number of the method, from the configuration itself. Each
    trial fits `photos` validation photos; `watch` is called after it.

    Returns:
        All trials, best first.

    Raises:
        RecfaceError: As `baseline_config`, a method without numbers, or trials < 1.
    """
    import optuna

    config = baseline_config(name, overrides)
    settings: dict[str, Any] = config["baselines"]
    declared = METHODS[settings["method"]][0].model_fields
    ranges = {
        key: settings[key]
        for key, field in declared.items()
        if field.annotation is float and key not in KEPT and settings[key] > 0
    }
    if not ranges:
        raise RecfaceError(f"baseline {name} has no numbers to choose")
    if trials < 1:
        raise RecfaceError(f"--search must be a whole number >= 1, not {trials}")
    torch.set_num_threads(config["trainer"]["threads"])
    bench = open_workbench(config, training=False)
    source, geometry = every(embedded_source(bench.benchmark, "validation"), photos), Geometry(bench)
    done: list[Trial] = []

    def error(trial: optuna.Trial) -> float:
        tried = {key: trial.suggest_float(key, value / SPAN, value * SPAN, log=True) for key, value in ranges.items()}
        predict = build_baseline(bench.face_model, bench.benchmark.albedo_model, settings | tried, config["seed"])
        shapes = measured_shapes(predict, source, geometry)
        assert shapes.errors is not None
        done.append(Trial(tried, float(shapes.errors.mean())))
        if watch is not None:
            watch(done[-1])
        return done[-1].error_mm

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=config["seed"]))
    study.enqueue_trial(ranges)
    study.optimize(error, n_trials=trials)
    return sorted(done, key=lambda trial: trial.error_mm)
