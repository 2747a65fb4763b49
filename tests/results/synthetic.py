"""Run folders made by formula, with the predictions and metrics that a real run would write."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recface.results.pairs import verification_pairs
from recface.tracking import RunFolder, RunRecord, archive, run_path

MODES = 6
PROTOCOLS = {"shape_error_mm": "shape/v1", "geometry_auc": "geometry-auc/v1", "param_auc": "param-auc/v1"}


def predictions(
    seed: int, noise: float, people: int = 20, photos: int = 5, modes: int = MODES, photographs: bool = False
) -> dict[str, np.ndarray]:
    """Predictions of people scattered by `noise` about the truth; people are the same for every seed."""
    truth = np.random.default_rng(99).normal(size=(people, modes)).astype(np.float32)
    generator = np.random.default_rng(seed)
    identity = np.repeat(np.arange(people), photos) + 1000
    scattered = np.repeat(truth, photos, 0) + noise * generator.normal(size=(people * photos, modes))
    sigma = np.linspace(3, 0.5, modes).astype(np.float32)
    mixing = np.random.default_rng(5).normal(size=(3 * modes, modes)) * sigma
    arrays = {
        "test_parameters": scattered.astype(np.float32),
        "test_identity": identity,
        "test_true": truth[::-1].copy(),  # an order of its own: readers must go by test_people
        "test_people": np.arange(people)[::-1] + 1000,
        "test_shape_error": (2 + noise + 0.1 * generator.random(people * photos)).astype(np.float32),
        "test_nme": (0.03 + 0.01 * noise * generator.random(people * photos)).astype(np.float32),
        "control_shape_parameters": generator.normal(size=(40, modes)).astype(np.float32),
        "control_shape_identity": np.repeat(np.arange(20), 2),
        "control_albedo_parameters": generator.normal(size=(40, modes)).astype(np.float32),
        "control_albedo_identity": np.repeat(np.arange(20), 2),
        "control_albedo_group": np.repeat(np.arange(10), 4),
        "basis_gram": (mixing.T @ mixing / modes).astype(np.float32),
        "identity_sigma": sigma,
    }
    if photographs:
        arrays["photos_identity"] = np.repeat(np.arange(people), 2)
        arrays["photos_expression"] = np.tile([0, 1], people)
        arrays["photos_parameters"] = scattered.reshape(people, photos, modes)[:, :2].reshape(-1, modes)
    return arrays


def rank_auc(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """Probability that an impostor pair is farther apart than a genuine one, by counting."""
    above = (impostor[None] > genuine[:, None]).mean()
    return float(above + 0.5 * (impostor[None] == genuine[:, None]).mean())


def metrics_of(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """A few metrics, computed anew."""
    points = arrays["test_parameters"].astype(float)
    pairs = verification_pairs(arrays["test_identity"])

    def distance(chosen: np.ndarray) -> np.ndarray:
        difference = points[chosen[:, 0]] - points[chosen[:, 1]]
        return np.sqrt(np.einsum("nk,kl,nl->n", difference, arrays["basis_gram"].astype(float), difference))

    mean, variance = points.mean(0), points.var(0)
    return {
        "shape_error_mm": float(arrays["test_shape_error"].mean()),
        "nme": float(100 * arrays["test_nme"].mean()),  # another unit than the photos' values, on purpose
        "geometry_auc": rank_auc(distance(pairs.genuine), distance(pairs.impostor)),
        "prior_kl": float(0.5 * np.mean(variance + mean**2 - 1 - np.log(variance))),
        "geometry_acc": 0.9 + 0.01 * float(points[0, 0]),
        "mean_face_error_mm": 5.0,
    }


def make_run(
    runs: Path,
    experiment: str,
    seed: int,
    noise: float,
    *,
    face_model: str = "makehuman",
    digest: str = "",
    results: Path | None = None,
    **record,
) -> Path:
    """Write one finished run folder, archived too if `results` is given."""
    photographs = face_model == "ict"
    arrays = predictions(seed, noise, photographs=photographs)
    metrics = {"benchmark": metrics_of(arrays)}
    if photographs:
        metrics["photos"] = {"geometry_auc": 0.9 + 0.01 * seed, "param_auc": 0.95}
    config = {
        "experiment": experiment,
        "seed": seed,
        "face_model": {"name": face_model},
        "scale": {"name": "small"},
        "loss": {"kl": 0.0 if experiment == "no_kl" else 0.5, "noise": noise},
    }
    digest = digest or f"{experiment[:4]}-{face_model[:3]}"
    folder = RunFolder.open(run_path(runs, experiment, digest, seed))
    fields = {"versions": {"benchmark": 1, "variant": 1}, "git": {"commit": "a" * 40, "dirty": False}} | record
    folder.start(RunRecord(experiment, digest, seed, config=config, **fields))
    folder.finish(metrics, PROTOCOLS)
    np.savez(folder.path / "predictions.npz", **arrays)
    if results is not None:
        archive(folder.path, results / "records")
    return folder.path


def make_all(runs: Path, results: Path | None = None, seeds: int = 3) -> None:
    """Every row of the ablation, on both face models."""
    noises = {"baseline": 1.2, "sir": 0.6, "no_kl": 0.7, "no_center": 0.8}
    for face_model in ("makehuman", "ict"):
        for experiment, noise in noises.items():
            for seed in range(seeds):
                make_run(runs, experiment, seed, noise, face_model=face_model, results=results)
