"""What all measurements share: timing two sides in turn, and results/benchmarks.json with its readable page.

A line is {ours, other, ratio, target, unit, machine} under a name that begins with its script's group. A script
replaces the lines that it measured and leaves all others.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch

from recface.files.atomic import write_bytes, write_json

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
LOAD = os.getloadavg()[0]  # before this process adds its own
HEAD = """# Speed

Written by `make bench`; each script of `benchmarks/` replaces its own lines. Both sides of a line are measured in one
run. The ratio says how many times faster ours is; for shares, and where the target is an upper bound, how many times as
much ours takes. What uses one thread is timed by its CPU seconds, which are its wall time on a quiet machine; the rest
by wall time.
[What a training step costs](../docs/performance.md) explains the lines of its parts.
"""


@dataclass(frozen=True)
class Line:
    """One measurement beside its alternative.

    Attributes:
        name: What is measured, and against what.
        ours: The measurement.
        other: The alternative's, the reason why it was not measured, or None where there is none.
        unit: Of both.
        target: Such as "ratio >= 10", "ratio <= 1.25" or "ours <= 0.2"; None where nothing is asked.
        rate: Whether more is faster.
    """

    name: str
    ours: float
    other: float | str | None
    unit: str
    target: str | None = None
    rate: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is; for a target "ratio <= x", and without one for shares, ours over the other."""
        if not isinstance(self.other, int | float):
            return None
        share = (
            self.rate or self.unit in ("exponent", "share", "ms, share") or (self.target or "").startswith("ratio <=")
        )
        return self.ours / self.other if share else self.other / self.ours

    def entry(self, machine: str) -> dict[str, object]:
        """The line as benchmarks.json holds it, to four digits."""
        fields = asdict(self) | {"ratio": self.ratio, "machine": machine}
        kept = {name: fields[name] for name in ("ours", "other", "ratio", "target", "unit", "machine")}
        return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in kept.items()}


Clock = Callable[[], float]


def clock() -> Clock:
    """CPU seconds for one thread, whose wall time they are on a quiet machine, busy or not; else wall seconds."""
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def best(function: Callable[[], object], repeats: int, by: Clock | None = None) -> float:
    """Shortest of `repeats` runs in milliseconds: what the code costs when nothing else runs."""
    return in_turn(function, repeats=repeats, by=by)[0]


def in_turn(*sides: Callable[[], object], repeats: int, by: Clock | None = None) -> list[float]:
    """Milliseconds of each side: the best of several runs in turn, so that all see the same machine."""
    times: list[list[float]] = [[] for _ in sides]
    now = by or clock()
    for _ in range(repeats):
        for side, found in zip(sides, times, strict=True):
            begin = now()
            side()
            found.append(1000 * (now() - begin))
    return [min(found) for found in times]


class Parts:
    """Milliseconds of named parts, over many rounds; the median of each counts, which one slow round cannot move."""

    def __init__(self) -> None:
        self.now = clock()
        self.times: dict[str, list[float]] = {}

    def __call__(self, name: str, function: Callable[[], T]) -> T:
        """Time one call."""
        begin = self.now()
        value = function()
        self.add(name, 1000 * (self.now() - begin))
        return value

    def add(self, name: str, milliseconds: float) -> None:
        """Take in a time."""
        self.times.setdefault(name, []).append(milliseconds)

    def medians(self) -> dict[str, float]:
        """Median of each part."""
        return {name: statistics.median(times) for name, times in self.times.items()}


def machine() -> str:
    """Processor, cores, the vector instructions that matter here, PyTorch, its threads, and how busy it was before."""
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = re.search(r"^model name\s*: (.+)$", cpu, re.MULTILINE)
    flags = [flag for flag in FLAGS if re.search(rf"\b{flag}\b", cpu)]
    cores = f"{os.cpu_count()} cores ({', '.join(flags) or 'no AVX'}), {torch.get_num_threads()} of them used"
    return f"{name[1] if name else platform.machine()}, {cores}, torch {torch.__version__}, load before {LOAD:.1f}"


def keep(group: str, lines: Iterable[Line], folder: Path = RESULTS) -> None:
    """Put lines into benchmarks.json in place of all that the group had, and write the page anew."""
    path = folder / "benchmarks.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    where = machine()
    others = {name: entry for name, entry in stored.items() if not name.startswith(f"{group}: ")}
    entries = others | {f"{group}: {line.name}": line.entry(where) for line in lines}
    write_json(path, entries)
    write_bytes(folder / "benchmarks.md", page(entries).encode())


def page(entries: dict[str, dict]) -> str:
    """The readable table, a section for each group."""
    parts, groups = [HEAD], dict.fromkeys(name.partition(": ")[0] for name in entries)
    for group in sorted(groups):
        own = {name.partition(": ")[2]: entry for name, entry in entries.items() if name.startswith(f"{group}: ")}
        machines = dict.fromkeys(entry["machine"] for entry in own.values())
        parts.append(f"## {group.capitalize()}\n\nMachine: {'; '.join(machines)}.\n")
        rows = [("what", "ours", "other", "unit", "ratio", "target", "")]
        rows.append(("---", "---:", "---:", "---", "---:", "---", "---"))
        rows += [
            (
                name,
                number(entry["ours"]),
                number(entry["other"]),
                entry["unit"],
                number(entry["ratio"]),
                entry["target"] or "–",
                verdict(entry),
            )
            for name, entry in own.items()
        ]
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n")
    return "\n".join(parts)


def number(value: float | str | None) -> str:
    """Three digits, thousands parted; a dash where there is nothing to show."""
    if not isinstance(value, int | float):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def verdict(entry: dict) -> str:
    """Reached or missed, in words."""
    if isinstance(entry["other"], str):
        return entry["other"]
    if not entry["target"]:
        return "no target"
    what, sign, bound = entry["target"].split()
    value, bound = entry[what], float(bound)
    return "reached" if (value >= bound if sign == ">=" else value <= bound) else "missed"


def fill(path: Path, mark: str, table: str) -> None:
    """Replace what stands between <!-- mark --> and <!-- end mark --> on a page."""
    text = path.read_text()
    begin, end = f"<!-- {mark} -->", f"<!-- end {mark} -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    write_bytes(path, f"{before}{begin}\n\n{table}\n\n{end}{after}".encode())
