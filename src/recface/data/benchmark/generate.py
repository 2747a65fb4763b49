"""Generate the embedded benchmark once and keep it as memory-mapped photos. Ours."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from rich.progress import Progress

from recface.data.benchmark.compose import compose_photos
from recface.data.benchmark.paint import FaceRegions, face_regions, paint_person
from recface.data.benchmark.scene import Scenes, draw_expressions, draw_scenes
from recface.data.benchmark.store import PHOTO_SPLITS, Benchmark, BenchmarkConfig
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel, fit_albedo_model
from recface.render import Renderer, euler_to_matrix
from recface.versions import BENCHMARK_VERSION

ALBEDO_SAMPLES = 400
ALBEDO_GROUP = 10  # people who share one albedo in the control_albedo split
CHUNK = 64
GENERATION_THREADS = 2  # a fixed number, so that the photos do not depend on who generates them
SCAN_MAX_EXPRESSION = 0.5  # scans are taken of calmer faces than photos


def _generator(config: BenchmarkConfig, name: str) -> np.random.Generator:
    """One independent stream a split, so that a larger split leaves the others as they are."""
    return np.random.default_rng([config.seed, *hashlib.sha256(name.encode()).digest()[:8]])


def albedo_of_photo(split: str, person: np.ndarray) -> np.ndarray:
    """Which painted albedo each photo wears, (N,) ascending: the person's own, or as the control sets ask.

    In `control_shape` every photo of a shape has another albedo; in `control_albedo` ten shapes share one.
    """
    if split == "control_shape":
        return np.arange(len(person))
    return person // ALBEDO_GROUP if split == "control_albedo" else person


def render_photos(
    model: FaceModel,
    renderer: Renderer,
    regions: FaceRegions,
    scenes: Scenes,
    albedo: np.ndarray,
    generator: np.random.Generator,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Render scenes and photograph them.

    Args:
        model: Face model of the scenes' shape parameters.
        renderer: Renderer at twice the photos' size S.
        regions: Parts of the face, to paint albedos.
        scenes: N scenes.
        albedo: (N,) ascending number of the albedo that each photo wears.
        generator: Source of all randomness.
        progress: Advanced by the number of photos made.

    Returns:
        (N, 3, S, S) uint8 photos; occluded (N,) bool.
    """
    images, occluded, painted = [], [], {}
    for start in range(0, len(scenes), CHUNK):
        rows = slice(start, start + CHUNK)
        # Numbers ascend, so an albedo that this chunk does not wear is not needed again.
        painted = {
            number: painted[number] if number in painted else torch.from_numpy(paint_person(regions, generator)).float()
            for number in np.unique(albedo[rows]).tolist()
        }
        scene = {key: torch.from_numpy(value[rows]).float() for key, value in vars(scenes).items()}
        with torch.no_grad():
            rendering = renderer(
                model.shape(scene["identity_parameters"], scene["expression"]),
                euler_to_matrix(scene["angles"]),
                scene["scale"],
                scene["translation"],
                torch.stack([painted[number] for number in albedo[rows].tolist()]),
                scene["light"],
            )
        photos, hidden = compose_photos(rendering.image, rendering.mask, generator)
        images.append(photos)
        occluded.append(hidden)
        if progress is not None:
            progress.advance(progress.task_ids[0], len(photos))
    return np.concatenate(images), np.concatenate(occluded)


def _photo_split(
    model: FaceModel, renderer: Renderer, regions: FaceRegions, config: BenchmarkConfig, split: str, progress: Progress
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draw the people and scenes of one split and photograph them."""
    generator = _generator(config, split)
    people, photos = config.people_and_photos(split)
    person = np.repeat(np.arange(people), photos)
    scenes = draw_scenes(model, generator.normal(size=(people, model.num_identity))[person], generator)
    albedo = albedo_of_photo(split, person)
    images, occluded = render_photos(model, renderer, regions, scenes, albedo, generator, progress)
    labels = {key: value.astype(np.float32) for key, value in vars(scenes).items()}
    return images, labels | {"identity": person, "albedo": albedo, "occluded": occluded}


def _scan_split(model: FaceModel, config: BenchmarkConfig) -> dict[str, np.ndarray]:
    """Registered scans as parameters and a noise seed each: decoded on demand, they need no room on disk."""
    generator = _generator(config, "scan")
    person = np.repeat(np.arange(config.scan_people), config.scans_each)
    parameters = generator.normal(size=(config.scan_people, model.num_identity))[person]
    expression = SCAN_MAX_EXPRESSION * draw_expressions(model.expression_names, len(person), generator)
    noise_seed = generator.integers(2**31, size=len(person))
    return {
        "identity": person,
        "identity_parameters": parameters.astype(np.float32),
        "expression": expression.astype(np.float32),
        "noise_seed": noise_seed,
    }


def sample_albedo_model(model: FaceModel, config: BenchmarkConfig) -> AlbedoModel:
    """Fit the linear albedo model to procedural albedos of people who are in no split."""
    generator, regions = _generator(config, "albedo"), face_regions(model)
    samples = np.stack([paint_person(regions, generator).astype(np.float32) for _ in range(ALBEDO_SAMPLES)])
    return fit_albedo_model(samples, config.albedo_modes)


def _write(folder: Path, model: FaceModel, config: BenchmarkConfig) -> None:
    """Generate everything into a folder; meta.json comes last."""
    digest = hashlib.sha256()
    regions, renderer = face_regions(model), Renderer(model.triangles, 2 * config.image_size)
    total = sum(np.prod(config.people_and_photos(split)) for split in PHOTO_SPLITS)
    with Progress() as progress:
        progress.add_task("embedded benchmark: photos", total=int(total))
        for split in PHOTO_SPLITS:
            images, labels = _photo_split(model, renderer, regions, config, split, progress)
            np.save(folder / f"{split}_images.npy", images)
            np.savez(folder / f"{split}_labels.npz", **labels)
            digest.update(images.tobytes() + b"".join(labels[key].tobytes() for key in sorted(labels)))
    scans = _scan_split(model, config)
    np.savez(folder / "scan_labels.npz", **scans)
    digest.update(b"".join(scans[key].tobytes() for key in sorted(scans)))
    torch.save(sample_albedo_model(model, config).state_dict(), folder / "albedo_model.pt")
    meta = {"version": BENCHMARK_VERSION, "face_model": model.checksum, "manifest_hash": digest.hexdigest()[:16]}
    (folder / "meta.json").write_text(json.dumps(meta | {"config": asdict(config)}, indent=2))


def get_benchmark(model: FaceModel, config: BenchmarkConfig, cache_dir: Path) -> Benchmark:
    """Return the benchmark of a configuration, generating it at the first call.

    Args:
        model: Face model that the faces are drawn from.
        config: Sizes and seed.
        cache_dir: Folder that keeps generated benchmarks, each under a hash of all that determines it.

    Returns:
        The benchmark on disk.
    """
    key = json.dumps([BENCHMARK_VERSION, model.checksum, asdict(config)], sort_keys=True)
    folder = cache_dir / "benchmark" / f"{model.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "meta.json").exists():
            unfinished = folder.with_suffix(".part")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.mkdir()
            threads = torch.get_num_threads()
            torch.set_num_threads(GENERATION_THREADS)
            _write(unfinished, model, config)
            torch.set_num_threads(threads)
            unfinished.rename(folder)
    meta = json.loads((folder / "meta.json").read_text())
    state = torch.load(folder / "albedo_model.pt", weights_only=True)
    return Benchmark(folder, meta["manifest_hash"], AlbedoModel(**state))
