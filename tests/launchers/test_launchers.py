"""Multiruns of a stand-in for run.py, through each launcher, in real processes.

SLURM is stood in for by an `sbatch` that keeps the script it is given, and runs it with the variables that SLURM sets.
"""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.conftest import ROOT

from recface.errors import RecfaceError
from recface.launchers import multirun
from recface.launchers.multirun import check_launcher
from recface.launchers.point import first_line, resources
from recface.launchers.ray_cluster import carried, check_address, check_size
from recface.launchers.ray_cluster import start as start_ray
from recface.launchers.slurm import last_line, parameters
from recface.settings.compose import compose_config

needs_ray = pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="ray is not installed (extra `cluster`)")
needs_submitit = pytest.mark.skipif(
    not importlib.util.find_spec("submitit"), reason="submitit is not installed (extra `cluster`)"
)

# Seeds say what becomes of a run: 13 is a mistake, 14 an error of a library, 66 a sudden death, 99 takes long the first
# time.
PROGRAM = """
import json, os, sys, time
from pathlib import Path
from recface.cli.program import ended
from recface.cli.run_command import past_hydra, run_with_hydra
from recface.errors import RecfaceError

class Unpicklable(Exception):
    def __init__(self, first, second):
        super().__init__(first)

def main(config):
    with past_hydra():
        seen = {"pid": os.getpid(), "parent": os.getppid(), "folder": os.getcwd(), "threads": config.trainer.threads}
        seen["environment"] = {k: v for k, v in os.environ.items() if k.startswith(("RECFACE_", "OMP_", "NUMBA_"))}
        path = Path(config.paths.runs, f"{config.name}-{config.seed}.json")
        seen["again"] = path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".part").write_text(json.dumps(seen))
        path.with_suffix(".part").rename(path)
        if config.seed == 13:
            raise RecfaceError("seed: 13 is unlucky")
        if config.seed == 14:
            raise Unpicklable("tensors differ", 1)
        if config.seed == 66:
            sys.stderr.write("out of memory\\n")
            os._exit(66)
        if config.seed == 99 and not seen["again"]:
            time.sleep(60)
        return config.seed / 10

if __name__ == "__main__":
    sys.exit(ended("toy", lambda: run_with_hydra(main, sys.argv[1:])))
"""

SBATCH = """#!/bin/bash
# Keeps the script; runs its array, one task at a time, as SLURM would: in the background, with its variables.
cp "$1" "$STAND_IN/script.sh"
if grep -q 'partition=wrong' "$1"; then echo 'sbatch: error: invalid partition specified: wrong' >&2; exit 1; fi
range=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
export SLURM_JOB_ID=4242 SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0
export SLURM_JOB_NAME=run SLURM_JOB_NODELIST=node1
(
  if [ -n "$range" ]; then export SLURM_ARRAY_JOB_ID=4242; fi
  for task in $(seq 0 "${range:-0}"); do
    if [ -n "$range" ]; then export SLURM_ARRAY_TASK_ID=$task; fi
    bash "$1"
    if [ -e "$STAND_IN/requeued" ]; then mv "$STAND_IN/requeued" "$STAND_IN/was-requeued"; bash "$1"; fi
  done
  touch "$STAND_IN/over"
) > "$STAND_IN/log" 2>&1 < /dev/null &
echo 'Submitted batch job 4242'
"""

SRUN = """#!/bin/bash
path() { echo "$1" | sed "s/%A_%a/4242_$SLURM_ARRAY_TASK_ID/g; s/%j/4242/g; s/%t/0/g"; }
while [[ $1 == --* ]]; do
  case $1 in
    --output) out=$(path "$2"); shift 2;;
    --error) err=$(path "$2"); shift 2;;
    *) shift;;
  esac
done
mkdir -p "$(dirname "$out")"
exec "$@" >> "$out" 2>> "$err"
"""

