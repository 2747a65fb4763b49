"""Random and Bayesian search, and early termination: points come from an Optuna study in the sweep's folder.

With early termination a run is compared with the others each time it has written a line to metrics.jsonl (one an epoch
of stage 2): by the sweep's own metric where the line holds it, as with `trainer.validate=true`, and otherwise by the
training loss, `loss/total`, which is to fall; do not rely on that in a sweep over the weights of this loss.
"""

from __future__ import annotations

import bisect
import itertools
import json
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from recface.errors import RecfaceError
from recface.files.guard import is_number
from recface.files.json_files import read_json_lines
from recface.sweeps.points import Claim, Job, Points, digest_of
from recface.sweeps.spec import (
    Choice,
    EarlyTerminate,
    Form,
    Interval,
    Metric,
    Normal,
    Sweep,
    WholeInterval,
    choices_of,
    grid_points,
    named,
    point_name,
)
from recface.tracking.record import read_record

LOOK_SECONDS = 2.0
FALLBACK = "loss/total"
_STATES = {TrialState.COMPLETE: "finished", TrialState.FAIL: "failed", TrialState.PRUNED: "pruned"}


class Draw(NamedTuple):
    """One parameter that a sampler chooses."""

    distribution: BaseDistribution  # Optuna's, of the number or choice that the study stores
    value: Callable[[Any], Any]  # from the stored one to the parameter's value


def draw_of(form: Form) -> Draw:
    """How to draw a parameter that has more than one value."""
    if isinstance(form, Choice):
        return _weighted(form.values, form.probabilities) if form.probabilities else categorical(form.values)
    if isinstance(form, WholeInterval):
        return Draw(IntDistribution(form.min, form.max), int)
    step = getattr(form, "q", None)

    def shown(value: float) -> float:
        """Six significant digits, so that a command line can be read and typed again."""
        return float(f"{round(value / step) * step if step else value:.6g}")

    if isinstance(form, Normal):
        # Optuna has no normal distribution: draw a quantile.
        normal, after = NormalDist(form.mu, form.sigma), math.exp if form.distribution == "log_normal" else float
        return Draw(FloatDistribution(1e-6, 1 - 1e-6), lambda share: shown(after(normal.inv_cdf(share))))
    assert isinstance(form, Interval)
    before = math.exp if form.distribution == "log_uniform" else float
    log = "log_uniform" in form.distribution
    return Draw(FloatDistribution(before(form.min), before(form.max), log=log), shown)


def categorical(values: list[Any]) -> Draw:
    """One of several values, all alike; Optuna stores lists and mappings as JSON."""
    simple = all(value is None or isinstance(value, (bool, int, float, str)) for value in values)
    if simple and len(set(values)) == len(values):
        return Draw(CategoricalDistribution(values), lambda value: value)
    by_text = {json.dumps(value, default=str): value for value in values}
    return Draw(CategoricalDistribution(list(by_text)), by_text.__getitem__)


def _weighted(values: list[Any], shares: list[float]) -> Draw:
    """One of several values with given probabilities: an even share is drawn and looked up in their sums."""
    sums = list(itertools.accumulate(shares))
    possible = max(index for index, share in enumerate(shares) if share > 0)
    return Draw(FloatDistribution(0.0, 1.0), lambda share: values[min(bisect.bisect_right(sums, share), possible)])


class _JournalLock(JournalFileOpenLock):
    """Optuna's own file locks outlive a killed process by half a minute; this one ends with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._claim: Claim | None = None

    def acquire(self) -> bool:
        self._claim = Claim(self.path)
        return True

    def release(self) -> None:
        if self._claim is not None:
            self._claim.release()


def open_study(sweep: Sweep, folder: Path) -> optuna.Study:
    """The study of a sweep, made if needed: `study.journal` in its folder, one study for each definition.

    Another definition of the points, by the file or by overrides, is another study in the same journal. `run_cap` is no
    part of the definition: with a larger one a study continues.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backend = JournalFileBackend(str(folder / "study.journal"), _JournalLock(folder / "study.journal.lock"))
    definition = sweep.model_dump(include={"program", "method", "parameters", "metric", "early_terminate"})
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        study_name=digest_of(definition),
        direction=sweep.metric.goal if sweep.metric else "minimize",
        pruner=pruner(sweep.early_terminate),
        load_if_exists=True,
    )


def sampler_for(method: str, study_name: str, number: int) -> optuna.samplers.BaseSampler:
    """The sampler of a point, seeded by the sweep and the point's number alone, whichever process asks."""
    seed = int(digest_of(study_name, number)[:8], 16)
    if method != "bayes":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant_liar: points that still run count as bad, so that workers spread out
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)


