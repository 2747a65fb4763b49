"""What the metric classes share: examples, reset, sample numbers, and two processes."""

import doctest
import importlib
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import recface
from recface.errors import RecfaceError
from recface.metrics import ParameterVerification, ShapeError

CLASSES = ("shape_error", "landmark_error", "verification", "sir", "clustering", "prior", "faithfulness")

WORKER = Path(__file__).with_name("ddp_worker.py")


@pytest.mark.parametrize("name", CLASSES)
def test_examples(name) -> None:
    results = doctest.testmod(importlib.import_module(f"recface.metrics.{name}"))
    assert results.attempted > 0 and results.failed == 0


def test_numbered_samples_come_in_order_and_once(people) -> None:
    metric = ParameterVerification(people.sigma, folds=4)
    metric.update(people.predicted, people.identity, people.index)
    expected = metric.compute()
    metric.reset()
    order = torch.randperm(len(people.index), generator=torch.Generator().manual_seed(1))
    for rows in (*order.split(50), order[:9]):  # the last batch pads
        metric.update(people.predicted[rows], people.identity[rows], people.index[rows])
    assert metric.compute() == expected
    assert torch.equal(metric.samples()["identities"], people.identity)


def test_reset_forgets_and_sizes_are_checked(people) -> None:
    metric = ShapeError()
    shapes = torch.randn(3, 9, 3)
    metric.update(shapes, shapes.flip(0))
    metric.reset()
    metric.update(shapes, shapes)
    assert float(metric.compute()) == pytest.approx(0, abs=1e-5)
    with pytest.raises(RecfaceError, match="index 2, errors 3"):
        metric.update(shapes, shapes, torch.arange(2))


@pytest.mark.slow
def test_two_processes_give_the_same(people, tmp_path) -> None:
    data = {name: getattr(people, name) for name in ("predicted", "true", "identity", "index", "basis")}
    torch.save(data, tmp_path / "data.pt")
    environment = os.environ | {"PYTHONPATH": str(Path(recface.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, WORKER, str(rank), tmp_path / "store", tmp_path / "data.pt"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    alone = runpy.run_path(str(WORKER))["measure"](data, torch.arange(119))
    for worker in workers:
        assert json.loads(worker.communicate(timeout=300)[0]) == pytest.approx(alone, rel=1e-5)
