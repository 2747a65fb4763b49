"""What the papers' scale costs: operations and memory of a step, measured here, and hours on GPUs, extrapolated.

    python benchmarks/bench_paper.py [--photos 4] [--repeats 3]

A step of SIR in stage 2 at scale=paper model=resnet50: 224 pixels, the people of VGGFace2's training set. Operations
and bytes are counted and hold anywhere; photos a second are timed on one thread of this machine. The extrapolation
divides operations by what a GPU does at a stated share of its peak. Its tables go to docs/paper_scale.md.
"""

from __future__ import annotations

import argparse
import time

import torch
from measured import ROOT, Line, fill, keep, number
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from recface.data.workbench import open_workbench
from recface.settings.compose import compose_config
from recface.variants import Reconstruction, variant_class

PAGE = ROOT / "docs" / "paper_scale.md"
PEOPLE = 8631  # of VGGFace2's training set
BATCH = 128  # of scale=paper
PEAKS = {"T4": 65, "A10": 125, "A100": 312, "H100": 989}
"""Tera operations a second of tensor cores, dense, in bfloat16 (T4: float16), by their makers' data sheets."""
SHARE = 0.2
"""Of the peak, that such training reaches; assumed, after what a ResNet-50 at 224 pixels is known to reach."""
SCALING = {1: 1.0, 8: 0.9, 64: 0.75}
"""Devices to the share of their sum that they reach together; assumed."""


def paper_variant() -> tuple[Reconstruction, dict]:
    """SIR at the papers' scale, and its configuration; its face model and albedo are the embedded head's."""
    config = compose_config("+experiment=sir", "scale=paper", "model=resnet50", "trainer.accelerator=cpu")
    bench = open_workbench(compose_config("+experiment=sir", "scale=smoke"))
    build = variant_class("sir")
    return build(config, bench.face_model, bench.benchmark.albedo_model, PEOPLE, stage=2), config


def batch_of(photos: int, size: int, modes: int) -> dict[str, Tensor]:
    """Random photos, named and with landmarks."""
    return {
        "image": torch.rand(photos, 3, size, size),
        "identity": torch.arange(photos),
        "landmarks": torch.rand(photos, 68, 2) - 0.5,
        "identity_parameters": torch.full((photos, modes), float("nan")),
        "source": torch.zeros(photos, dtype=torch.int64),
        "record": torch.arange(photos),
    }


def step(variant: Reconstruction, batch: dict[str, Tensor]) -> None:
    """Forward and backward pass of all terms, in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        terms = variant.terms(batch, variant.reconstruct(batch))
    sum(terms.values()).backward()


def saved_bytes(variant: Reconstruction, batch: dict[str, Tensor]) -> int:
    """Bytes that the backward pass keeps of a forward pass, each storage once, parameters left out."""
    own, kept = {parameter.untyped_storage().data_ptr() for parameter in variant.parameters()}, dict[int, int]()

    def keep_count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep_count, lambda tensor: tensor):
        step(variant, batch)
    return sum(kept.values())


def cost_tables(giga: float, photos: int) -> str:
    """Hours of the whole run by GPU and their number, as Markdown; `giga` operations a photo, `photos` of the run."""
    lines = ["| GPU, at a fifth of its peak | photos/s | 1 device | 8 devices | 64 devices |", f"|---|{'---:|' * 4}"]
    for name, peak in PEAKS.items():
        speed = SHARE * 1000 * peak / giga
        hours = [photos / (speed * devices * share) / 3600 for devices, share in SCALING.items()]
        times = [f"{time:.1f} h" if time >= 1 else f"{60 * time:.0f} min" for time in hours]
        lines.append(f"| {name} ({peak} Tflop/s) | {number(speed)} | {' | '.join(times)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=4, help="in the batch that is timed")
    parser.add_argument("--repeats", type=int, default=3, help="of which the best counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    variant, config = paper_variant()
    variant.train()
    scale, modes = config["scale"], variant.face_model.num_identity
    batch = batch_of(options.photos, scale["image_size"], modes)
    counter = FlopCounterMode(display=False)
    with counter:
        step(variant, batch)
    giga = counter.get_total_flops() / options.photos / 1e9
    few, many = (saved_bytes(variant, batch_of(n, scale["image_size"], modes)) for n in (2, 2 + options.photos))
    activation = (many - few) / options.photos / 1e6
    times = []
    for _ in range(options.repeats):
        begin = time.process_time()
        step(variant, batch)
        times.append(time.process_time() - begin)
    trained = sum(p.numel() * 4 for p in variant.parameters() if p.requires_grad) / 1e6
    fixed = sum(b.numel() * b.element_size() for b in variant.buffers()) / 1e6
    directions = PEOPLE * modes * 4 / 1e6
    photos = BATCH * (scale["stage1_steps"] + scale["stage2_steps"])
    memory = {
        "parameters, their gradients and two moments of the optimizer": 4 * trained,
        f"of these, directions of {PEOPLE:,} people": 4 * directions,
        "face model, albedo model and centers": fixed,
        "activations of a photo, bfloat16": activation,
        f"activations of {BATCH} photos": BATCH * activation,
    }
    table = "\n".join(["| part | MB |", "|---|---:|", *(f"| {name} | {number(mb)} |" for name, mb in memory.items())])
    here = options.photos / min(times)
    text = (
        f"A photo takes {giga:.1f} giga floating-point operations forward and backward, counted by PyTorch; one thread "
        f"here does {number(giga * here)} of them a second ({here:.2f} photos/s). The run is {photos / 1e6:.1f} "
        f"million photos ({scale['stage1_steps']:,} + {scale['stage2_steps']:,} steps of {BATCH})."
    )
    fill(PAGE, "cost", f"{text}\n\n{cost_tables(giga, photos)}\n\n{table}")
    keep(
        "paper",
        [
            Line("operations of a photo, forward and backward", giga, None, "giga flop"),
            Line("photos on one thread of this machine", here, None, "photos/s", rate=True),
            Line("activations of a photo", activation, None, "MB"),
        ],
    )


if __name__ == "__main__":
    main()
