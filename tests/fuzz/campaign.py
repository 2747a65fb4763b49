"""Fuzzing of all readers within a time: what is tried, counted, kept and shown."""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

HANG_SECONDS, PREPARE_SECONDS = 10.0, 240.0
LARGEST_BYTES = 1_000_000_000
BATCH = 20
"""Tries of one reader before the next one's turn."""
BAD = ("foreign", "executed", "memory", "hang", "died")


@dataclass
class Result:
    """What became of a reader's tries."""

    kinds: Counter[str] = field(default_factory=Counter)
    peak: int = 0
    seconds: float = 0.0  # of the slowest try

    @property
    def bad(self) -> int:
        """Tries that ended in neither a value nor a one-line refusal, in time and memory."""
        return sum(self.kinds[kind] for kind in BAD)


class Process:
    """The worker, started again whenever a try has ended it."""

    def __init__(self, folder: Path, hang: float = HANG_SECONDS) -> None:
        self.folder, self.hang, self.started, self.process = folder, hang, 0, None
        self.log = (folder / "worker.log").open("wb")
        self.readers: list[str] = []
        self.ready: set[str] = set()

    def start(self) -> None:
        """Start a worker in a folder of its own, which takes the seconds of the imports."""
        self.started += 1
        place = self.folder / f"worker{self.started}"
        command = [sys.executable, "-m", "tests.fuzz.worker", str(place)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=self.log)
        answer = self._answer(PREPARE_SECONDS)
        if answer is None:
            raise RuntimeError(f"the worker did not start:\n{self._tail()}")
        self.readers, self.ready = answer["readers"], set()

    def ask(self, reader: str, seed: int, number: int) -> dict[str, Any]:
        """One try."""
        if self.process is None:
            self.start()
        if reader not in self.ready:
            if self._request({"prepare": reader}, PREPARE_SECONDS) is None:
                raise RuntimeError(f"{reader}: the valid input cannot be read:\n{self._tail()}")
            self.ready.add(reader)
        begin = time.monotonic()
        answer = self._request({"name": reader, "seed": seed, "number": number}, self.hang)
        if answer is not None:
            return answer
        seconds = time.monotonic() - begin
        kind = "hang" if seconds >= self.hang else "died"
        place = self.folder / f"worker{self.started}" / "try" / "input"
        self.stop()
        return {"kind": kind, "said": f"after {seconds:.1f} s", "peak": 0, "seconds": seconds, "file": str(place)}

    def _request(self, request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        assert self.process is not None and self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        return self._answer(seconds)

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        """The next line; None where the process ends, or says nothing in time."""
        assert self.process is not None and self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return None
        line = self.process.stdout.readline()  # a worker writes whole lines
        return json.loads(line) if line else None

    def _tail(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")[-2000:]

    def place(self) -> Path:
        """Folder of the last try."""
        return self.folder / f"worker{self.started}" / "try"

    def stop(self) -> None:
        """End the worker."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def fuzz(
    seconds: float,
    seed: int = 0,
    only: Iterable[str] = (),
    tries: int | None = None,
    kept: Path | None = None,
    tell: Callable[[str], object] = lambda line: None,
    hang: float = HANG_SECONDS,
) -> tuple[dict[str, Result], Path]:
    """Try mutations of the valid input of every reader, in turn, until the time is over.

    Args:
        seconds: How long, beside the start of the worker.
        seed: Try number n of a reader is the same for equal seeds, whatever else is tried.
        only: Names of readers; all without.
        tries: Most tries of a reader.
        kept: Folder for inputs that failed; a new one by default.
        tell: Receives a line about the progress now and then.
        hang: Seconds of a try that count as a hang.

    Returns:
        Results by reader, and the folder of inputs that failed.
    """
    kept = kept or Path(tempfile.mkdtemp(prefix="recface-fuzz-failed-"))
    with tempfile.TemporaryDirectory(prefix="recface-fuzz-") as folder:
        process = Process(Path(folder), hang)
        try:
            process.start()
            names = [name for name in process.readers if not only or name in set(only)]
            results = {name: Result() for name in names}
            deadline, next_time = time.monotonic() + seconds, {name: 0 for name in names}
            while time.monotonic() < deadline and any(tries is None or n < tries for n in next_time.values()):
                for name in names:
                    share = min(deadline, time.monotonic() + max(0.2, (deadline - time.monotonic()) / len(names)))
                    for number in range(next_time[name], min(next_time[name] + BATCH, tries or sys.maxsize)):
                        if time.monotonic() > share and number > next_time[name]:
                            break
                        _note(results[name], process, name, seed, number, kept)
                        next_time[name] = number + 1
                done, bad = sum(next_time.values()), sum(result.bad for result in results.values())
                left = max(0.0, deadline - time.monotonic())
                tell(f"{done:,} tries of {len(names)} readers, {bad} bad; {left / 60:.1f} minutes left")
        finally:
            process.stop()
            process.log.close()
    return results, kept


def _note(result: Result, process: Process, name: str, seed: int, number: int, kept: Path) -> None:
    answer = process.ask(name, seed, number)
    kind = answer["kind"]
    if answer["peak"] > LARGEST_BYTES:
        kind = "memory"
    result.kinds[kind] += 1
    result.peak, result.seconds = max(result.peak, answer["peak"]), max(result.seconds, answer["seconds"])
    if kind in BAD:
        place = kept / f"{name.replace(' ', '_')}-{seed}-{number}"
        shutil.copytree(process.place(), place, dirs_exist_ok=True, symlinks=True)
        text = f"{kind}: {name}, seed {seed}, try {number}, file {answer['file']}, {answer['peak'] / 1e6:.0f} MB\n"
        (place / "why.txt").write_text(text + answer["said"])


def markdown(results: dict[str, Result]) -> str:
    """The results as a table, with a last row for all."""
    head = "| reader | tries | refused | accepted | foreign exceptions | hangs | executed | peak MB | slowest (s) |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    total = Result()
    for result in results.values():
        total.kinds.update(result.kinds)
        total.peak, total.seconds = max(total.peak, result.peak), max(total.seconds, result.seconds)
    for name, result in (results | {f"all {len(results)}": total}).items():
        kinds = result.kinds
        foreign = kinds["foreign"] + kinds["memory"] + kinds["died"]
        numbers = (kinds.total(), kinds["refused"], kinds["accepted"], foreign, kinds["hang"], kinds["executed"])
        cells = [f"{number:,}" for number in numbers]
        lines.append(f"| {name} | {' | '.join(cells)} | {result.peak / 1e6:.0f} | {result.seconds:.1f} |")
    return "\n".join(lines)
