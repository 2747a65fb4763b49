"""Points shared by processes, killed, failed, looked at and cleared away."""

import json
import os
import signal
import sys
import time

import pytest
from tests.sweeps.toy import ROOT

from recface.run.identity import run_folder
from recface.settings.compose import compose_config
from recface.sweeps.display import summary
from recface.sweeps.points import Claim, Grid, is_claimed, read_progress, runs_folder
from recface.sweeps.runner import Runner
from recface.sweeps.search import Search
from recface.sweeps.spec import Sweep
from recface.tracking import RunRecord, write_record
from recface.versions import VERSIONS


def records(toy):
    return {path.stem: json.loads(path.read_text()) for path in (toy.folder / "runs/sweeps/toy").glob("*.json")}


def test_a_killed_sweep_goes_on_and_repeats_nothing(toy):
    """SIGKILL in the middle of a point, whose process continues alone: no other starts it, and its work counts."""
    toy.grid(["done", "hold", "later"], seeds=[0])
    first = toy.start("--workers", "1")
    toy.wait(lambda: ["begin", "hold", "0"] in toy.order())
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert toy.order() == [["begin", "done", "0"], ["end", "done", "0"], ["begin", "hold", "0"]]
    second = toy.start("--workers", "2")
    toy.wait(lambda: ["end", "later", "0"] in toy.order())
    time.sleep(1)
    assert toy.order("begin").count(["begin", "hold", "0"]) == 1 and second.poll() is None
    (toy.folder / "go").touch()
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0 and "3/3 points" in output and "experiment=done was finished before" in output
    assert toy.order("begin") == [["begin", name, "0"] for name in ("done", "hold", "later")]
    assert toy.order("again") == [["again", "hold", "0"]]  # nothing wrote down its end, so it was asked
    assert {record["state"] for record in records(toy).values()} == {"finished"}


def test_a_run_killed_with_its_sweep_is_run_again(toy):
    toy.grid(["hold", "later"], seeds=[0])
    first = toy.start("--workers", "1")
    toy.wait(lambda: toy.order("begin"))
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    lock = next(path for path in (toy.folder / "runs/sweeps/toy").glob("*.lock"))
    assert is_claimed(lock)
    os.kill(holder(lock), signal.SIGKILL)
    toy.wait(lambda: not is_claimed(lock))
    (toy.folder / "go").touch()
    assert toy.run().returncode == 0
    assert sorted(toy.order("begin")) == [["begin", "hold", "0"]] * 2 + [["begin", "later", "0"]]
    assert len(toy.order("end")) == 2 and not toy.order("again")


def test_a_point_that_would_wait_for_anothers_stage_1_comes_later(tmp_path, monkeypatch):
    """baseline and sir of one seed share stage 1."""
    monkeypatch.chdir(ROOT)
    parameters = {"+experiment": {"values": ["baseline", "sir"]}, "seed": {"values": [0, 1]}}
    parameters |= {"scale": {"value": "smoke"}, "paths.runs": {"value": str(tmp_path / "runs")}}
    points = Grid(Sweep(name="order", program="src/run.py", method="grid", parameters=parameters))
    baseline = points.claim()
    assert baseline.name.startswith("experiment=baseline,seed=0")
    baseline.state, baseline.here, baseline.progress = "running", True, {"phase": "stage1"}
    next(job for job in points.jobs if "experiment=baseline,seed=1" in job.name).state = "finished"
    assert "experiment=sir,seed=1" in points.claim().name
    assert "experiment=sir,seed=0" in points.claim().name  # nothing else is left: then it waits
    again = Grid(Sweep(name="again", program="src/run.py", method="grid", parameters=parameters))
    first = again.claim()
    first.state, first.here, first.progress = "running", True, {"phase": "stage2"}
    assert [again.claim().name.split(",scale")[0] for _ in range(2)] == [
        "experiment=baseline,seed=1",
        "experiment=sir,seed=0",
    ]


def holder(lock):
    """The process that has a file open; the test's own is not among them."""
    for process in os.listdir("/proc"):
        if process.isdigit() and int(process) != os.getpid():
            try:
                links = [os.readlink(f"/proc/{process}/fd/{number}") for number in os.listdir(f"/proc/{process}/fd")]
            except OSError:
                continue
            if str(lock.resolve()) in links:
                return int(process)
    raise AssertionError(f"no process holds {lock}")


