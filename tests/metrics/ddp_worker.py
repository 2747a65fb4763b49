"""One of two processes that measure a test set together: `python ddp_worker.py RANK STORE DATA`."""

import json
import sys

import pandas as pd
import torch
import torch.distributed as dist

from recface.metrics import SampleMetric, evaluate_shapes
from recface.metrics.protocols import BENCHMARKS, Predictions, Truth

FIELDS = ("predicted", "true", "identity", "yaw_abs", "expression_norm")


def measure(data: dict[str, torch.Tensor], rows: torch.Tensor) -> dict[str, float]:
    """Metrics of these rows, and, under torch.distributed, of the other process's: all of ours, and a protocol's."""

    def shapes(**samples: torch.Tensor) -> dict[str, float]:
        return evaluate_shapes(**samples, basis=data["basis"], mean=data["mean"], sigma=data["sigma"])

    def protocol(predicted: torch.Tensor, identity: torch.Tensor) -> dict[str, float]:
        ids = [str(row) for row in range(len(predicted))]
        truth = Truth(pd.DataFrame({"id": ids, "identity": identity.numpy().astype(str)}))
        predictions = Predictions(tuple(ids), parameters=predicted.numpy())
        return BENCHMARKS["clustering-parameters/v1"].evaluate(predictions, truth)

    metrics = SampleMetric(shapes, FIELDS), SampleMetric(protocol, ("predicted", "identity"))
    for batch in rows.split(17):
        for metric in metrics:
            metric.update(**{name: data[name][batch] for name in (*FIELDS, "index")})
    return metrics[0].compute() | metrics[1].compute()


if __name__ == "__main__":
    rank, data = int(sys.argv[1]), torch.load(sys.argv[3], weights_only=True)
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
    # As a distributed sampler does: interleave an odd number of samples, and repeat the first to even the shares.
    share = torch.cat([torch.arange(119), torch.zeros(1, dtype=torch.long)])[rank::2]
    print(json.dumps(measure(data, share)))
    dist.destroy_process_group()
