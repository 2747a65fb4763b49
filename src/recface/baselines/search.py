"""Settings of a peer chosen on validation people: test people and photographs are not opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from recface.baselines import build_peer
from recface.baselines.method import METHODS
from recface.baselines.run_baseline import peer_config
from recface.data import Source
from recface.data.sources import embedded_source
from recface.data.workbench import open_workbench
from recface.errors import RecfaceError
from recface.run.evaluation import Geometry

SPAN = 10.0
"""Each setting is searched between its value in configs/peer/ divided by this, and multiplied."""
KEPT = ("noise",)
"""Numbers that say what a method is given, not how it works."""


@dataclass(frozen=True)
class Trial:
    """One try.

    Attributes:
        settings: What was tried, by name.
        error_mm: Mean shape error of the validation photos (`shape-error-similarity/v1`).
    """

    settings: dict[str, float]
    error_mm: float


def every(source: Source, count: int) -> Source:
    """About `count` photos of a source, evenly over it; all of them if it has no more."""
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
    """Search a peer's numbers for the least shape error on validation people.

    Optuna's TPE sampler, over the logarithm of every number of the method that is not whole; the first try is the
    configuration itself.

    Args:
        name: One of `known_peers`.
        overrides: As `peer_config`.
        trials: Tries.
        photos: Validation photos of each.
        watch: Called after each try.

    Returns:
        All tries, best first.

    Raises:
        RecfaceError: As `peer_config`, a method without numbers, or no try.
    """
    import optuna

    config = peer_config(name, overrides)
    settings: dict[str, Any] = config["peer"]
    kinds = METHODS[settings["method"]][1]
    ranges = {
        key: settings[key] for key, kind in kinds.items() if kind is float and key not in KEPT and settings[key] > 0
    }
    if not ranges:
        raise RecfaceError(f"peer {name} has no numbers to choose")
    if trials < 1:
        raise RecfaceError(f"--search {trials}: one try at least")
    torch.set_num_threads(config["trainer"]["threads"])
    bench = open_workbench(config | {"data": config["data"] | {"sources": {}}})
    source, geometry = every(embedded_source(bench.benchmark, "validation"), photos), Geometry(bench)
    true, done = torch.from_numpy(np.asarray(source.identity_parameters)), []

    def error(trial: optuna.Trial) -> float:
        tried = {key: trial.suggest_float(key, value / SPAN, value * SPAN, log=True) for key, value in ranges.items()}
        peer = build_peer(bench.face_model, bench.benchmark.albedo_model, settings | tried, config["seed"])
        value = float(geometry.errors(peer(source)["identity"], true).mean())
        done.append(Trial(tried, value))
        if watch is not None:
            watch(done[-1])
        return value

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=config["seed"]))
    study.enqueue_trial(ranges)
    study.optimize(error, n_trials=trials)
    return sorted(done, key=lambda trial: trial.error_mm)
