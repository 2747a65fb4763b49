"""Random and Bayesian search, and early termination: the points come from an Optuna study in the sweep's folder."""

from __future__ import annotations

import time
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from recface.errors import RecfaceError
from recface.sweeps.claim import Claim
from recface.sweeps.distributions import Draw, categorical, draws
from recface.sweeps.early import intermediate_values
from recface.sweeps.grid import grid_points, point_name, values_of
from recface.sweeps.job import Job
from recface.sweeps.points import Points
from recface.sweeps.spec import SweepSpec
from recface.sweeps.study import open_study, sampler_for
from recface.sweeps.trials import drawn_of, report, retried_numbers, run_metric, stored_choice

LOOK_SECONDS = 2.0
_STATES = {TrialState.COMPLETE: "finished", TrialState.FAIL: "failed", TrialState.PRUNED: "pruned"}


class Search(Points):
    """Points that an Optuna study draws as the sweep goes; its trials say which there are and how they ended.

    Args:
        spec: A sweep of method random or bayes, or a grid with early termination.
        retry_failed: Whether points that failed before now are run once more, as new trials.
    """

    def __init__(self, spec: SweepSpec, retry_failed: bool = False) -> None:
        super().__init__(spec, [])
        self.study = open_study(spec, self.folder)
        self.drawn: dict[str, Draw]
        if spec.method == "grid":
            points = grid_points(spec)
            choices = {name: values_of(spec, name) for name in sorted(spec.parameters)}
            self.drawn = {name: categorical(values) for name, values in choices.items() if len(values) > 1}
            self.fixed = {name: values[0] for name, values in choices.items() if len(values) == 1}
            self.cap = len(points)
        else:
            self.fixed, self.drawn = draws(spec.parameters)
            self.cap = spec.run_cap or 1
        self._jobs: dict[int, Job] = {}
        self._looked: dict[int, float] = {}
        self._values: dict[int, float] = {}
        with self._alone():
            if spec.method == "grid":
                self._enqueue_grid(grid_points(spec))
            if retry_failed:
                self._enqueue_failed()
            self._refresh()

    def claim(self) -> Job | None:
        """A point whose worker was killed or stopped; else one that waits in the study; else a new one."""
        with self._alone():
            while (job := self._abandoned() or self._ask()) is not None:
                # A killed process may have written down the end in the point's file alone, and not in the study.
                state = self.settled(job)
                if not state:
                    job.state, job.progress = "waiting", {}
                    self.begin(job)
                    return job
                self.take_over(job, state)
                self.end(job)
        return None

    def _abandoned(self) -> Job | None:
        """Claim a point that has been begun, but that nobody works on."""
        for trial in self._refresh():
            job = self._jobs[trial.number]
            if trial.state == TrialState.RUNNING and job.claim is None:
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
        self.study.sampler = sampler_for(self.spec.method, self.study.study_name, number)
        trial = self.study.ask({name: draw.distribution for name, draw in self.drawn.items()})
        self._refresh()
        job = self._jobs[trial.number]
        job.claim = Claim.take(self.lock_path(job), wait=True)
        return job

    def pending(self) -> bool:
        """Whether another process holds a point."""
        return any(job.state in ("waiting", "elsewhere") for job in self.jobs)

    def hopeless(self, job: Job) -> bool:
        """Tell the study what a run has written since the last time, and ask its pruner."""
        if self.spec.early_terminate is None or job.run is None:
            return False
        if time.monotonic() - self._looked.get(id(job), float("-inf")) < LOOK_SECONDS:
            return False
        self._looked[id(job)] = time.monotonic()
        return self._report(job)

    def _report(self, job: Job) -> bool:
        """Give the study what a run has written that it does not know yet; whether its pruner would stop the run."""
        assert job.run is not None
        metric = self.spec.metric or {}
        values = intermediate_values(job.run, metric["name"], metric.get("goal", "minimize"))
        return report(self.study, self._number(job), values)

    def end(self, job: Job) -> None:
        """Write down how a point ended, in the study too; "stopped" ones stay open there."""
        value = None
        if job.state == "finished" and self.spec.metric is not None:
            try:
                value = run_metric(self.run_of(job)[0] or job.run, self.spec.metric["name"])
            except RecfaceError as error:
                job.state, job.reason = "failed", str(error)
            if self.spec.early_terminate is not None and job.run is not None:
                self._report(job)  # its last lines too, so that a run of a few seconds is one to compare with
        claim, job.claim = job.claim, None
        super().end(job)  # first the point's file: whoever finds the trial open again learns from it
        states = {word: state for state, word in _STATES.items()}
        if job.state in states:
            # Without a metric all points are worth the same.
            self.study.tell(
                self._number(job), 0.0 if value is None and job.state == "finished" else value, state=states[job.state]
            )
        if claim is not None:
            claim.release()

    def _alone(self) -> Claim:
        """Hold the whole sweep for a moment: asking for a point and claiming it must be one step."""
        claim = Claim.take(self.folder / "sweep.lock", wait=True)
        assert claim is not None
        return claim

    def _number(self, job: Job) -> int:
        return int(job.key.rpartition("-")[2])

    def _refresh(self) -> list[FrozenTrial]:
        """Read the study: jobs for all trials that count, and placeholders for those that are still to be drawn."""
        trials = self.study.get_trials(deepcopy=False)
        retried = retried_numbers(trials)
        counted = [trial for trial in trials if trial.number not in retried and self._is_whole(trial)]
        for trial in counted:
            job = self._jobs.get(trial.number) or self._new_job(trial)
            if job.state != "running" and trial.state in _STATES and job.state != _STATES[trial.state]:
                self.take_over(job, _STATES[trial.state])
        known = [self._jobs[trial.number] for trial in counted]
        blank = [job for job in self.jobs if not job.key][: max(0, self.cap - len(known))]
        while len(known) + len(blank) < self.cap:
            blank.append(Job("to be drawn", [], self.folder / "none.log"))
        self.jobs[:] = known + blank
        return counted

    def _is_whole(self, trial: FrozenTrial) -> bool:
        """Whether a trial has all its parameters; a process killed while it asked leaves one that never will."""
        return set(drawn_of(trial)) == set(self.drawn)

    def _new_job(self, trial: FrozenTrial) -> Job:
        drawn = drawn_of(trial)
        values = self.fixed | {name: self.drawn[name].value(drawn[name]) for name in self.drawn}
        parameters = {name: values[name] for name in sorted(values)}
        name = f"{trial.number:03d}-{point_name(parameters, sorted(self.drawn) or sorted(values))}"
        job = self.job(name, f"{self.study.study_name}-{trial.number}", parameters)
        self._jobs[trial.number] = job
        return job

    def _enqueue_grid(self, points: list[Any]) -> None:
        for point in points[len(self.study.get_trials(deepcopy=False)) :]:
            stored = {name: stored_choice(draw, point.parameters[name]) for name, draw in self.drawn.items()}
            self.study.enqueue_trial(stored)

    def _enqueue_failed(self) -> None:
        trials = self.study.get_trials(deepcopy=False)
        retried = retried_numbers(trials)
        for trial in trials:
            if trial.state == TrialState.FAIL and trial.number not in retried:
                self.study.enqueue_trial(drawn_of(trial), user_attrs={"retry_of": trial.number})