def pruner(stop: EarlyTerminate | None) -> optuna.pruners.BasePruner:
    """Optuna's pruner for W&B's `early_terminate`: asynchronous successive halving; None never stops a run.

    Of the runs that have b, b eta, b eta^2, ... values of the metric, those beyond the best 1/eta are stopped.
    """
    if stop is None:
        return optuna.pruners.NopPruner()
    first = stop.min_iter or max(1, int((stop.max_iter or 1) / stop.eta ** (stop.s or 1)))
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=stop.eta)


def intermediate_values(run: Path, metric: str, goal: str) -> list[float]:
    """The values by which a run is compared with others before it ends, better in the direction of `goal`.

    There is one for each line of the run's metrics.jsonl, NaN where it noted that it was no number.
    """
    path = run / "metrics.jsonl"
    rows: dict[Any, dict[str, Any]] = {}
    for number, row in enumerate(read_json_lines(path) if path.exists() else []):
        step = row.get("step", number)
        wrong = [name for name in ("step", metric, FALLBACK) if not is_number(row.get(name))]
        wrong += ["step"] if step is None else []
        if wrong:
            raise RecfaceError(
                f"{path}: line {number + 1}: {wrong[0]} must be a number or null; remove the run's folder"
            )
        # A run that was killed resumes from its last checkpoint, and repeats the lines after it.
        rows = {before: kept for before, kept in rows.items() if before < step} | {step: row}
    signs = {FALLBACK: -1 if goal == "maximize" else 1, metric: 1}
    found = [(name, row[name]) for row in rows.values() if (name := metric if metric in row else FALLBACK) in row]
    return [math.nan if value is None else signs[name] * float(value) for name, value in found]


def run_metric(run: Path | None, metric: Metric | None) -> float:
    """A sweep's metric from a run's record, by block and key, such as "validation/geometry_auc".

    Raises:
        RecfaceError: There is no record, or no such metric in it.
    """
    if metric is None:
        return 0.0  # all points are worth the same
    name = metric.name
    if run is None:
        raise RecfaceError(f"the run reported no folder, so its {name} is unknown")
    block, _, key = name.partition("/")
    metrics = read_record(run).metrics
    value = metrics.get(block, {}).get(key)
    if value is None:
        known = ", ".join(f"{block}/{key}" for block, values in metrics.items() for key in values) or "none"
        raise RecfaceError(f"{run}/run.json holds no metric {name}; it holds {known}")
    return float(value)


