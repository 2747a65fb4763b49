"""Points that an Optuna study draws: its storage, killed and shared sweeps, early termination."""

import json
import os
import signal
import time

import pytest
from optuna.trial import TrialState

from recface.sweeps.read import read_sweep
from recface.sweeps.search import Search
from recface.sweeps.study import open_study


@pytest.fixture
def study(toy, monkeypatch):
    """Opens the study of toy.yaml, as any other process would."""

    def trials(*states):
        monkeypatch.chdir(toy.folder)
        found = open_study(read_sweep("toy.yaml"), toy.folder / "runs/sweeps/toy").trials
        return [trial for trial in found if not states or trial.state in states]

    return trials


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_points_go_through_the_study_and_a_restart_continues(toy, study, method):
    assert toy.search(method, run_cap=2).run().returncode == 0
    first = study()
    assert [trial.state for trial in first] == [TrialState.COMPLETE] * 2
    for trial in first:  # the value is read from the run's record
        x = float(f"{trial.params['x']:.6g}")
        assert trial.value == pytest.approx(x * (2 - x), abs=1e-6)
    assert {line[3] for line in toy.order("begin")} == {f"{trial.params['x']:.6g}" for trial in first}
    again = toy.run()
    assert again.returncode == 0 and "2/2 points, 100%" in again.stdout and len(toy.order("begin")) == 2
    assert toy.run("--run-cap", "5").returncode == 0
    assert [trial.params for trial in study()[:2]] == [trial.params for trial in first]
    assert len(study(TrialState.COMPLETE)) == 5 and len(toy.order("begin")) == 5


def test_the_number_of_workers_does_not_change_what_random_draws(toy):
    toy.search("random", run_cap=4)
    assert toy.run("--workers", "1").returncode == 0
    one = sorted(line[3] for line in toy.order("begin"))
    os.remove(toy.folder / "order.txt")
    os.rename(toy.folder / "runs", toy.folder / "before")
    assert toy.run("--workers", "3").returncode == 0
    assert sorted(line[3] for line in toy.order("begin")) == one and len(set(one)) == 4


def test_a_killed_search_goes_on_with_the_same_points(toy, study):
    held = {"x": {"min": 0.0, "max": 1.0}, "+experiment": {"value": "hold"}}
    toy.search("bayes", run_cap=3, parameters=held)
    first = toy.start("--workers", "2")
    toy.wait(lambda: len(toy.order("begin")) == 2)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = [trial.params for trial in study()]
    assert len(before) == 2 and len(study(TrialState.RUNNING)) == 2
    second = toy.start("--workers", "3")
    toy.wait(lambda: len(toy.order("begin")) == 3)
    time.sleep(1)
    assert len(toy.order("begin")) == 3  # the two that go on alone are left alone
    (toy.folder / "go").touch()
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0, output
    assert [trial.params for trial in study(TrialState.COMPLETE)][:2] == before and len(study()) == 3
    assert len(toy.order("begin")) == len(toy.order("end")) == 3


def test_two_processes_share_a_search(toy, study):
    toy.search("random", run_cap=6)
    both = [toy.start("--workers", "1") for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert len(toy.order("begin")) == 6 and len(study(TrialState.COMPLETE)) == 6 and not toy.order("again")
    assert all(" was finished before" in output or "6/6" in output for output in outputs)


def test_failed_trials_are_retried_on_request_and_do_not_count(toy, study):
    toy.search("random", run_cap=2, parameters={"x": {"min": 0.0, "max": 1.0}, "+experiment": {"value": "bad"}})
    assert toy.run().returncode == 1
    (toy.folder / "mended").touch()
    assert toy.run().returncode == 1 and len(toy.order("begin")) == 2
    retried = toy.run("--retry-failed")
    assert retried.returncode == 0 and "2/2 points" in retried.stdout
    assert [trial.state for trial in study()] == [TrialState.FAIL] * 2 + [TrialState.COMPLETE] * 2
    assert study()[2].params == study()[0].params
    assert toy.run().returncode == 0


def test_a_metric_that_the_run_has_not_fails_the_point(toy):
    done = toy.search("random", run_cap=1, metric={"name": "validation/auc", "goal": "maximize"}).run()
    assert done.returncode == 1
    assert "run.json holds no metric validation/auc; it holds validation/score" in done.stdout


@pytest.mark.parametrize("method", ["grid", "bayes"])
def test_early_termination_stops_a_hopeless_run(toy, study, method):
    """x = 0 learns nothing in 60 one-second epochs, x = 1 is done at once; metrics.jsonl holds the loss alone."""
    x = {"values": [1.0, 0.0]} if method == "grid" else {"values": [1.0, 0.0], "probabilities": [0.5, 0.5]}
    parameters = {"x": x, "epochs": {"value": 60}, "+experiment": {"value": "toy"}}
    stop = {"type": "hyperband", "min_iter": 2, "eta": 2}
    toy.search(method, run_cap=2, parameters=parameters, early_terminate=stop)
    if method == "bayes":  # a point that does well, so that there is something to be hopeless against
        enqueue(toy, [0.1, 0.9])
    if method == "grid":  # as a script starts it with `&`: runs must not inherit that interrupts are ignored
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = toy.run("--workers", "1")
    finally:
        if method == "grid":
            signal.signal(signal.SIGINT, previous)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stopped early" in done.stdout and " pruned in " in done.stdout
    pruned = study(TrialState.PRUNED)
    assert pruned and all(trial.intermediate_values == {1: -1.0, 2: -1.0} for trial in pruned)
    assert ["begin", "toy", "0", "0.0"] in toy.order() and ["end", "toy", "0", "0.0"] not in toy.order()
    stopped = [json.loads(path.read_text()) for path in toy.folder.glob("runs/toy/*/seed=0/run.json")]
    assert {record["state"] for record in stopped} == {"finished", "failed"}
    assert {record["reason"] for record in stopped} == {None, "interrupted"}
    assert toy.run().returncode == 0 and len(toy.order("begin")) == len({tuple(x) for x in toy.order("begin")})


def enqueue(toy, shares):
    """Let the first points be known ones: below 0.5 the first value, above it the second."""
    here = os.getcwd()
    os.chdir(toy.folder)
    try:
        search = Search(read_sweep("toy.yaml"))
        for share in shares:
            search.study.enqueue_trial({"x": share})
    finally:
        os.chdir(here)


def test_a_trial_that_a_killed_process_left_half_asked_does_not_count(toy, study, monkeypatch):
    toy.search("random", run_cap=2)
    study()
    open_study(read_sweep("toy.yaml"), toy.folder / "runs/sweeps/toy").ask()  # no parameters yet
    assert toy.run().returncode == 0
    assert len(study(TrialState.COMPLETE)) == 2 and len(study(TrialState.RUNNING)) == 1


def test_looking_at_a_search_that_never_started_starts_none(toy):
    toy.search("bayes")
    for action in ("status", "prune"):
        looked = toy.run(action=[action])
        assert looked.returncode == 0 and "not started yet" in looked.stdout
    assert not (toy.folder / "runs").exists()


def test_the_journals_lock_ends_with_its_process(toy, study):
    """Optuna's own is a file that is there: it would be waited for, and taken away at last."""
    toy.search("random", run_cap=1)
    study()
    left = toy.folder / "runs/sweeps/toy/study.journal.lock"
    left.touch()
    before = left.stat().st_ino
    assert toy.run().returncode == 0
    assert left.stat().st_ino == before and len(study(TrialState.COMPLETE)) == 1
