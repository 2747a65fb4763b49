"""The Optuna study of a sweep, in the folder where its processes meet."""

from __future__ import annotations

import warnings
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from recface.sweeps.claim import Claim
from recface.sweeps.early import pruner
from recface.sweeps.points import digest_of
from recface.sweeps.spec import SweepSpec


class _JournalLock(JournalFileOpenLock):
    """Optuna's own file locks outlive a killed process by half a minute; this one ends with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._claim: Claim | None = None

    def acquire(self) -> bool:
        self._claim = Claim.take(self.path, wait=True)
        return True

    def release(self) -> None:
        if self._claim is not None:
            self._claim.release()


def open_study(spec: SweepSpec, folder: Path) -> optuna.Study:
    """The study of a sweep, made if needed: `study.journal` in its folder, one study for each definition.

    Another definition of the points, by the file or by overrides, is another study in the same journal. `run_cap` is no
    part of the definition: with a larger one a study goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backend = JournalFileBackend(str(folder / "study.journal"), _JournalLock(folder / "study.journal.lock"))
    goal = (spec.metric or {}).get("goal", "minimize")
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        study_name=digest_of(spec.program, spec.method, spec.parameters, spec.metric, spec.early_terminate),
        direction=goal,
        pruner=pruner(spec.early_terminate),
        load_if_exists=True,
    )


def sampler_for(method: str, study_name: str, number: int) -> optuna.samplers.BaseSampler:
    """The sampler of a point. Its seed depends on the sweep and the point's number alone, whichever process asks."""
    seed = int(digest_of(study_name, number)[:8], 16)
    if method != "bayes":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant_liar: points that still run count as bad, so that workers spread out
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
