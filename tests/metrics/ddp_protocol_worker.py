"""One of two processes that measure every protocol together: `python ddp_protocol_worker.py RANK STORE FOLDER`."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from tests.metrics.test_protocol_others import landmarks
from tests.metrics.test_protocol_templates import template_pairs, templates
from tests.metrics.test_protocol_verification import scene

from recface.metrics import ProtocolMetric
from recface.metrics.protocols import BENCHMARKS, Predictions, Truth

FAMILIES = ("verification", "templates", "landmarks", "clustering", "correspondence", "benchmark")


def protocols() -> list[str]:
    """Ids of the protocols that do not need scans."""
    modules = {f"recface.metrics.protocols.{name}" for name in FAMILIES}
    return [name for name, protocol in BENCHMARKS.items() if type(protocol).__module__ in modules]


def case(name: str, folder: Path) -> tuple[Predictions, Truth, dict[str, np.ndarray]]:
    """Predictions of an odd number of samples, truth, and what predictions share."""
    if name.startswith("aflw2000"):
        predictions, truth = landmarks(count=51)
        return predictions, replace(truth, table=truth.table.assign(landmark_version=BENCHMARKS[name].version)), {}
    if BENCHMARKS[name].templates:
        predictions, truth, people, each = templates()
        return predictions, replace(truth, pairs=template_pairs(3, people, each, 10, 20)), {}
    predictions, truth, basis, mean = scene(photos=3, people=41)
    person = truth.table["identity"].astype(int)
    table = truth.table.assign(
        shape=truth.table["id"],
        albedo=(np.arange(len(person)) % 3).astype(str),
        expression=np.where(np.arange(len(person)) % 3 == 0, "neutral", "smiling"),
    )
    true = np.random.default_rng(5).normal(size=(41, 6)).astype(np.float32)[person]
    table = pd.concat([table, pd.DataFrame(true, columns=[f"true_{k}" for k in range(1, 7)])], axis=1)
    np.savez(folder / "shapes.npz", ids=np.array(predictions.ids), vertices=predictions.vertices[::-1])
    truth = replace(truth, table=table, folder=folder)
    if not name.startswith("benchmark"):
        return predictions, truth, {}
    return predictions, truth, {"basis": basis, "mean": mean, "weights": np.linspace(3, 1, 6, dtype=np.float32)}


def measure(folder: Path, rank: int | None = None) -> dict[str, dict[str, float]]:
    """Every protocol on this process's share of the samples, and, under torch.distributed, the other's."""
    values = {}
    for name in protocols():
        predictions, truth, shared = case(name, folder)
        metric = ProtocolMetric(name, truth, shared)
        rows = torch.arange(len(predictions))
        if rank is not None:  # as a distributed sampler does: interleaved, and the first repeated to even the shares
            rows = torch.cat([rows, rows[: len(rows) % 2]])[rank::2]
        for batch in rows.split(16):
            fields = {field: torch.from_numpy(getattr(predictions, field)[batch.numpy()]) for field in metric.fields}
            metric.update(batch, **fields)
        values[name] = {key: float(value) for key, value in metric.compute().items()}
    return values


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[3])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
    own = folder / str(rank)
    own.mkdir()
    print(json.dumps(measure(own, rank)))
    dist.destroy_process_group()