class Search(Points):
    """Points that an Optuna study draws while the sweep runs; its trials hold their parameters and how they ended.

    The sweep is of method random or bayes, or a grid with early termination. With `retry_failed`, points that failed
    before now are run once more, as new trials.
    """

    def __init__(self, sweep: Sweep, retry_failed: bool = False) -> None:
        super().__init__(sweep)
        self.study = open_study(sweep, self.folder)
        self.fixed: dict[str, Any] = {}
        self.drawn: dict[str, Draw] = {}
        for name, form in sweep.parameters.items():
            values = choices_of(sweep, name) if sweep.method == "grid" else [value for _, value in named(form)]
            if len(values) == 1:
                self.fixed[name] = values[0]
            else:
                self.drawn[name] = categorical(values) if sweep.method == "grid" else draw_of(form)
        grid = grid_points(sweep) if sweep.method == "grid" else []
        self.cap = len(grid) or sweep.run_cap or 1
        self._jobs: dict[int, Job] = {}
        self._looked: dict[int, float] = {}
        with self._alone:
            trials = self.study.get_trials(deepcopy=False)
            for point in grid[len(trials) :]:
                stored = {name: _stored(draw, point.parameters[name]) for name, draw in self.drawn.items()}
                self.study.enqueue_trial(stored)
            for trial in _without_retried(trials) if retry_failed else ():
                if trial.state == TrialState.FAIL:
                    self.study.enqueue_trial(_drawn(trial), user_attrs={"retry_of": trial.number})
            self._refresh()

    def claim(self) -> Job | None:
        """A point whose worker was killed or stopped; else one that waits in the study; else a new one."""
        with self._alone:
            while (job := self._abandoned() or self._ask()) is not None:
                # A killed process may have written down the end in the point's file alone, and not in the study.
                state = self.settled(job)
                if not state:
                    self.begin(job)
                    return job
                self.take_over(job, state)
                self.end(job)
        return None

    def hopeless(self, job: Job) -> bool:
        """Tell the study what a run has written since the last time, and ask its pruner."""
        if job.run is None or time.monotonic() - self._looked.get(id(job), -math.inf) < LOOK_SECONDS:
            return False
        self._looked[id(job)] = time.monotonic()
        return self._report(job)

    def end(self, job: Job) -> None:
        """Write down how a point ended, in the study too, where "stopped" ones stay open."""
        value = None
        if job.state == "finished":
            try:
                value = run_metric(self.run_of(job)[0] or job.run, self.sweep.metric)
            except RecfaceError as error:
                job.state, job.reason = "failed", str(error)
            self._report(job)  # its last lines too, so that a run of a few seconds is one to compare with
        claim, job.claim = job.claim, None
        super().end(job)  # the point's file first: a process that finds the trial still open reads it there
        for state, word in _STATES.items():
            if job.state == word:
                self.study.tell(_number(job), value, state=state)
        if claim is not None:
            claim.release()

    def _abandoned(self) -> Job | None:
        """Claim a point that has been begun, but that no process works on."""
        for trial in self._refresh():
            job = self._jobs[trial.number]
            if trial.state == TrialState.RUNNING and job.claim is None and job.state != "stopped":
                job.claim = Claim.take(self.lock_path(job))
                if job.claim is not None:
                    return job
                self.follow(job)
        return None

    def _ask(self) -> Job | None:
        """Claim a new point, unless there are as many as there may be."""
        trials = self._refresh()
        if len(trials) >= self.cap and not any(trial.state == TrialState.WAITING for trial in trials):
            return None
        number = len(self.study.get_trials(deepcopy=False))
        self.study.sampler = sampler_for(self.sweep.method, self.study.study_name, number)
        trial = self.study.ask({name: draw.distribution for name, draw in self.drawn.items()})
        self._refresh()
        job = self._jobs[trial.number]
        job.claim = Claim(self.lock_path(job))
        return job

    def _report(self, job: Job) -> bool:
        """Give the study the values that a run has written since; whether its pruner would stop the run."""
        metric = self.sweep.metric
        if self.sweep.early_terminate is None or metric is None or job.run is None:
            return False
        try:
            values = intermediate_values(job.run, metric.name, metric.goal)
        except RecfaceError as error:
            job.reason = str(error)
            return False
        stored = self.study.get_trials(deepcopy=False)[_number(job)]
        trial = optuna.trial.Trial(self.study, stored._trial_id)
        for step, value in enumerate(values, start=1):
            if step not in stored.intermediate_values:
                trial.report(value, step)
                if trial.should_prune():
                    return True
        return False

    @property
    def _alone(self) -> Claim:
        """Hold the whole sweep for a moment, so that asking for a point and claiming it are one step."""
        return Claim(self.folder / "sweep.lock")

    def _refresh(self) -> list[FrozenTrial]:
        """Read the study: jobs for all trials that count, and placeholders for those that are still to be drawn."""
        # A process that was killed while it asked leaves a trial without all parameters: skip it.
        trials = _without_retried(self.study.get_trials(deepcopy=False))
        counted = [trial for trial in trials if set(_drawn(trial)) == set(self.drawn)]
        for trial in counted:
            job = self._jobs.get(trial.number) or self._new_job(trial)
            if job.state != "running" and trial.state in _STATES and job.state != _STATES[trial.state]:
                self.take_over(job, _STATES[trial.state])
        blank = [Job("to be drawn", [], self.folder / "none.log")] * max(0, self.cap - len(counted))
        self.jobs[:] = [*(self._jobs[trial.number] for trial in counted), *blank]
        return counted

    def _new_job(self, trial: FrozenTrial) -> Job:
        drawn = _drawn(trial)
        values = self.fixed | {name: draw.value(drawn[name]) for name, draw in self.drawn.items()}
        parameters = {name: values[name] for name in sorted(values)}
        name = f"{trial.number:03d}-{point_name(parameters, sorted(self.drawn) or sorted(values))}"
        self._jobs[trial.number] = self.job(name, f"{self.study.study_name}-{trial.number}", parameters)
        return self._jobs[trial.number]


def _number(job: Job) -> int:
    return int(job.key.rpartition("-")[2])


def _drawn(trial: FrozenTrial) -> dict[str, Any]:
    """Values drawn for a trial, or given to it when it was enqueued."""
    return trial.system_attrs.get("fixed_params", {}) | trial.params


def _without_retried(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """All trials but the failed ones that have been replaced by another."""
    retried = {trial.user_attrs.get("retry_of") for trial in trials}
    return [trial for trial in trials if trial.number not in retried]


def _stored(draw: Draw, value: Any) -> Any:
    """The form in which a study stores one of a categorical parameter's values; 1 and true are two values."""
    assert isinstance(draw.distribution, CategoricalDistribution)
    wanted = (type(value), value)
    return next(c for c in draw.distribution.choices if (type(draw.value(c)), draw.value(c)) == wanted)
