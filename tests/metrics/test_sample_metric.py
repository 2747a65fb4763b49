"""Samples come in order and once, in one process and in two."""

import doctest
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.conftest import ROOT

import recface
from recface.errors import RecfaceError
from recface.metrics import SampleMetric, evaluate_shapes, sample_metric

WORKER = Path(__file__).with_name("ddp_worker.py")


def test_example() -> None:
    results = doctest.testmod(sample_metric)
    assert results.attempted > 0 and results.failed == 0


def test_samples_come_in_order_and_once(people) -> None:
    metric = SampleMetric(dict, ("identity", "predicted"))
    order = torch.randperm(120, generator=torch.Generator().manual_seed(1))
    for rows in (*order.split(50), order[:9]):  # the last batch pads
        metric.update(people.index[rows], identity=people.identity[rows], predicted=people.predicted[rows])
    found = metric.compute()
    assert torch.equal(found["identity"], people.identity) and torch.equal(found["predicted"], people.predicted)
    metric.reset()
    metric.update(people.index[3:5], identity=people.identity[3:5], predicted=people.predicted[3:5])
    assert torch.equal(metric.compute()["identity"], people.identity[3:5])


def test_rows_that_do_not_match_are_refused(people) -> None:
    metric = SampleMetric(dict, ("identity",))
    with pytest.raises(RecfaceError, match="index 2, identity 3"):
        metric.update(torch.arange(2), identity=people.identity[:3])


@pytest.mark.slow
def test_two_processes_give_the_same(people, tmp_path, start) -> None:
    data = {name: value for name, value in vars(people).items() if isinstance(value, torch.Tensor)}
    torch.save(data, tmp_path / "data.pt")
    paths = (Path(recface.__file__).parents[1], ROOT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    workers = [
        start(
            [sys.executable, WORKER, rank, tmp_path / "store", tmp_path / "data.pt"],
            env=environment,
            stdout=subprocess.PIPE,
        )
        for rank in (0, 1)
    ]
    alone = runpy.run_path(str(WORKER))["measure"](data, torch.arange(119))
    kept = {name: data[name][:119] for name in ("predicted", "identity", "true", "yaw_abs", "expression_norm")}
    direct = evaluate_shapes(**kept, basis=people.basis, mean=people.mean, sigma=people.sigma)
    assert alone == pytest.approx(direct | {key: direct[f"{key}_param"] for key in alone.keys() - direct.keys()})
    for worker in workers:
        assert json.loads(worker.communicate(timeout=300)[0]) == pytest.approx(alone, rel=1e-9)
