"""One of two processes that measure a test set together: `python ddp_worker.py RANK STORE DATA`."""

import json
import sys

import torch
import torch.distributed as dist

from recface.metrics import GeometryVerification, PriorDistance, ShapeError, SIRMetric


def measure(data: dict[str, torch.Tensor], rows: torch.Tensor) -> dict[str, float]:
    """The metrics of these rows, and, under torch.distributed, of the other processes' rows."""
    shape_error, geometry, prior = ShapeError(), GeometryVerification(data["basis"]), PriorDistance()
    sir = SIRMetric(data["basis"])
    for batch in rows.split(17):
        predicted, true, identity, index = (data[name][batch] for name in ("predicted", "true", "identity", "index"))
        shapes = [torch.einsum("vck,nk->nvc", data["basis"], a) for a in (predicted, true)]
        shape_error.update(*shapes, index=index)
        geometry.update(predicted, identity, index=index)
        prior.update(predicted, index=index)
        sir.update(predicted, identity, true=true, index=index)
    values = {"shape_error_mm": float(shape_error.compute())}
    for metric in (geometry, prior, sir):
        values |= {key: float(value) for key, value in metric.compute().items()}
    return values


if __name__ == "__main__":
    rank, data = int(sys.argv[1]), torch.load(sys.argv[3], weights_only=True)
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
    # As a distributed sampler does: interleave an odd number of samples, and repeat the first to even the shares.
    share = torch.cat([torch.arange(119), torch.zeros(1, dtype=torch.long)])[rank::2]
    print(json.dumps(measure(data, share)))
    dist.destroy_process_group()
