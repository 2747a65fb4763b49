"""A network's evaluation on two devices and on one: `python two_devices.py FOLDER CACHE`, run twice by Lightning."""

import json
import logging
import os
import sys
from pathlib import Path

import torch

from recface.data.sources import embedded_source
from recface.data.workbench import open_workbench
from recface.run.evaluation import Network
from recface.settings.compose import compose_config
from recface.variants import build_variant


def predictions() -> dict[str, list[float]]:
    """Largest difference of what both give, field by field, of 21 photos: shares of 11, one photo twice."""
    bench = open_workbench(compose_config("+experiment=sir", "scale=smoke", f"paths.cache={sys.argv[2]}"))
    variant = build_variant(bench, stage=2)
    torch.nn.init.normal_(variant.encoders.shape.head.weight, std=0.1)
    whole = embedded_source(bench.benchmark, "validation")
    source = type(whole)("part", whole.images[:21], whole.identity[:21])
    alone, both = (Network(variant, {"accelerator": "cpu", "devices": devices})(source) for devices in (1, 2))
    assert all(len(value) == 21 for value in both.values())
    return {key: float((alone[key] - both[key]).abs().max()) for key in alone} | {
        "spread": float(alone["identity"].std())
    }


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    (Path(sys.argv[1]) / f"{os.environ.get('LOCAL_RANK', 'alone')}.json").write_text(json.dumps(predictions()))
