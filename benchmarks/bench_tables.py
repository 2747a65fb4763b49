"""Time and memory of `recface tables` on 1,000 records: ten experiments with a hundred seeds each.

The records are those of a finished run, scattered by formula, with influences of all metrics. Two numbers are given,
first for an empty folder, then for one whose tables are there already. Targets: 10 s and 500 MB. Run:
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
from recface.tracking.archive import record_stem, reduce_predictions, zip_arrays
from recface.tracking.record import RunRecord, read_record

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


def main() -> None:
    """Print and keep a line for each of the two."""
    lines = []
    template = read_record(min((ROOT / "results" / "records").glob("sir-*-seed0.json")))
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder) / "results" / "records"
        records.mkdir(parents=True)
        write_records(records, template)
        command = [sys.executable, "-m", "recface", "tables"]
        command += ["--runs", f"{folder}/runs", "--results", f"{folder}/results"]
        for what in ("new tables", "unchanged tables"):
            begin = time.perf_counter()
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                sys.exit(f"recface tables failed with status {status}")
            seconds, megabytes = time.perf_counter() - begin, usage.ru_maxrss / 1024
            print(f"{len(EXPERIMENTS) * SEEDS:,} records, {what:16s}  {seconds:5.1f} s  {megabytes:5.0f} MB")
            name = f"{what} of {len(EXPERIMENTS) * SEEDS:,} records"
            lines.append(Line(f"{name}, time", seconds, None, "s", "ours <= 10"))
            lines.append(Line(f"{name}, memory", megabytes, None, "MB", "ours <= 500"))
    keep("tables", lines)


if __name__ == "__main__":
    main()