SACCT = """#!/bin/bash
echo 'JobID|State|NodeList'
if [ -e "$STAND_IN/over" ]; then state=FAILED; else state=RUNNING; fi
for task in 0 1 2 3 4 5; do echo "4242_$task|$state|node1"; done
echo "4242|$state|node1"
"""


SCONTROL = """#!/bin/bash
echo "$@" > "$STAND_IN/requeued"
"""


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "toy.py").write_text(PROGRAM)
    return bare_environment(tmp_path)


def bare_environment(home):
    """Variables for a child: Ray tells nobody anything, keeps its token in `home`, and listens on the loopback only."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RECFACE_", "SLURM_", "RAY_"))}
    loopback = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    return kept | loopback | {"PYTHONPATH": str(ROOT / "src"), "HOME": str(home)}


@pytest.fixture
def cluster(tmp_path, environment):
    """The environment of a login node."""
    folder = tmp_path / "stand-in"
    folder.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT, "scontrol": SCONTROL}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return environment | {"PATH": f"{folder}:{os.environ['PATH']}", "STAND_IN": str(folder)}


def command(*arguments):
    return [sys.executable, "toy.py", *arguments]


def run(tmp_path, environment, *arguments):
    return subprocess.run(command(*arguments), cwd=tmp_path, env=environment, capture_output=True, text=True)


def seen(tmp_path, seed, name="sir"):
    return json.loads((tmp_path / "runs" / f"{name}-{seed}.json").read_text())


def gone(*pids, seconds=30.0):
    """Whether processes have ended or end soon."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


def complaints(done):
    return [line for line in done.stderr.splitlines() if line.strip()]


def test_here_one_failure_does_not_stop_the_others(tmp_path, environment):
    done = run(tmp_path, environment, "-m", "+experiment=sir", "seed=13,14,2")
    assert done.returncode == 1
    assert complaints(done) == [
        "1/3 failed: +experiment=sir seed=13: seed: 13 is unlucky",
        "2/3 failed: +experiment=sir seed=14: tensors differ (Unpicklable; RECFACE_DEBUG=1 shows where)",
        "toy: 2 of 3 runs failed; rerun the command to try them again",
    ]
    assert done.stdout.splitlines()[-1] == "3/3 finished: +experiment=sir seed=2 (0.2000)"
    assert [path.name for path in tmp_path.glob("*.yaml")] == []  # Hydra's own notes lie with the runs


def test_here_all_well(tmp_path, environment):
    done = run(tmp_path, environment, "-m", "+experiment=sir,no_kl", "seed=1,2", "paths.runs=elsewhere")
    assert (done.returncode, done.stderr) == (0, "")
    names = {path.name for path in (tmp_path / "elsewhere").glob("*.json")}
    assert names == {f"{name}-{seed}.json" for name in ("sir", "no_kl") for seed in (1, 2)}


def test_one_run_is_as_before(tmp_path, environment):
    done = run(tmp_path, environment, "+experiment=sir", "seed=13")
    assert (done.returncode, done.stderr) == (1, "toy: seed: 13 is unlucky\n")


def test_the_place_of_errors_is_shown_on_demand(tmp_path, environment):
    done = run(tmp_path, environment | {"RECFACE_DEBUG": "1"}, "-m", "seed=14,2")
    assert 'raise Unpicklable("tensors differ", 1)' in done.stderr
    assert "2/2 finished" in done.stdout


