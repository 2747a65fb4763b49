"""The embedded benchmark, generated once and kept as memory-mapped photos. Ours.

Rendered heads become photos by a background, occluders, blur and sensor noise.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import Progress
from torch import Tensor

from recface.data.benchmark.lifelike import Look, draw_look, expose, paint_look, photograph_people
from recface.data.benchmark.paint import FaceRegions, face_regions, paint_person
from recface.data.benchmark.scene import draw_expressions, draw_scenes
from recface.data.benchmark.store import PHOTO_SPLITS, Benchmark, BenchmarkConfig
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel, fit_albedo_model
from recface.files.atomic import write_arrays
from recface.files.cache import cached
from recface.files.checkpoints import load_state, save_state
from recface.files.json_files import read_json
from recface.render import Renderer, euler_to_matrix
from recface.versions import BENCHMARK_VERSION

Watch = Callable[[int, int], None]

OCCLUDED_SHARE = 0.15
SMILING_SHARE = 0.3  # of lifelike people
ALBEDO_SAMPLES = 400
ALBEDO_GROUP = 10  # people who share one albedo in the control_albedo split
CHUNK = 64
GENERATION_THREADS = 2  # fixed, so that the photos do not depend on the machine
SCAN_MAX_EXPRESSION = 0.5  # scans are taken of calmer faces than photos


def get_benchmark(
    model: FaceModel, config: BenchmarkConfig, cache_dir: Path, watch: Watch = lambda done, total: None
) -> Benchmark:
    """The benchmark of a configuration, from the cache, which keeps it under a hash of all that determines it.

    The first call generates it from the face model, and so does one that finds it damaged; `watch` is called with the
    photos done and their number.
    """
    key = json.dumps([BENCHMARK_VERSION, model.checksum, asdict(config)], sort_keys=True)
    folder = cache_dir / "benchmark" / f"{model.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    return cached(folder, lambda: _open(folder, model, config), lambda: _make(folder, model, config, watch))


def _make(folder: Path, model: FaceModel, config: BenchmarkConfig, watch: Watch) -> None:
    unfinished, threads = folder.with_suffix(".part"), torch.get_num_threads()
    for path in (unfinished, folder):
        shutil.rmtree(path, ignore_errors=True)
    unfinished.mkdir()
    torch.set_num_threads(GENERATION_THREADS)
    try:
        _write(unfinished, model, config, watch)
        unfinished.rename(folder)
    finally:
        torch.set_num_threads(threads)
        shutil.rmtree(unfinished, ignore_errors=True)  # as after a full disk


def _open(folder: Path, model: FaceModel, config: BenchmarkConfig) -> Benchmark | None:
    """A benchmark on disk; None where it is missing, damaged, or another one."""
    try:
        meta = read_json(folder / "meta.json")
        if [meta.get("face_model"), meta.get("config")] != [model.checksum, asdict(config)]:
            return None
        albedo = AlbedoModel(**load_state(folder / "albedo_model.pt"))
        found = Benchmark(folder, str(meta["manifest_hash"]), albedo)
        for split in PHOTO_SPLITS:
            rows, size = int(np.prod(config.people_and_photos(split))), config.image_size
            if found.images(split).shape != (rows, 3, size, size):
                return None
            if any(len(values) != rows for values in found.labels(split).values()):
                return None
        found.labels("scan")
    except (RecfaceError, KeyError, TypeError, AttributeError):
        return None
    return found


def _write(folder: Path, model: FaceModel, config: BenchmarkConfig, watch: Watch) -> None:
    """Generate everything into a folder; meta.json comes last."""
    digest = hashlib.sha256()
    regions, renderer = face_regions(model), Renderer(model.triangles, 2 * config.image_size)
    total = int(sum(np.prod(config.people_and_photos(split)) for split in PHOTO_SPLITS))
    with Progress() as progress:
        task = progress.add_task("embedded benchmark: photos", total=total)

        def advance(photos: int) -> None:
            progress.advance(task, photos)
            watch(int(progress.tasks[0].completed), total)

        for split in PHOTO_SPLITS:
            images, labels = _photo_split(model, renderer, regions, config, split, advance)
            np.save(folder / f"{split}_images.npy", images)
            write_arrays(folder / f"{split}_labels.npz", labels)
            digest.update(images.tobytes() + b"".join(labels[key].tobytes() for key in sorted(labels)))
    scans = draw_scan_labels(model, config.scan_people, config.scans_each, _generator(config, "scan"))
    write_arrays(folder / "scan_labels.npz", scans)
    digest.update(b"".join(scans[key].tobytes() for key in sorted(scans)))
    generator = _generator(config, "albedo")  # of people outside all splits
    albedos = np.stack([_draw_person(regions, config, generator)[0].numpy() for _ in range(ALBEDO_SAMPLES)])
    save_state(fit_albedo_model(albedos, config.albedo_modes).state_dict(), folder / "albedo_model.pt")
    meta = {"version": BENCHMARK_VERSION, "face_model": model.checksum, "manifest_hash": digest.hexdigest()[:16]}
    (folder / "meta.json").write_text(json.dumps(meta | {"config": asdict(config)}, indent=2))


def _photo_split(
    model: FaceModel,
    renderer: Renderer,
    regions: FaceRegions,
    config: BenchmarkConfig,
    split: str,
    advance: Callable[[int], None],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw the people and scenes of one split, render them at twice the photos' size, and photograph them."""
    generator = _generator(config, split)
    people, photos_each = config.people_and_photos(split)
    person = np.repeat(np.arange(people), photos_each)
    lifelike = config.appearance == "lifelike"
    parameters = generator.normal(size=(people, model.num_identity))[person]
    scenes = draw_scenes(model, parameters, generator, SMILING_SHARE if lifelike else 0.0)
    albedo = albedo_of_photo(split, person)
    images, occluded = [], []
    painted: dict[int, tuple[Tensor, Look | None]] = {}
    for start in range(0, len(scenes), CHUNK):
        rows = slice(start, start + CHUNK)
        # Numbers ascend, so an albedo missing from this chunk is not needed again.
        painted = {
            number: painted[number] if number in painted else _draw_person(regions, config, generator)
            for number in np.unique(albedo[rows]).tolist()
        }
        scene = {key: torch.from_numpy(value[rows]).float() for key, value in vars(scenes).items()}
        with torch.no_grad():
            rendering = renderer(
                model.shape(scene["identity_parameters"], scene["expression"]),
                euler_to_matrix(scene["angles"]),
                scene["scale"],
                scene["translation"],
                torch.stack([painted[number][0] for number in albedo[rows].tolist()]),
                scene["light"],
            )
        dress = None
        if lifelike:
            looks = [look for _, look in (painted[number] for number in albedo[rows].tolist()) if look is not None]
            dress = partial(
                photograph_people,
                landmarks=scenes.landmarks[rows],
                yaw=scenes.angles[rows, 1],
                light=scenes.light[rows],
                looks=looks,
                generator=generator,
            )
        photos, hidden = compose_photos(rendering.image, rendering.mask, generator, dress)
        images.append(photos)
        occluded.append(hidden)
        advance(len(photos))
    labels = {key: value.astype(np.float32) for key, value in vars(scenes).items()}
    labels |= {"identity": person, "albedo": albedo, "occluded": np.concatenate(occluded)}
    return np.concatenate(images), labels


