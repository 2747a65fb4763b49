"""Time and memory of `recface tables` on 1,000 records: ten experiments with a hundred seeds each.

The records are those of a finished run that table `small` takes, scattered by formula, with influences of all metrics.
Two numbers are given, first for an empty folder, then for one whose tables are there already. No photos are cached, so
the page draws no faces, and that table asks for no ROC curves or maps, which need torch. Targets: 10 s and 500 MB.

    python benchmarks/bench_tables.py
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measured import Line, keep

from recface.metrics.influence import influence_arrays
from recface.results.build import read_results
from recface.tracking.archive import record_stem, reduce_predictions, zip_arrays
from recface.tracking.record import RunRecord

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = (
    "baseline",
    "sir",
    "no_kl",
    "no_center",
    "sfm",
    "sir_s8",
    "sir_s32",
    "sir_s64",
    "sfm_no_sphere",
    "sfm_no_images",
)
SEEDS, PEOPLE = 100, 150
MEASURED = """
import atexit, re, runpy
status = lambda: open("/proc/self/status").read()
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+)", status())[1]))
runpy.run_module("recface", run_name="__main__")
"""
"""`recface`, which prints its peak memory in kB last: what a parent is told of its child includes its own memory."""


def write_records(folder: Path, template: RunRecord) -> None:
    """Fill a folder with archived records of all experiments and seeds."""
    for index, experiment in enumerate(EXPERIMENTS):
        for seed in range(SEEDS):
            generator = np.random.default_rng([index, seed])
            scale = float(np.exp(0.02 * index + 0.01 * generator.normal()))
            metrics = {
                block: {name: value and value * scale for name, value in named.items()}
                for block, named in template.metrics.items()
            }
            record = dataclasses.replace(
                template,
                experiment=experiment,
                hash=f"{index:08x}",
                seed=seed,
                config=template.config | {"name": experiment, "seed": seed},
                metrics=metrics,
                overrides=[f"+experiment={experiment}", f"seed={seed}"],
            )
            stem = folder / record_stem(record)
            stem.with_suffix(".json").write_text(json.dumps(dataclasses.asdict(record), indent=1))
            names = [f"{block}/{name}" for block, named in metrics.items() for name in named if block != "validation"]
            values = generator.normal(size=(len(names), PEOPLE)) + np.random.default_rng(index).normal(size=PEOPLE)
            influences = dict(zip(names, torch.from_numpy(0.1 * values), strict=True))
            arrays = influence_arrays("test", np.arange(PEOPLE), influences)
            arrays["test_parameters"] = generator.normal(size=(900, 70)).astype(np.float32)
            stem.with_suffix(".npz").write_bytes(zip_arrays(reduce_predictions(arrays)))


def template_record() -> RunRecord:
    """A committed run of SIR that table `small` takes, so that the tables take its copies."""
    results = read_results(ROOT / "configs" / "table", "none", ROOT / "results" / "records")
    small = next(table for table in results.tables if table.spec.name == "small")
    return small.blocks[0].runs.finished["sir"][0].record


def main() -> None:
    """Print and keep a line for each of the two."""
    lines = []
    template = template_record()
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder) / "results" / "records"
        records.mkdir(parents=True)
        write_records(records, template)
        command = [sys.executable, "-c", MEASURED, "tables"]
        command += ["--runs", f"{folder}/runs", "--results", f"{folder}/results"]
        # Without photos, whatever the machine has cached.
        environment = os.environ | {"RECFACE_CACHE": f"{folder}/cache"}
        for what in ("new tables", "unchanged tables"):
            begin = time.perf_counter()
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            seconds, megabytes = time.perf_counter() - begin, int(done.stdout.split()[-1]) / 1024
            print(f"{len(EXPERIMENTS) * SEEDS:,} records, {what:16s}  {seconds:5.1f} s  {megabytes:5.0f} MB")
            name = f"{what} of {len(EXPERIMENTS) * SEEDS:,} records"
            lines.append(Line(f"{name}, time", seconds, None, "s", "ours <= 10"))
            lines.append(Line(f"{name}, memory", megabytes, None, "MB", "ours <= 500"))
    keep("tables", lines)


if __name__ == "__main__":
    main()