@needs_submitit
def test_slurm_is_asked_for_what_the_settings_say(tmp_path, cluster):
    settings = ["partition=gpu", "timeout_min=90", "mem_gb=16", "array_parallelism=2", "setup=[module load cuda]"]
    done = run(
        tmp_path,
        cluster,
        "-m",
        "hydra/launcher=slurm",
        *(f"hydra.launcher.{setting}" for setting in settings),
        "+experiment=sir",
        "seed=0,1,2",
        "+hydra.launcher.additional_parameters.reservation=faces",
        "trainer=gpu",
        "trainer.threads=3",
    )
    assert done.returncode == 0, done.stderr
    script = (tmp_path / "stand-in" / "script.sh").read_text()
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", script, re.MULTILINE))
    assert options["partition"] == "gpu"
    assert options["time"] == "90"
    assert options["mem"] == "16GB"
    assert options["gpus-per-node"] == "1"
    assert options["cpus-per-task"] == "3"
    assert options["array"] == "0-2%2"
    assert options["nodes"] == options["ntasks-per-node"] == "1"
    assert options["job-name"] == "toy"
    assert options["reservation"] == "faces"
    assert options["output"] == f"{tmp_path}/runs/slurm/%A_%a/%A_%a_0_log.out"
    assert not {"account", "qos", "constraint", "gres"} & set(options)
    lines = script.splitlines()
    assert lines.index("export OMP_NUM_THREADS=3 NUMBA_NUM_THREADS=3") < lines.index("module load cuda")
    assert re.fullmatch(
        rf"srun --unbuffered --output \S+ --error \S+ {sys.executable} -u -m submitit.core._submit \S+", lines[-1]
    )
    assert "3/3 finished" in done.stdout
    assert len({seen(tmp_path, seed)["pid"] for seed in (0, 1, 2)}) == 3
    first = seen(tmp_path, 0)
    assert first["folder"] == str(tmp_path)
    assert first["environment"] == {"OMP_NUM_THREADS": "3", "NUMBA_NUM_THREADS": "3"}


@needs_submitit
@pytest.mark.slow
def test_slurm_jobs_that_fail_or_die_are_told_and_the_others_go_on(tmp_path, cluster):
    done = run(tmp_path, cluster, "-m", "hydra/launcher=slurm", "+experiment=sir", "seed=13,66,14,2")
    assert done.returncode == 1
    told = "\n".join(complaints(done))
    assert "failed: +experiment=sir seed=13: seed: 13 is unlucky" in told
    assert "failed: +experiment=sir seed=14: tensors differ (Unpicklable" in told
    assert re.search(
        r"failed: \+experiment=sir seed=66: job 4242_1 ended as FAILED: .*\(log: .*4242_1_0_log.err\)", told
    )
    assert told.endswith("toy: 3 of 4 runs failed; rerun the command to try them again")
    assert len(complaints(done)) == 4
    assert re.search("finished: .experiment=sir seed=2 ", done.stdout)


@needs_submitit
def test_a_refusal_of_slurm_is_one_line(tmp_path, cluster, environment):
    line = ["-m", "hydra/launcher=slurm", "seed=0,1"]
    done = run(tmp_path, cluster, *line, "hydra.launcher.partition=wrong")
    assert complaints(done) == ["toy: SLURM refuses the jobs: sbatch: error: invalid partition specified: wrong"]
    done = run(tmp_path, environment, *line)
    assert len(complaints(done)) == 1
    assert "no sbatch and srun on this machine" in done.stderr
    assert done.returncode == 1


@needs_submitit
def test_submitits_own_processes_run_the_same_without_slurm(tmp_path, environment):
    done = run(tmp_path, environment, "-m", "hydra/launcher=slurm", "hydra.launcher.cluster=local", "seed=13,1")
    assert done.returncode == 1
    assert "failed: seed=13: seed: 13 is unlucky" in done.stderr
    assert "finished: seed=1 (0.1000)" in done.stdout
    assert seen(tmp_path, 1, "baseline")["pid"] != seen(tmp_path, 13, "baseline")["pid"]


