"""Run folders made by formula, with the predictions, influences and metrics that a real run would write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from recface.tracking import RunFolder, RunRecord, archive, run_path

MODES = 6
PROTOCOLS = {"shape_error_mm": "shape/v1", "geometry_auc": "geometry-auc/v1", "param_auc": "param-auc/v1"}


def predictions(
    seed: int, noise: float, people: int = 20, photos: int = 5, modes: int = MODES, photographs: bool = False
) -> dict[str, np.ndarray]:
    """Predictions of people scattered by `noise` about the truth; people are the same for every seed."""
    truth = np.random.default_rng(99).normal(size=(people, modes)).astype(np.float32)
    hard = np.random.default_rng(98).normal(size=people)
    generator = np.random.default_rng(seed)
    identity = np.repeat(np.arange(people), photos) + 1000
    scattered = np.repeat(truth, photos, 0) + noise * generator.normal(size=(people * photos, modes))
    error = 2 + noise + 0.1 * generator.random(people * photos) + 0.05 * noise * np.repeat(hard, photos)
    arrays = {
        "test_parameters": scattered.astype(np.float32),
        "test_identity": identity,
        "test_shape_error": error.astype(np.float32),
        "test_nme": (0.03 + 0.01 * noise * generator.random(people * photos)).astype(np.float32),
    }
    if photographs:
        arrays["photos_identity"] = np.repeat(np.arange(people), 2)
        arrays["photos_parameters"] = scattered.reshape(people, photos, modes)[:, :2].reshape(-1, modes)
    return arrays | influences(arrays)


def weighted_metrics(arrays: dict[str, np.ndarray], weights: np.ndarray) -> dict[str, float]:
    """Metrics of weighted people (P,), by loops over pairs as the formulas say."""
    people, group = np.unique(arrays["test_identity"], return_inverse=True)
    of_photo = weights[group]
    points = arrays["test_parameters"].astype(float)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    first, second = np.triu_indices(len(points), 1)
    same = group[first] == group[second]
    pair = np.where(same, weights[group[first]], weights[group[first]] * weights[group[second]])
    near, near_weight = distance[first, second][same], pair[same]
    order = np.argsort(near)
    below = np.concatenate([[0], np.cumsum(near_weight[order])])
    won = below[np.searchsorted(near[order], distance[first, second][~same])]
    mean = of_photo @ points / of_photo.sum()
    variance = of_photo @ (points - mean) ** 2 / of_photo.sum()
    return {
        "benchmark/shape_error_mm": float(of_photo @ arrays["test_shape_error"].astype(float) / of_photo.sum()),
        "benchmark/nme": float(100 * of_photo @ arrays["test_nme"].astype(float) / of_photo.sum()),
        "benchmark/geometry_auc": float(won @ pair[~same] / (pair[~same].sum() * near_weight.sum())),
        "benchmark/prior_kl": float(0.5 * np.mean(variance + mean**2 - 1 - np.log(variance))),
    }


def influences(arrays: dict[str, np.ndarray], step: float = 1e-4) -> dict[str, np.ndarray]:
    """Influences of people on the metrics, by central differences."""
    people = np.unique(arrays["test_identity"])
    ones, nudges = np.ones(len(people)), step * np.eye(len(people))
    sides = [[weighted_metrics(arrays, ones + sign * nudge) for nudge in nudges] for sign in (1, -1)]
    names = list(sides[0][0])
    slopes = [[(up[name] - down[name]) / (2 * step) for up, down in zip(*sides, strict=True)] for name in names]
    return influence_arrays("test", names, len(people) * np.array(slopes), people)


def influence_arrays(
    population: str, names: list[str], values: np.ndarray, people: np.ndarray
) -> dict[str, np.ndarray]:
    """Arrays as predictions.npz holds them."""
    return {
        f"influence_{population}": values.astype(np.float32),
        f"influence_{population}_metrics": np.array(names),
        f"influence_{population}_people": people.astype(np.int64),
    }


def metrics_of(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Metrics as a record holds them; `geometry_acc` has no influence, as it is chosen by folds."""
    people = np.unique(arrays["test_identity"])
    found = weighted_metrics(arrays, np.ones(len(people)))
    metrics = {name.removeprefix("benchmark/"): value for name, value in found.items()}
    accuracy = 0.9 + 0.01 * float(arrays["test_parameters"][0, 0])
    return metrics | {"geometry_acc": accuracy, "mean_face_error_mm": 5.0}


def make_run(
    runs: Path,
    experiment: str,
    seed: int,
    noise: float,
    *,
    face_model: str = "makehuman",
    digest: str = "",
    results: Path | None = None,
    change: Callable[[dict[str, np.ndarray]], object] = lambda arrays: None,
    **record,
) -> Path:
    """Write one finished run folder, archived too if `results` is given.

    Args:
        runs: Folder of runs.
        experiment: Name.
        seed: Of the run.
        noise: See `predictions`.
        face_model: "ict" adds photographs.
        digest: Hash of the configuration.
        results: Folder of results.
        change: Edits the predictions before they are written.
        **record: Further fields of the record.
    """
    photographs = face_model == "ict"
    arrays = predictions(seed, noise, photographs=photographs)
    metrics = {"benchmark": metrics_of(arrays)}
    if photographs:
        metrics["photos"] = {"geometry_auc": 0.9 + 0.01 * seed, "param_auc": 0.95}
    config = {
        "experiment": experiment,
        "seed": seed,
        "face_model": {"name": face_model},
        "scale": {"name": "converged", "stage2_steps": 1500},
        "loss": {"kl": 0.0 if experiment == "no_kl" else 0.5, "noise": noise},
    }
    digest = digest or f"{experiment[:4]}-{face_model[:3]}"
    folder = RunFolder.open(run_path(runs, experiment, digest, seed))
    fields = {"versions": {"benchmark": 1, "variant": 1}, "git": {"commit": "a" * 40, "dirty": False}} | record
    folder.start(RunRecord(experiment, digest, seed, config=config, **fields))
    change(arrays)
    np.savez(folder.path / "predictions.npz", **arrays)
    folder.finish(metrics, PROTOCOLS)
    if results is not None:
        archive(folder.path, results / "records")
    return folder.path


def make_all(runs: Path, results: Path | None = None, seeds: int = 3) -> None:
    """Rows of the ablation, on both face models."""
    noises = {"baseline": 1.2, "sir": 0.6, "no_kl": 0.7, "no_center": 0.8}
    for face_model in ("makehuman", "ict"):
        for experiment, noise in noises.items():
            for seed in range(seeds):
                make_run(runs, experiment, seed, noise, face_model=face_model, results=results)
