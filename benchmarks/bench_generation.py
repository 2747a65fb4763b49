"""Speed of generating the embedded benchmark against a loop over its photos with PyTorch3D on the CPU.

    python benchmarks/bench_generation.py [--photos 8] [--landmark-photos 8000]

Ours is the whole benchmark of scale small: people, scenes, rendering, photographs, labels, files and the albedo model.
The loop makes photos of the same kind one by one, rasterized by PyTorch3D, half of them before and half after ours; its
painting, shading and composition are ours, so only the rasterizer and the batching differ. Both use two threads, as
generation always does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from measured import Line, keep

from recface.data.benchmark import generate
from recface.data.benchmark.paint import face_regions
from recface.data.benchmark.store import PHOTO_SPLITS, BenchmarkConfig
from recface.face_model import FaceModel, get
from recface.render import Renderer
from recface.settings.compose import compose_config


def loop_seconds(model: FaceModel, config: BenchmarkConfig, photos: int) -> float:
    """Seconds a photo of a loop over the first photos of the landmark split."""
    renderer = Renderer(model.triangles, 2 * config.image_size, "pytorch3d")
    few = replace(config, landmark_photos=photos)
    regions = face_regions(model)
    begin = time.perf_counter()
    with patch.object(generate, "CHUNK", 1):
        generate._photo_split(model, renderer, regions, few, "landmark", lambda done: None)
    return (time.perf_counter() - begin) / photos


def ours_seconds(model: FaceModel, config: BenchmarkConfig) -> float:
    """Seconds a photo of generating a whole benchmark."""
    photos = sum(int(np.prod(config.people_and_photos(split))) for split in PHOTO_SPLITS)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        generate.get_benchmark(model, config, Path(folder))
        return (time.perf_counter() - begin) / photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=8, help="of each of the loop's two halves")
    parser.add_argument("--landmark-photos", type=int, default=None, help="fewer for a trial; default: those of small")
    options = parser.parse_args()
    torch.set_num_threads(generate.GENERATION_THREADS)
    settings = compose_config()
    model = get(settings["face_model"]["name"], settings["face_model"]["path"], Path(settings["paths"]["cache"]))
    sizes = {key: value for key, value in settings["scale"].items() if key in BenchmarkConfig.__dataclass_fields__}
    config = BenchmarkConfig(seed=0, albedo_modes=settings["data"]["albedo_modes"], **sizes)
    if options.landmark_photos is not None:
        config = replace(config, landmark_photos=options.landmark_photos)
    loop_seconds(model, config, 1)  # PyTorch3D's first call loads it
    before = loop_seconds(model, config, options.photos)
    ours = ours_seconds(model, config)
    other = min(before, loop_seconds(model, config, options.photos))
    what = f"photos of {config.image_size} pixels, the whole benchmark of {settings['scale']['name']}"
    against = "against a loop with PyTorch3D on CPU"
    lines = [
        Line(f"{what}, {against}", 1000 * ours, 1000 * other, "ms a photo", "ratio >= 100"),
        Line(f"{what}, speed {against}", 1 / ours, 1 / other, "photos/s", "ours >= 1000", rate=True),
    ]
    for line in lines:
        print(f"{line.name}: {line.ours:.3g} and {line.other:.3g} {line.unit}, ratio {line.ratio:.0f}")
    keep("generation", lines)


if __name__ == "__main__":
    main()