def _draw_person(
    regions: FaceRegions, config: BenchmarkConfig, generator: np.random.Generator
) -> tuple[Tensor, Look | None]:
    """The albedo (V, 3) of one more person, and a look where the appearance has one."""
    if config.appearance == "plain":
        return torch.from_numpy(paint_person(regions, generator)).float(), None
    look = draw_look(generator)
    return torch.from_numpy(paint_look(regions, look, generator)).float(), look


def albedo_of_photo(split: str, person: np.ndarray) -> np.ndarray:
    """Number of the painted albedo of each photo, (N,) ascending: the person's own except in the control sets.

    In `control_shape` every photo of a shape has another albedo; in `control_albedo` ten shapes share one.
    """
    if split == "control_shape":
        return np.arange(len(person))
    return person // ALBEDO_GROUP if split == "control_albedo" else person


def draw_scan_labels(
    model: FaceModel, people: int, scans_each: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Registered scans as parameters and a noise seed each: decoded on demand, they need no room on disk."""
    person = np.repeat(np.arange(people), scans_each)
    parameters = generator.normal(size=(people, model.num_identity))[person]
    expression = SCAN_MAX_EXPRESSION * draw_expressions(model.expression_names, len(person), generator)
    noise_seed = generator.integers(2**31, size=len(person))
    return {
        "identity": person,
        "identity_parameters": parameters.astype(np.float32),
        "expression": expression.astype(np.float32),
        "noise_seed": noise_seed,
    }


def _generator(config: BenchmarkConfig, name: str) -> np.random.Generator:
    """One independent stream a split, so that a larger split leaves the others as they are."""
    return np.random.default_rng([config.seed, *hashlib.sha256(name.encode()).digest()[:8]])


def compose_photos(
    head: Tensor, mask: Tensor, generator: np.random.Generator, dress: Callable[..., np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Put rendered heads (N, 3, 2 S, 2 S), zero outside their masks, before backgrounds and photograph them.

    `dress` turns heads, masks and backgrounds into photos of lifelike people; None leaves heads as they are.

    Returns:
        (N, 3, S, S) uint8 photos, and occluded (N,) bool.
    """
    count, size = len(head), head.shape[-1] // 2
    holes = enclosed_holes(mask)
    inside = torch.from_numpy(_uniform(generator, 0.08, 0.4, (count, 1, 1, 1))).to(head)
    head, mask = head + holes * inside, mask | holes
    backgrounds = draw_backgrounds(count, size, generator)
    if dress is not None:
        photo = dress(head=head, mask=mask, backgrounds=backgrounds)
    else:
        coverage = F.avg_pool2d(mask.float(), 2).numpy()
        color = F.avg_pool2d(head, 2).numpy()  # already weighted by coverage: zero outside
        photo = np.clip(color, 0, 1) + (1 - coverage) * backgrounds
    occluder, alpha, occluded = draw_occluders(count, size, generator)
    photo = photo + alpha * (occluder - photo)
    photo = photo * _uniform(generator, 0.85, 1.15, (count, 1, 1, 1)) + np.float32(0.03) * generator.standard_normal(
        (count, 1, 1, 1), np.float32
    )
    blurred = F.avg_pool2d(F.pad(torch.from_numpy(photo), (1, 1, 1, 1), mode="replicate"), 3, stride=1).numpy()
    photo = photo + _uniform(generator, 0, 0.8, (count, 1, 1, 1)) * (blurred - photo)
    if dress is not None:
        photo = expose(photo, generator)
    photo = photo + _uniform(generator, 0.003, 0.03, (count, 1, 1, 1)) * generator.standard_normal(
        photo.shape, np.float32
    )
    return (np.clip(photo, 0, 1) * 255 + 0.5).astype(np.uint8), occluded


def enclosed_holes(mask: Tensor) -> Tensor:
    """Background pixels with head on all four sides: openings of eyes and mouth in a model that has none inside."""
    holes = ~mask
    for dim in (-1, -2):
        before = mask.cumsum(dim, dtype=torch.int16)  # head pixels up to here; the last of a line counts them all
        holes &= (before > 0) & (before < before.narrow(dim, mask.shape[dim] - 1, 1))
    return holes


def draw_occluders(count: int, size: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw ellipses of one color that hide part of some faces.

    Returns:
        color (count, 3, 1, 1); alpha (count, 1, size, size), zero where nothing is hidden; occluded (count,) bool.
    """
    occluded = generator.random(count) < OCCLUDED_SHARE
    grid = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(grid, -grid)
    turn = _uniform(generator, 0, np.pi, (count, 1, 1))
    center = _uniform(generator, -0.6, 0.6, (count, 2, 1, 1))
    radius = _uniform(generator, 0.12, 0.45, (count, 2, 1, 1))
    u = ((x - center[:, 0]) * np.cos(turn) + (y - center[:, 1]) * np.sin(turn)) / radius[:, 0]
    v = ((y - center[:, 1]) * np.cos(turn) - (x - center[:, 0]) * np.sin(turn)) / radius[:, 1]
    alpha = ((u**2 + v**2 < 1) & occluded[:, None, None]).astype(np.float32)
    return _uniform(generator, 0, 0.8, (count, 3, 1, 1)), alpha[:, None], occluded


def draw_backgrounds(count: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """Draw (count, 3, size, size) backgrounds: a muted color with coarse and fine structure."""
    base = _uniform(generator, 0.1, 0.9, (count, 1, 1, 1)) + np.float32(0.12) * generator.standard_normal(
        (count, 3, 1, 1), np.float32
    )
    coarse = _noise_image(count, 3, size, generator) * _uniform(generator, 0, 0.25, (count, 1, 1, 1))
    fine = _noise_image(count, 12, size, generator) * _uniform(generator, 0, 0.12, (count, 1, 1, 1))
    photo = base + coarse + fine
    gray = photo.mean(1, keepdims=True)
    return np.clip(gray + 0.5 * (photo - gray), 0, 1)


def _uniform(generator: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform draws in single precision, which suffices for photos of 8 bits."""
    return generator.uniform(low, high, shape).astype(np.float32)


def _noise_image(count: int, cells: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """Smooth color noise (count, 3, size, size) with unit-order deviation."""
    coarse = torch.from_numpy(generator.standard_normal((count, 3, cells, cells), np.float32))
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True).numpy()
