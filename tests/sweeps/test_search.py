"""Points that an Optuna study draws: distributions, storage, killed and shared sweeps, early termination."""

import json
import math
import os
import signal
import time

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from scipy import stats

from recface.sweeps.search import Search, categorical, draw_of, intermediate_values, open_study, pruner
from recface.sweeps.spec import FORMS, EarlyTerminate, Sweep, form_of
from recface.sweeps.sweep_mistakes import checked_sweep

COUNT = 800


@pytest.fixture
def study(toy, monkeypatch):
    """Opens the study of toy.yaml, as any other process would."""

    def trials(*states):
        monkeypatch.chdir(toy.folder)
        found = open_study(checked_sweep("toy.yaml"), toy.folder / "runs/sweeps/toy").trials
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
    assert {record["state"] for record in stopped} == {"finished", "interrupted"}
    assert {record["reason"] for record in stopped} == {None, "interrupted"}
    assert toy.run().returncode == 0 and len(toy.order("begin")) == len({tuple(x) for x in toy.order("begin")})


def enqueue(toy, shares):
    """Let the first points be known ones: below 0.5 the first value, above it the second."""
    here = os.getcwd()
    os.chdir(toy.folder)
    try:
        search = Search(checked_sweep("toy.yaml"))
        for share in shares:
            search.study.enqueue_trial({"x": share})
    finally:
        os.chdir(here)


def test_a_trial_that_a_killed_process_left_half_asked_does_not_count(toy, study, monkeypatch):
    toy.search("random", run_cap=2)
    study()
    open_study(checked_sweep("toy.yaml"), toy.folder / "runs/sweeps/toy").ask()  # no parameters yet
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


