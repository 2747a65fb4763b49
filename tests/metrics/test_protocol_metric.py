"""The torchmetrics class of protocols: the same numbers as the protocol itself, in one process and in two."""

import doctest
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.conftest import ROOT
from tests.metrics import ddp_protocol_worker as worker

import recface
from recface.errors import RecfaceError
from recface.metrics import ProtocolMetric, protocol_metric
from recface.metrics.protocols import BENCHMARKS, Predictions


def test_example() -> None:
    results = doctest.testmod(protocol_metric)
    assert results.attempted > 0 and results.failed == 0


@pytest.mark.slow
def test_two_processes_give_what_the_protocol_gives(tmp_path) -> None:
    paths = (Path(recface.__file__).parents[1], ROOT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, worker.__file__, str(rank), tmp_path / "store", tmp_path],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    outputs = [json.loads(process.communicate(timeout=900)[0]) for process in workers]
    assert len(outputs[0]) >= 38
    for name in worker.protocols():
        predictions, truth, shared = worker.case(name, tmp_path)
        if shared:
            predictions = Predictions(predictions.ids, parameters=predictions.parameters, **shared)
        expected = BENCHMARKS[name].evaluate(predictions, truth)
        for output in outputs:
            assert output[name] == pytest.approx(expected, rel=1e-5, abs=1e-7, nan_ok=True), name


def test_samples_are_counted() -> None:
    predictions, truth, _ = worker.scene()[:3]
    metric = ProtocolMetric("clustering-parameters/v1", truth)
    metric.update(torch.arange(5), parameters=torch.from_numpy(predictions.parameters[:5]))
    with pytest.raises(RecfaceError, match="5 samples predicted, manifest has 160"):
        metric.compute()
    with pytest.raises(RecfaceError, match="no protocol lfw; src/evaluate.py --list"):
        ProtocolMetric("lfw", truth)