def test_two_processes_share_the_points(toy):
    toy.grid(["a", "b", "c"], seeds=[0, 1, 2])
    both = [toy.start("--workers", "1") for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(toy.order("begin")) == len({tuple(line) for line in toy.order("begin")}) == 9
    assert not toy.order("again")
    assert all("9/9 points, 100%" in output for output in outputs)


def test_the_second_of_two_takes_over_when_the_first_dies(toy):
    toy.grid(["hold"], seeds=[0])
    first = toy.start("--workers", "1")
    toy.wait(lambda: toy.order("begin"))
    second = toy.start("--workers", "1")
    time.sleep(1)
    assert len(toy.order("begin")) == 1
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    assert first.returncode == 143
    toy.wait(lambda: len(toy.order("begin")) == 2)
    (toy.folder / "go").touch()
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0 and "1/1 points" in output


def test_failed_points_are_retried_only_on_request(toy):
    toy.grid(["bad", "good"], seeds=[0])
    assert toy.run().returncode == 1
    (toy.folder / "mended").touch()
    again = toy.run()
    assert again.returncode == 1
    assert "experiment=bad was failed before: loss pixel is NaN at step 3" in again.stdout
    assert len(toy.order("begin")) == 2
    retried = toy.run("--retry-failed")
    assert retried.returncode == 0 and "experiment=bad finished in" in retried.stdout
    assert toy.order("begin").count(["begin", "bad", "0"]) == 2
    assert toy.run().returncode == 0


def test_a_point_that_fails_again_is_not_retried_for_ever(toy):
    toy.grid(["bad"], seeds=[0])
    assert [toy.run(*extra).returncode for extra in ((), ("--retry-failed",))] == [1, 1]
    assert len(toy.order("begin")) == 2


def test_points_are_the_same_whatever_the_overrides_that_name_them(toy):
    toy.grid(["a"], seeds=[0, 1])
    assert toy.run("seed=1").returncode == 0
    assert toy.run().returncode == 0
    assert toy.order("begin") == [["begin", "a", "1"], ["begin", "a", "0"]]


def test_status_says_how_far_each_point_is(toy):
    toy.grid(["bad", "good", "hold"], seeds=[0])
    sweep = toy.start("--workers", "1")
    toy.wait(lambda: ["begin", "hold", "0"] in toy.order())
    shown = toy.run(action=["status"])
    lines = {line.split()[0]: line for line in shown.stdout.splitlines()}
    assert shown.returncode == 1
    assert " failed " in lines["experiment=bad"] and "loss pixel is NaN at step 3" in lines["experiment=bad"]
    assert " finished " in lines["experiment=good"] and "runs/good/" in lines["experiment=good"]
    assert " running " in lines["experiment=hold"]
    assert "3 points: 1 failed, 1 finished, 1 running" in shown.stdout
    sweep.send_signal(signal.SIGTERM)
    sweep.communicate(timeout=60)
    assert "1 incomplete" in toy.run(action=["status"]).stdout


def test_prune_asks_and_removes_only_what_is_not_finished(toy):
    toy.grid(["bad", "good", "hold"], seeds=[0])
    sweep = toy.start("--workers", "1")
    toy.wait(lambda: ["begin", "hold", "0"] in toy.order())
    running = toy.run(action=["prune"], stdin="y\n")  # what runs stays
    assert running.returncode == 0 and "1 removed" in running.stdout and "runs/bad" in running.stdout
    sweep.send_signal(signal.SIGTERM)
    sweep.communicate(timeout=60)
    for answer in ("\n", ""):
        refused = toy.run(action=["prune"], stdin=answer)
        assert refused.returncode == 1 and "nothing removed" in refused.stdout and (toy.folder / "runs/hold").is_dir()
    assert "runs/hold/" in refused.stdout and "runs/good" not in refused.stdout
    assert toy.run("--yes", action=["prune"]).returncode == 0
    assert not (toy.folder / "runs/hold").exists() and not (toy.folder / "runs/bad").exists()
    assert list(toy.folder.glob("runs/good/*/seed=0/run.json"))
    assert "no incomplete runs" in toy.run(action=["prune"]).stdout


@pytest.mark.parametrize("run", [3, ["a"], "a\0b", True])
def test_progress_with_a_run_that_is_no_path_is_none(tmp_path, run):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"step": 1, "run": run}))
    assert read_progress(path) == {}
    for right in ({"step": 1, "run": "a"}, {"step": 1}, {"step": 1, "run": None}):
        path.write_text(json.dumps(right))
        assert read_progress(path) == right


@pytest.mark.parametrize("name", ["paths.runs", "++paths.runs"])
@pytest.mark.parametrize("form", [{"value": "a"}, {"values": ["a"]}])
def test_the_folder_of_runs_is_the_sweeps_own(name, form):
    assert str(runs_folder(Sweep(name="s", program="p", method="grid", parameters={name: form}))) == "a"
    assert str(runs_folder(Sweep(name="s", program="p", method="grid", parameters={}))) == "runs"


def test_a_claim_is_exclusive_until_it_is_released(tmp_path):
    path = tmp_path / "a" / "x.lock"
    assert not is_claimed(path)
    claim = Claim.take(path)
    assert claim is not None and is_claimed(path) and Claim.take(path) is None
    claim.release()
    assert not is_claimed(path)
    with Claim(path):
        assert is_claimed(path)
    assert not is_claimed(path)