def under_way(start, tmp_path, environment, *arguments):
    """A multirun whose run with seed 99 is under way, and that run's process."""
    process = start(
        command(*arguments),
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "runs" / "sir-99.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process, seen(tmp_path, 99)["pid"]


@needs_submitit
def test_an_interrupt_says_how_to_stop_the_jobs(tmp_path, cluster, start):
    process, job = under_way(start, tmp_path, cluster, "-m", "hydra/launcher=slurm", "+experiment=sir", "seed=99,98")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert Path(f"/proc/{job}").exists()
    os.kill(job, signal.SIGKILL)
    assert process.returncode == 130
    assert "job 4242 continues in SLURM; `scancel 4242` stops it" in errors


@needs_submitit
def test_a_job_that_slurm_wants_to_stop_is_queued_again(tmp_path, cluster, start):
    process, job = under_way(start, tmp_path, cluster, "-m", "hydra/launcher=slurm", "+experiment=sir", "seed=99,1")
    os.kill(job, signal.SIGUSR2)  # what SLURM sends before the time limit, as the script asks for
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert (tmp_path / "stand-in" / "was-requeued").read_text() == "requeue 4242_0\n"
    assert seen(tmp_path, 99)["again"] and seen(tmp_path, 99)["pid"] != job
    assert "finished: +experiment=sir seed=99 (9.9000)" in output


@needs_submitit
def test_an_interrupt_stops_processes_that_are_ours(tmp_path, environment, start):
    arguments = ["hydra/launcher=slurm", "hydra.launcher.cluster=local", "+experiment=sir", "seed=99,98"]
    process, job = under_way(start, tmp_path, environment, "-m", *arguments)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert gone(job)


@needs_ray
@pytest.mark.slow
def test_ray_runs_every_point_in_a_process_of_its_own(tmp_path, environment):
    done = run(
        tmp_path,
        environment | {"RECFACE_MARK": "carried"},
        "-m",
        "hydra/launcher=ray",
        "hydra.launcher.init.num_cpus=1",
        "+experiment=sir",
        "seed=13,66,14,2,3",
    )
    assert done.returncode == 1
    told = complaints(done)
    assert len(told) == 4, done.stderr
    assert any("failed: +experiment=sir seed=13: seed: 13 is unlucky" in line for line in told)
    assert any("failed: +experiment=sir seed=14: tensors differ (Unpicklable" in line for line in told)
    assert any("failed: +experiment=sir seed=66: its Ray worker ended" in line for line in told)
    assert told[-1] == "toy: 3 of 5 runs failed; rerun the command to try them again"
    first, second = seen(tmp_path, 2), seen(tmp_path, 3)
    assert first["pid"] != second["pid"]
    assert first["folder"] == str(tmp_path)
    assert first["environment"] == {"RECFACE_MARK": "carried", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    assert gone(first["pid"], first["parent"])  # Ray's processes end with the command


@needs_ray
@pytest.mark.slow
def test_ray_trains(tmp_path, cache_dir, benchmark):
    arguments = ["-m", "hydra/launcher=ray", "hydra.launcher.init.num_cpus=1", "scale=smoke"]
    arguments += [
        "+experiment=sir,no_kl",
        f"paths.cache={cache_dir}",
    ]
    done = subprocess.run(
        [sys.executable, ROOT / "src" / "run.py", *arguments],
        cwd=tmp_path,
        env=bare_environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    records = {path.parents[2].name: json.loads(path.read_text()) for path in tmp_path.glob("runs/*/*/seed=0/run.json")}
    assert {name: record["state"] for name, record in records.items() if name != "stage1"} == dict.fromkeys(
        ("sir", "no_kl"), "finished"
    )
    for name, record in records.items():
        if name != "stage1":
            assert f"({record['metrics']['validation']['geometry_auc']:.4f})" in done.stdout


@pytest.mark.parametrize(("launcher", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_without_the_extra_one_line_says_what_to_install(launcher, package, monkeypatch):
    monkeypatch.setattr(multirun.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecfaceError, match=rf"{package}, which is not installed: pip install -e '.\[cluster\]'"):
        check_launcher(["-m", f"hydra/launcher={launcher}", "seed=0,1"])
    check_launcher(["-m", "seed=0,1"])


def test_without_the_extra_everything_else_works(tmp_path, environment):
    """Nothing of it is imported, not even when Hydra looks through its plugins."""
    (tmp_path / "none").mkdir()
    for package in ("ray", "submitit"):
        (tmp_path / "none" / f"{package}.py").write_text("raise ImportError('not here')")
    poor = environment | {"PYTHONPATH": f"{ROOT / 'src'}:{tmp_path / 'none'}"}
    done = run(tmp_path, poor, "-m", "seed=1,2")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_launcher_without_multirun_is_no_silent_single_run():
    with pytest.raises(RecfaceError, match="add -m"):
        check_launcher(["hydra/launcher=here", "hydra/launcher=slurm", "seed=0"])


def test_resources_are_what_the_run_uses():
    assert resources(compose_config("trainer.threads=4", "data.workers=2")) == (6, 0)
    assert resources(compose_config("trainer=gpu", "trainer.threads=8")) == (8, 1)
    assert resources(compose_config("trainer=ddp", "trainer.devices=4", "data.workers=2")) == (40, 4)


def test_settings_of_slurm_that_are_open_are_filled_in_or_left_out():
    given = {"cpus_per_task": None, "gpus_per_node": None, "mem_gb": 8, "partition": None, "setup": ["a"], "qos": "low"}
    result = parameters(given, threads=2, cpus=3, gpus=0, name="run")
    assert result == {
        "name": "run",
        "nodes": 1,
        "tasks_per_node": 1,
        "mem_gb": 8,
        "cpus_per_task": 3,
        "slurm_qos": "low",
        "slurm_setup": ["export OMP_NUM_THREADS=2 NUMBA_NUM_THREADS=2", "a"],
    }
    assert parameters(given | {"gpus_per_node": 2}, 2, 3, 1, "run")["gpus_per_node"] == 2
    several = parameters(given, 2, 12, 4, "run", tasks=4, nodes=2)
    assert {key: several[key] for key in ("nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node")} == {
        "nodes": 2,
        "tasks_per_node": 4,
        "cpus_per_task": 3,
        "gpus_per_node": 4,
    }
    assert several["slurm_srun_args"] == ["--kill-on-bad-exit=1"] and "slurm_srun_args" not in result


def test_a_run_that_fits_nowhere_is_refused():
    machines = [{"CPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}]
    check_size({"num_cpus": 8, "num_gpus": 1}, machines)
    with pytest.raises(RecfaceError, match="16 CPUs and 0 GPUs, .* at most 8 CPUs and 1 GPUs"):
        check_size({"num_cpus": 16, "num_gpus": 0}, machines)


def test_an_address_where_nothing_answers_is_told_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RecfaceError, match=f"no Ray cluster answers at {address} .*ray start --head"):
        check_address(address)
    check_address("auto")


@pytest.mark.parametrize("error", [None, RuntimeError("no")])
def test_rays_handler_of_sigterm_does_not_stay(error, monkeypatch):
    def init(**settings):
        if not settings:  # in the main thread, Ray's own
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if error:
            raise error

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    before = signal.getsignal(signal.SIGTERM)
    said = []
    with ThreadPoolExecutor(1) as pool:
        for begin in (lambda: start_ray({}), lambda: pool.submit(start_ray, {"num_cpus": 1}).result()):
            try:
                begin()
            except RecfaceError as refused:
                said.append(str(refused))
            assert signal.getsignal(signal.SIGTERM) == before
    assert said == (["Ray does not start: no"] * 2 if error else [])


def test_only_the_projects_variables_travel():
    variables = {"RECFACE_CACHE": "c", "WANDB_MODE": "offline", "PATH": "p", "HOME": "h", "AWS_SECRET": "s"}
    assert carried(variables) == {"RECFACE_CACHE": "c", "WANDB_MODE": "offline"}


def test_lines():
    assert [last_line(text) for text in ("", "a\nb \n\n")] == ["", "b"]
    assert [first_line(text) for text in ("", "\n a\nb \n\n")] == ["", "a"]


@pytest.mark.parametrize("name", ["here", "slurm", "ray"])
def test_launchers_leave_no_trace_in_a_runs_hash(name):
    """A run is the same wherever it takes place."""
    assert compose_config("seed=1", f"hydra/launcher={name}") == compose_config("seed=1")
