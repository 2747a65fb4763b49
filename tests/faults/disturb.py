"""Runs and sweeps that are killed at random moments and started again, until they finish."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.conftest import ROOT
from tests.sweeps.toy import Toy

RUN = ("+experiment=sir", "scale=smoke", "scale.stage1_steps=6", "scale.stage2_steps=12", "trainer.epoch_steps=2")
"""A run of seconds with a checkpoint every few steps."""
PATIENCE_SECONDS = 300.0
STOP_SECONDS = 10.0
"""A run that is asked to stop has so long."""
Tell = Callable[[str], object]


@dataclass
class Outcome:
    """What was done to runs, and everything that went wrong."""

    signals: dict[str, int] = field(default_factory=lambda: {"SIGKILL": 0, "SIGTERM": 0})
    runs: int = 0
    starts: int = 0
    slowest_stop: float = 0.0  # seconds from SIGTERM to the end
    largest_difference: float = 0.0  # of a metric from the undisturbed run's
    wrong: list[str] = field(default_factory=list)


class Runs:
    """Smoke runs in a folder; the first one is left alone, and says what the others' metrics must be."""

    def __init__(self, folder: Path, cache: Path, random: Random, tell: Tell = lambda line: None) -> None:
        from recface.run.experiment import run_experiment
        from recface.settings.compose import compose_config

        self.folder, self.cache, self.random, self.tell = folder, cache, random, tell
        self.outcome = Outcome()
        run_experiment(compose_config(*RUN, *self._paths("whole")))
        self.whole = self.record("whole")
        self.work = sum(seconds for name, seconds in self.whole["timings"].items() if name.endswith("_seconds"))

    def _paths(self, name: str) -> list[str]:
        return [f"paths.runs={self.folder / name}", f"paths.cache={self.cache}"]

    @contextmanager
    def _started(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start or resume a run, which ends with the block."""
        command = [sys.executable, str(ROOT / "src" / "run.py"), *RUN, *self._paths(name)]
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.outcome.starts += 1
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def record(self, name: str) -> dict[str, Any]:
        """The record of a run; {} before there is one."""
        found = list((self.folder / name).glob("sir/*/seed=0/run.json"))
        return json.loads(found[0].read_text()) if found else {}

    def disturb(self, name: str, signals: list[signal.Signals]) -> None:
        """Send a run these signals, one a start, at random moments; then let it finish and compare it."""
        outcome = self.outcome
        outcome.runs += 1
        for number in signals:
            with self._started(name) as process:
                self._send(name, process, number)
            if self.record(name).get("state") == "finished":
                break
        with self._started(name) as process:
            code = process.wait(PATIENCE_SECONDS)
        record = self.record(name)
        if code or record.get("state") != "finished":
            outcome.wrong.append(f"{name}: code {code}, state {record.get('state')}: {self._last_line(name)}")
        else:
            self._compare(name, record, len(signals))
        self.tell(f"{name} finished after {len(signals)} signals; {len(outcome.wrong)} wrong")

    def _send(self, name: str, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """One signal: SIGKILL at a random moment of the work; SIGTERM once it has written some more lines."""
        begin, lines = time.time(), self._lines(name)
        while not self._works_since(name, begin) and process.poll() is None:
            time.sleep(0.02)
        if number == signal.SIGTERM:
            wanted = lines + self.random.randint(1, 3)
            while self._lines(name) < wanted and process.poll() is None:
                time.sleep(0.01)
        else:
            time.sleep(self.random.uniform(0, self.work))
        if process.poll() is not None:
            return  # it was faster
        process.send_signal(number)
        self.outcome.signals[number.name] += 1
        begin = time.monotonic()
        try:
            code = process.wait(STOP_SECONDS if number == signal.SIGTERM else 60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.outcome.wrong.append(f"{name}: {number.name} did not end it in {STOP_SECONDS:g} s")
            return
        if number == signal.SIGTERM:
            self.outcome.slowest_stop = max(self.outcome.slowest_stop, time.monotonic() - begin)
            state = self.record(name).get("state")
            if state != "finished" and (code, state) != (143, "interrupted"):  # it may end before it hears
                self.outcome.wrong.append(f"{name}: SIGTERM gave code {code} and state {state}")
            elif state != "finished" and "run the same command again" not in self._last_line(name):
                self.outcome.wrong.append(f"{name}: SIGTERM said {self._last_line(name)!r}")

    def _works_since(self, name: str, begin: float) -> bool:
        """Whether the record was written as "running" since a time."""
        found = list((self.folder / name).glob("sir/*/seed=0/run.json"))
        return bool(found) and found[0].stat().st_mtime > begin and self.record(name).get("state") == "running"

    def _lines(self, name: str) -> int:
        """Lines of the run's metrics, of both stages."""
        paths = (self.folder / name).glob("*/*/seed=0/metrics.jsonl")
        return sum(path.read_bytes().count(b"\n") for path in paths)

    def _last_line(self, name: str) -> str:
        lines = (self.folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _compare(self, name: str, record: dict[str, Any], ends: int) -> None:
        for block, values in self.whole["metrics"].items():
            other = record["metrics"].get(block, {})
            if set(other) != set(values):
                self.outcome.wrong.append(f"{name}: other metrics in {block}")
                continue
            for metric, value in values.items():
                if value is None or other[metric] is None:
                    difference = 0.0 if value is other[metric] else float("inf")
                else:
                    difference = abs(other[metric] - value)
                self.outcome.largest_difference = max(self.outcome.largest_difference, difference)
                if not difference <= 1e-6:
                    self.outcome.wrong.append(f"{name}: {block}/{metric} differs by {difference:g}")
        for path in sorted(self.folder.glob(f"{name}/*/*/seed=0/metrics.jsonl")):
            own = path.relative_to(self.folder / name)
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            expected = [json.loads(line) for line in (self.folder / "whole" / own).read_text().splitlines()]
            # What was trained again since the last checkpoint is written again: the last line of a step counts.
            found = {(line["stage"], line["step"]): line for line in lines}
            wanted = {(line["stage"], line["step"]): line for line in expected}
            if sorted(found) != sorted(wanted):
                self.outcome.wrong.append(f"{name}: {own} has other steps")
            elif any(abs(found[key]["loss/total"] - line["loss/total"]) > 1e-6 for key, line in wanted.items()):
                self.outcome.wrong.append(f"{name}: {own} has other losses")
            if (repeated := len(lines) - len(found)) > ends:  # an end between line and checkpoint costs one epoch
                self.outcome.wrong.append(f"{name}: {own} repeats {repeated} epochs after {ends} signals")
        stray = [
            path for path in (self.folder / name).rglob("*") if ".part" in path.name or "recface-part" in path.name
        ]
        if stray:
            self.outcome.wrong.append(f"{name}: {stray[0].name} is left behind")


def drawn_signals(kills: int, terms: int, random: Random, most: int = 6) -> list[signal.Signals]:
    """What to send one run: at most `most` of the signals that are left, in a random order."""
    left = [signal.SIGKILL] * kills + [signal.SIGTERM] * terms
    return random.sample(left, min(most, len(left)))


class Sweeps:
    """Several processes on one sweep of a toy program, which are killed and started again until all points are done."""

    def __init__(self, folder: Path, random: Random, processes: int, points: int, tell: Tell = lambda line: None):
        folder.mkdir(parents=True, exist_ok=True)
        self.random, self.count, self.points, self.tell = random, processes, points, tell
        self.toy = Toy(folder, lambda command, **options: subprocess.Popen(list(map(str, command)), **options))
        parameters = {
            "+experiment": {"value": "a"},
            "seed": {"values": list(range(points))},
            "x": {"value": 0.0},  # then each epoch takes a second
            "epochs": {"value": 1},
        }
        self.toy.write(parameters)

    def disturb(self, kills: int) -> list[str]:
        """Kill sweeps and runs at random; everything that went wrong."""
        running = [self._start() for _ in range(self.count)]
        try:
            return self._disturb(kills, running)
        finally:
            for process in (*(process.pid for process in running), *self._toy_runs()):
                self._kill(process)
            for process in running:
                process.wait()

    def _disturb(self, kills: int, running: list[subprocess.Popen[bytes]]) -> list[str]:
        begin, wrong = time.monotonic(), []
        for number in range(kills):
            time.sleep(self.random.uniform(0.5, 3.0))
            victims = self._toy_runs() if self.random.random() < 0.4 else []
            if victims:
                self._kill(self.random.choice(victims))
            else:
                place = self.random.randrange(self.count)
                self._kill(running[place].pid)
                running[place].wait()
                running[place] = self._start()
            self.tell(f"sweep: kill {number + 1} of {kills}, {len(self.toy.order('end'))} of {self.points} points done")
        for process in running:
            process.communicate(timeout=PATIENCE_SECONDS)
        # Runs that were killed with nobody left to see it, or that count as failed, are for a last process.
        running.append(last := self._start("--retry-failed"))
        last.communicate(timeout=PATIENCE_SECONDS)
        ends = [line[2] for line in self.toy.order("end")]
        files = [json.loads(path.read_text()) for path in self.toy.folder.glob("runs/sweeps/toy/*.json")]
        if last.returncode:
            wrong.append(f"the last process ended with {last.returncode}")
        if sorted(ends, key=int) != [str(seed) for seed in range(self.points)]:
            wrong.append(f"points that ended: {sorted(ends, key=int)}, of {self.points}")
        if [file["state"] for file in files] != ["finished"] * self.points:
            wrong.append(f"states are {sorted({file['state'] for file in files})} of {len(files)} points")
        self.tell(f"sweep: {self.points} points in {time.monotonic() - begin:.0f} s")
        return wrong

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.toy.command("--workers", "1", "--no-tables", *arguments),
            cwd=self.toy.folder,
            env=self.toy.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _toy_runs(self) -> list[int]:
        """Processes of the toy program in this sweep's folder."""
        found = []
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
                if b"program.py" in words and os.readlink(f"/proc/{process}/cwd") == str(self.toy.folder.resolve()):
                    found.append(int(process))
            except OSError:
                continue
        return found

    @staticmethod
    def _kill(process: int) -> None:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            return