def test_own_runs_are_done_if_their_record_says_so(tmp_path, monkeypatch):
    """The record of the run counts: finished by hand it is not run again, deleted or outdated it is."""
    parameters = {"+experiment": {"values": ["sir", "no_kl"]}, "paths.runs": {"value": str(tmp_path)}}
    monkeypatch.setattr("recface.sweeps.points.is_own", lambda program: True)
    spec = Sweep(name="s", program="src/run.py", method="grid", parameters=parameters)
    folder = run_folder(compose_config("+experiment=no_kl", f"paths.runs={tmp_path}"))
    folder.mkdir(parents=True)

    def next_points(versions):
        write_record(
            folder / "run.json", RunRecord("no_kl", folder.parent.name, 0, state="finished", versions=versions)
        )
        grid = Grid(spec)
        names = []
        while (job := grid.claim()) is not None:
            names.append(job.name)
            job.state = "stopped"
            grid.end(job)
        return names

    assert next_points(VERSIONS) == ["experiment=sir"]
    assert next_points({**VERSIONS, "protocol": 0}) == ["experiment=sir", "experiment=no_kl"]


BEFORE, AFTER = "2026-01-01T00:00:00+00:00", "2026-01-03T00:00:00+00:00"


@pytest.mark.parametrize(
    ("state", "updated", "code", "expected"),
    [
        ("finished", BEFORE, 0, "finished"),  # it returned at once
        ("finished", AFTER, -11, "finished"),  # a library crashed on the way out
        ("interrupted", AFTER, 0, "stopped"),
        ("interrupted", AFTER, 143, "stopped"),
        ("running", AFTER, 0, "stopped"),
        ("running", AFTER, -9, "stopped"),
        ("failed", AFTER, 1, "failed"),
        ("failed", AFTER, 0, "failed"),
        ("interrupted", BEFORE, 1, "failed"),  # the record is of an earlier attempt; this one made a mistake
        ("interrupted", BEFORE, 143, "stopped"),
        (None, None, 0, "failed"),
        (None, None, 1, "failed"),
        *((None, None, code, "stopped") for code in (129, 130, 137, 143, -1, -2, -9, -15)),
        *((None, None, code, "failed") for code in (128, 134, 139, 255, -6, -11)),  # crashes
        ("interrupted", AFTER, 255, "stopped"),  # a job that SLURM queues again
        ("interrupted", BEFORE, -11, "failed"),
        ("running", AFTER, -11, "stopped"),
        ("damaged", None, 1, "failed"),
    ],
)
def test_the_record_says_how_an_own_run_went_and_not_its_exit_code(
    tmp_path, monkeypatch, state, updated, code, expected
):
    monkeypatch.setattr("recface.sweeps.points.is_own", lambda program: True)
    spec = Sweep(name="s", program="p", method="grid", parameters={"paths.runs": {"value": str(tmp_path)}})
    grid = Grid(spec)
    job = grid.jobs[0]
    job.began = "2026-01-02T00:00:00+00:00"
    folder = run_folder(grid.config(job))
    folder.mkdir(parents=True)
    if state == "damaged":
        (folder / "run.json").write_text("{")
        assert grid.settled(job) == ""  # the run will say it; the sweep goes on
    elif state:
        record = RunRecord("baseline", folder.parent.name, 0, state=state, versions=VERSIONS, updated=updated)
        write_record(folder / "run.json", record)
    assert grid.state_after(job, code) == expected
    assert grid.state_after(job, code, stopping=True) == ("finished" if expected == "finished" else "pruned")
    grid.own = False
    assert grid.state_after(job, code) == ("finished" if code == 0 else "failed")


LEFT = """
import sys
from recface.run.identity import run_folder
from recface.settings.compose import compose_config
from recface.settings.overrides import normalize_arguments
from recface.tracking import RunFolder, new_record
from recface.versions import VERSIONS
config = compose_config(*normalize_arguments(sys.argv[1:], {}))
folder = RunFolder.open(run_folder(config))
again = folder.record is not None
folder.start(new_record(config["name"], folder.path.parent.name, 0, config, versions=VERSIONS))
if again:
    folder.finish({"validation": {"geometry_auc": 1.0}})
"""


@pytest.mark.parametrize("method", ["grid", "random"])
def test_a_run_that_leaves_its_record_running_is_stopped_and_run_by_the_next_call(tmp_path, monkeypatch, method):
    """Its exit code is 0 both times. The first call must not try again for ever."""
    monkeypatch.setattr("recface.sweeps.points.is_own", lambda program: True)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    parameters = {"paths.runs": {"value": str(tmp_path / "runs=1")}, "seed": {"value": 0}}
    program, command = tmp_path / "program.py", [sys.executable, "${program}", "scale=smoke", "${args}"]
    program.write_text(LEFT)
    spec = Sweep(name="s", program=str(program), method=method, parameters=parameters, command=command, run_cap=1)
    kind = Grid if method == "grid" else Search
    states = []
    for _ in range(2):
        points = kind(spec)
        left = Runner(points).run()
        states.append((left, points.jobs[0].state, "1 stopped: run the same command" in summary(points.jobs, 1.0)))
    assert states == [(1, "stopped", True), (0, "finished", False)]
