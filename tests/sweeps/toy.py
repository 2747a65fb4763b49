"""A small program that stands in for run.py, and sweeps of it through the real entry point."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from tests.conftest import ROOT

from recface.sweeps.points import Job, Points
from recface.sweeps.spec import Sweep

ENTRY = ROOT / "src" / "sweep.py"

# A run folder with record, progress and metrics; notes each start and each end. `hold` runs until the file `go` exists.
# `x` is how good it gets, so that a point with x=0 is hopeless. Nothing is done twice: a finished one says "again".
PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path
signal.alarm(150)  # outlives no test run that was killed
from recface.errors import RecfaceError
from recface.tracking import RunFolder, RunRecord, config_hash, run_path

given = dict(argument.lstrip("+").split("=", 1) for argument in sys.argv[1:])
experiment, seed, x = given.get("experiment", "toy"), int(given.get("seed", 0)), float(given.get("x", 0))
digest = config_hash(given)

def note(what):
    with open("order.txt", "a") as file:
        file.write(f"{what} {experiment} {seed} {given.get('x', '')}\\n")

folder = RunFolder.open(run_path("runs", experiment, digest, seed))
if folder.is_finished:
    note("again")
    sys.exit(0)
note("begin")
if experiment == "threads":
    note(f"threads {os.environ['OMP_NUM_THREADS']}")
try:
    with folder.running(RunRecord(experiment, digest, seed)):
        folder.progress(0, 2, phase="stage1", loss=1.5)
        if experiment == "bad" and not Path("mended").exists():
            raise RecfaceError("loss pixel is NaN at step 3")
        while experiment == "hold" and not Path("go").exists():
            time.sleep(0.05)
        for step in range(1, int(given.get("epochs", 0)) + 1):
            folder.log_metrics({"step": step, "loss/total": 1 - x, "other": 3})
            if x < 0.1:
                time.sleep(1)
        folder.progress(2, 2, phase="stage2")
        folder.finish({"validation": {"score": x * (2 - x)}})
except RecfaceError as error:
    sys.exit(f"run.py: {error}")
note("end")
"""


class Listed(Points):
    """Jobs of any command, to be run in order."""

    def __init__(self, folder: Path, jobs: list[Job]) -> None:
        runs = {"paths.runs": {"value": str(folder)}}
        super().__init__(Sweep(name="listed", program="program.py", method="grid", parameters=runs))
        self.jobs = jobs
        for number, job in enumerate(jobs):
            job.key = str(number)

    def claim(self) -> Job | None:
        """The next one."""
        return next((job for job in self.jobs if job.state == "waiting"), None)


class Toy:
    """A folder with the program and a sweep of it."""

    def __init__(self, folder: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
        self.folder, self.popen = folder, start
        (folder / "program.py").write_text(PROGRAM)
        self.environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}

    def write(self, parameters, **keys):
        """Write toy.yaml."""
        content = {
            "program": "program.py",
            "method": "grid",
            "parameters": parameters,
            "command": ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"],
        } | keys
        (self.folder / "toy.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return self

    def grid(self, experiments, seeds=(0, 1)):
        """Write a grid of experiments and seeds."""
        return self.write({"+experiment": {"values": list(experiments)}, "seed": {"values": list(seeds)}})

    def search(self, method="bayes", run_cap=4, **keys):
        """Write a search over x."""
        metric = {"name": "validation/score", "goal": "maximize"}
        parameters = {"x": {"min": 0.0, "max": 1.0}, "+experiment": {"value": "toy"}}
        return self.write(**({"parameters": parameters, "method": method, "metric": metric, "run_cap": run_cap} | keys))

    def command(self, *arguments, action=()):
        """The command line of a sweep."""
        return [sys.executable, str(ENTRY), *action, "toy.yaml", *arguments]

    def run(self, *arguments, action=(), tables=False, stdin=""):
        """Run sweep.py to its end."""
        extra = [] if tables or action else ["--no-tables"]
        return subprocess.run(
            self.command(*arguments, *extra, action=action),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            input=stdin,
        )

    def start(self, *arguments):
        """Start sweep.py in a session of its own."""
        return self.popen(
            self.command(*arguments, "--no-tables"),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def order(self, what=None):
        """What the runs noted, split into words; only one kind of note if asked."""
        path = self.folder / "order.txt"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if what in (None, line[0])]

    def wait(self, condition, seconds=60.0):
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.05)