def drawn(form):
    draw = draw_of(form_of(form))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [draw.value(study.ask({"x": draw.distribution}).params["x"]) for _ in range(COUNT)]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"min": 1.0, "max": 3.0}, stats.uniform(1, 2)),
        ({"distribution": "uniform", "min": 1, "max": 3}, stats.uniform(1, 2)),
        ({"distribution": "log_uniform_values", "min": 0.01, "max": 10.0}, stats.loguniform(0.01, 10)),
        ({"distribution": "log_uniform", "min": -2.0, "max": 1.0}, stats.loguniform(math.exp(-2), math.e)),
        ({"distribution": "normal"}, stats.norm(0, 1)),
        ({"distribution": "normal", "mu": 3.0, "sigma": 0.5}, stats.norm(3, 0.5)),
        ({"distribution": "log_normal", "mu": 1.0, "sigma": 0.5}, stats.lognorm(0.5, scale=math.e)),
    ],
)
def test_continuous_ones(form, expected):
    assert stats.kstest(drawn(form), expected.cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ({"min": 2, "max": 4}, {2, 3, 4}),
        ({"distribution": "int_uniform", "min": 0, "max": 1}, {0, 1}),
        ({"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.5}, {0.0, 0.5, 1.0}),
        ({"distribution": "q_log_uniform_values", "min": 1.0, "max": 4.0}, {1.0, 2.0, 3.0, 4.0}),
        ({"values": ["a", "b"]}, {"a", "b"}),
        ({"distribution": "categorical", "values": [1, None, 2.5]}, {1, None, 2.5}),
    ],
)
def test_discrete_ones(form, values):
    found = drawn(form)
    assert set(found) == values and {type(value) for value in found} == {type(value) for value in values}


def test_quantized_normal_lies_on_its_grid():
    found = drawn({"distribution": "q_normal", "mu": 0.0, "sigma": 2.0, "q": 0.5})
    assert all(value * 2 == round(value * 2) for value in found) and np.std(found) == pytest.approx(2.0, rel=0.1)


def test_probabilities_are_kept():
    found = drawn({"values": ["a", "b", "c"], "probabilities": [0.7, 0.3, 0.0]})
    assert found.count("a") / COUNT == pytest.approx(0.7, abs=0.05) and "c" not in found


def test_fixed_ones_are_not_drawn(tmp_path):
    forms = {"a": {"value": 1}, "b": {"values": ["x"]}, "c": {"distribution": "constant", "value": None}}
    forms |= {"paths.runs": {"value": str(tmp_path)}}
    search = Search(Sweep(name="s", program="p", method="random", parameters=forms, run_cap=1))
    assert search.fixed == {"a": 1, "b": "x", "c": None, "paths.runs": str(tmp_path)} and not search.drawn


def test_lists_and_equal_looking_values_are_stored_as_text():
    for values in ([[1, 2], [3]], [1, True], [{"a": 1}, {"a": 2}]):
        draw = categorical(values)
        found = [draw.value(choice) for choice in draw.distribution.choices]
        assert found == values and [type(value) for value in found] == [type(value) for value in values]


def test_every_supported_distribution_is_drawn():
    full = {"values": [1, 2], "probabilities": [0.5, 0.5], "min": 1, "max": 2}
    for name in FORMS.keys() - {"constant"}:
        needed = {
            key: full[key] for key, field in FORMS[name].model_fields.items() if field.is_required() and key in full
        }
        assert draw_of(form_of({"distribution": name} | needed)).distribution


def test_values_can_be_typed():
    assert all(value == float(f"{value:.6g}") for value in drawn({"min": 0.0, "max": 1e-7}))


def write_metrics(folder, *rows):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_sweeps_metric_counts_where_it_is_written(tmp_path):
    write_metrics(tmp_path, {"step": 1, "a/b": 0.5, "loss/total": 9}, {"step": 2, "a/b": 0.6, "loss/total": 8})
    assert intermediate_values(tmp_path, "a/b", "maximize") == [0.5, 0.6]
    assert intermediate_values(tmp_path, "a/b", "minimize") == [0.5, 0.6]


def test_else_the_loss_which_is_to_fall(tmp_path):
    write_metrics(tmp_path, {"step": 1, "loss/total": 9}, {"step": 2, "loss/total": None})
    assert intermediate_values(tmp_path, "a/b", "minimize")[0] == 9
    values = intermediate_values(tmp_path, "a/b", "maximize")
    assert values[0] == -9 and math.isnan(values[1])


def test_a_resumed_run_repeats_lines(tmp_path):
    write_metrics(
        tmp_path, *({"step": step, "a": value} for step, value in [(50, 1), (100, 2), (150, 3), (100, 4), (150, 5)])
    )
    assert intermediate_values(tmp_path, "a", "maximize") == [1, 4, 5]


def test_a_bad_line_stops_no_sweep(tmp_path):
    """It is the run's trouble: it goes on, is not stopped as hopeless, and ends as its record says."""
    parameters = {"x": {"min": 0.0, "max": 1.0}, "paths.runs": {"value": str(tmp_path)}}
    metric, stop = {"name": "a/b"}, {"type": "hyperband", "min_iter": 1}
    keys = {"parameters": parameters, "metric": metric, "early_terminate": stop, "run_cap": 1}
    search = Search(Sweep.model_validate({"name": "s", "program": "p", "method": "random"} | keys))
    job = search.claim()
    write_metrics(tmp_path, {"step": 1, "a/b": "much"})
    job.progress, job.state = {"run": str(tmp_path)}, "running"
    assert not search.hopeless(job)
    assert job.reason == f"{tmp_path}/metrics.jsonl: line 1: a/b must be a number or null; remove the run's folder"
    job.state = "failed"
    search.end(job)
    assert search.study.trials[0].state == TrialState.FAIL


def test_nothing_yet_and_half_a_line(tmp_path):
    assert intermediate_values(tmp_path, "a", "maximize") == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "a": 2}\n{"step": 2, "a')
    assert intermediate_values(tmp_path, "a", "maximize") == [2]


@pytest.mark.parametrize(
    ("settings", "first_rung", "eta"),
    [
        ({"min_iter": 3}, 3, 3),
        ({"min_iter": 2, "eta": 2}, 2, 2),
        ({"max_iter": 27, "s": 2}, 3, 3),
        ({"max_iter": 8, "s": 3, "eta": 2}, 1, 2),
    ],
)
def test_brackets_are_wandbs(settings, first_rung, eta):
    """The best of three always continues; the worst continues up to its first rung, and not beyond it."""
    study = optuna.create_study(direction="maximize", pruner=pruner(EarlyTerminate(type="hyperband", **settings)))
    stopped = []
    for value in (3.0, 2.0, 1.0):
        trial = study.ask()
        for step in range(1, first_rung * eta + 1):
            trial.report(value, step)
            if trial.should_prune():
                stopped.append((value, step))
                break
    assert stopped == [(2.0, first_rung), (1.0, first_rung)]


def test_without_early_termination_nothing_is_stopped():
    assert isinstance(pruner(None), optuna.pruners.NopPruner)
