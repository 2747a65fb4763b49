"""The table sfm_model: generalisation, compactness, specificity and clusters of shape models on unseen people.

Its rows are SFM, its Gaussian variant and classical baselines.

Source: Davies, *Learning shape: optimal models for analysing natural variability*, PhD thesis, Manchester 2002, and
Styner et al., "Evaluation of 3D correspondence methods for model building", IPMI 2003. Distances in mm per vertex are
ours, as is the fit by least squares of modes that are not orthogonal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from recface.data.benchmark import Benchmark
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.metrics.functional.distribution import clustering
from recface.scan_stage import shape_models
from recface.scan_stage.decoder import scan_counts
from recface.scan_stage.principal import SPARE, principal_scores
from recface.scan_stage.scans import DecodedScans, MappedScans, ScanSet, check_scans, draw_scans, split_people
from recface.scan_stage.shape_models import ShapeModel
from recface.scan_stage.stage import open_scans, scan_hash, scan_model
from recface.settings import Config
from recface.tracking import RunFolder, config_hash, new_record, run_path
from recface.versions import SCAN_VERSION, SHAPE_MODEL_VERSION

EXPERIMENT = "sfm_model"
VERSIONS = {"scan": SCAN_VERSION, "shape_model": SHAPE_MODEL_VERSION}
KEEP_BYTES = 1_000_000_000  # of training scans that are kept in memory
Array = np.ndarray


def nested_axes(basis: Array) -> Array:
    """Orthonormal columns (D, M) whose first m span what the first m columns of a basis (D, M) span.

    Raises:
        RecfaceError: The columns are linearly dependent or not finite.
    """
    if not np.isfinite(basis).all():
        raise RecfaceError("the basis is not finite; did training diverge?")
    axes, triangle = np.linalg.qr(np.asarray(basis, np.float64))
    size = np.abs(np.diag(triangle))
    if len(size) == 0 or size.min() <= 1e-9 * size.max():
        raise RecfaceError(f"the {basis.shape[1]} modes are linearly dependent; fit fewer modes")
    return axes


def vertex_distance(first: Array, second: Array) -> Array:
    """Mean distance of corresponding vertices, mm: (...,) from two broadcastable (..., 3V)."""
    difference = np.asarray(first, np.float64) - second
    return np.linalg.norm(difference.reshape(*difference.shape[:-1], -1, 3), axis=-1).mean(axis=-1)


def generalisation(offsets: Array, axes: Array, sizes: Sequence[int], truth: Array | None = None) -> dict[int, float]:
    """Mean per-vertex error in mm of unseen shapes fitted with a model's first modes, by number of modes.

    Args:
        offsets: (N, D) unseen shapes without the model's mean, mm.
        axes: (D, M) of `nested_axes`; the fit is by least squares over all coordinates, without a prior.
        sizes: Numbers of modes; RecfaceError where one is above M.
        truth: (N, D) shapes that the error is measured against; by default the fitted shapes.
    """
    if max(sizes) > axes.shape[1]:
        raise RecfaceError(f"generalisation with {max(sizes)} modes: the model has {axes.shape[1]}; ask for fewer")
    truth = offsets if truth is None else truth
    coordinates = offsets @ axes
    return {m: float(vertex_distance(coordinates[:, :m] @ axes[:, :m].T, truth).mean()) for m in sizes}


def compactness(offsets: Iterable[Array], axes: Array, sizes: Sequence[int]) -> tuple[dict[int, float], float]:
    """Share of the variance of training shapes, given in blocks (B, D) in mm, in the span of a model's first modes.

    Returns:
        Size to share in 0..1, for PCA the usual cumulative sum of eigenvalues over their total; and the variance of a
        coordinate that all modes leave, mm^2.
    """
    kept, total, count = np.zeros(axes.shape[1]), 0.0, 0
    for block in offsets:
        kept += np.square(block @ axes).sum(axis=0)
        total += float(np.square(block, dtype=np.float64).sum())
        count += len(block)
    shares = np.cumsum(kept) / total
    left = total * (1 - shares[-1]) / (count * len(axes))
    return {m: float(shares[m - 1]) for m in sizes}, float(left)


def specificity(samples: Array, scans: Iterable[Array]) -> float:
    """Mean per-vertex distance in mm of random shapes (S, D) to the nearest of the true scans, given in blocks (B, D).

    The nearest is by root mean square distance, which is one matrix product; the result is the mean distance to it,
    small where random shapes look real.
    """
    nearest, best = np.empty_like(samples), np.full(len(samples), np.inf)
    energy = np.square(samples, dtype=np.float64).sum(axis=1)
    for block in scans:
        squared = energy[:, None] - 2.0 * (samples @ block.T) + np.square(block, dtype=np.float64).sum(axis=1)
        closest = squared.argmin(axis=1)
        distance = squared[np.arange(len(samples)), closest]
        closer = distance < best
        nearest[closer], best[closer] = block[closest[closer]], distance[closer]
    return float(vertex_distance(samples, nearest).mean())


@dataclass(frozen=True)
class ScanSplits:
    """Scans of disjoint people: training; validation, to choose the encoder's strength, and test (N, 3V) in mm.

    `truth` is the test scans without the scanner's noise, where known.
    """

    train: ScanSet
    validation: Array
    validation_identity: Array
    test: Array
    test_identity: Array
    truth: Array | None


def open_splits(config: Config, face_model: FaceModel, benchmark: Benchmark | None) -> ScanSplits:
    """Training scans of a configuration, and those of people outside training; the seed decides who."""
    settings, seed = config["sfm"]["scan"], config["seed"]
    people = config["sfm_model"]["validation_people"], config["sfm_model"]["test_people"]
    train = open_scans(config, face_model, benchmark)
    if settings["source"] == "model":
        own = settings["scans_each"], settings["noise_mm"], seed
        validation: ScanSet = draw_scans(face_model, people[0], *own, "validation")
        test: ScanSet = draw_scans(face_model, people[1], *own, "test")
    else:
        train, validation, test = split_people(train, people, seed)
    truth = test.clean(slice(None)).reshape(len(test), -1) if isinstance(test, DecodedScans) else None
    if 12 * len(train) * train.num_vertices <= KEEP_BYTES:
        train = MappedScans(train[:], train.identity)  # each row of the table reads all of them
    return ScanSplits(train, _flat(validation), validation.identity, _flat(test), test.identity, truth)


def _flat(scans: ScanSet) -> Array:
    return scans[:].reshape(len(scans), -1)


def evaluate_scan_models(config: Config, face_model: FaceModel, benchmark: Benchmark | None = None) -> RunFolder:
    """Train and measure every row of the table sfm_model for one seed; finished work is skipped.

    The configuration's groups `sfm` and `sfm_model` name the scans, the models and the measurements.

    Returns:
        The finished run's folder, `runs/sfm_model/<hash>/seed=<n>`.
    """
    manifest = None if benchmark is None else benchmark.manifest_hash
    own = {
        "scan": scan_hash(config, face_model, manifest),
        "sfm_model": config["sfm_model"],
        "version": SHAPE_MODEL_VERSION,
    }
    digest = config_hash(own)
    folder = RunFolder.open(run_path(config["paths"]["runs"], EXPERIMENT, digest, config["seed"]))
    with folder.lock():
        if folder.finished_with(VERSIONS):
            return folder
        kept = {key: config[key] for key in ("seed", "face_model", "sfm_model")}
        kept["sfm"] = {"scan": config["sfm"]["scan"] | {"path": None}}  # records name no path
        kept["face_model"] = {"name": face_model.name, "path": None}
        record = new_record(EXPERIMENT, digest, config["seed"], kept, versions=VERSIONS, data_manifest=manifest)
        with folder.running(record):
            begin, metrics = time.monotonic(), {}
            splits = open_splits(config, face_model, benchmark)
            rows = build_rows(config, face_model, splits.train, folder, manifest)
            for step, (name, build) in enumerate(rows.items()):
                folder.progress(step, len(rows), phase=name)
                metrics[name] = measure_model(build(), splits, config["sfm_model"], config["seed"])
            folder.progress(len(rows), len(rows), phase="finished")
            folder.finish(metrics, timings={"sfm_model_seconds": time.monotonic() - begin})
    return folder


def build_rows(
    config: Config, face_model: FaceModel, scans: ScanSet, folder: RunFolder, manifest: str | None = None
) -> dict[str, Callable[[], ShapeModel]]:
    """Row of the table to the function that makes its model; all have the same total number of modes."""
    modes, units, blend = scan_counts(config["sfm"]["scan"], face_model)
    check_scans(scans, modes, 0 if blend is not None else units)
    person, total = scans.identity, modes + units
    principal = principal_scores(scans, total + SPARE, config["seed"])

    def learned(sphere: bool) -> ShapeModel:
        settings = dict(config["sfm"]["scan"], sphere=sphere)
        own = {**config, "sfm": {**config["sfm"], "scan": settings}}
        people = config["sfm_model"]["validation_people"], config["sfm_model"]["test_people"]
        part = None if settings["source"] == "model" else f"without {people[0]} + {people[1]} people"
        model = scan_model(own, face_model, scans, folder, manifest, principal, part)
        return shape_models.learned_model(model.face_model, model.expression)

    return {
        "pca": lambda: shape_models.pca(principal, total),
        "pca_mm": lambda: shape_models.pca_mm(principal, total),
        "factor_analysis": lambda: shape_models.factor_analysis(scans, total, config["seed"]),
        "pca_whitened": lambda: shape_models.pca_whitened(principal, total, person),
        "pca_lda": lambda: shape_models.pca_lda(principal, total, person, modes),
        "two_part_pca": lambda: shape_models.two_part_pca(principal, person, modes, units, blend),
        "sfm_no_sphere": lambda: learned(False),
        "sfm": lambda: learned(True),
    }


def measure_model(model: ShapeModel, splits: ScanSplits, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """All numbers of a row; those for a number of modes are named `<metric>@<modes>`."""
    axes = nested_axes(model.ordered_basis())
    sizes = sorted({size for size in settings["sizes"] if size < axes.shape[1]} | {axes.shape[1]})
    blocks = (block - model.mean for _, block in splits.train.blocks())
    shares, left = compactness(blocks, axes, sizes)
    model = replace(model, noise=left)
    offsets = splits.test - model.mean
    curves = {"generalisation_mm": generalisation(offsets, axes, sizes), "compactness": shares}
    if splits.truth is not None:
        curves["truth_mm"] = generalisation(offsets, axes, sizes, splits.truth - model.mean)
    values = {f"{name}@{size}": value for name, curve in curves.items() for size, value in curve.items()}
    samples = model.sample(settings["samples"], np.random.default_rng(seed))
    values["specificity_mm"] = specificity(samples, (block for _, block in splits.train.blocks()))

    def clusters(shapes: Array, identity: Array, strength: float) -> dict[str, float]:
        found = clustering(torch.from_numpy(model.encode(shapes, strength)), torch.from_numpy(identity))
        return {name: float(value) for name, value in found.items()}

    def nmcd(strength: float) -> float:
        return clusters(splits.validation, splits.validation_identity, strength)["nmcd"]

    strength = min(sorted(settings["strengths"]), key=nmcd)  # chosen on validation people; the smallest on ties
    return values | clusters(splits.test, splits.test_identity, strength) | {"strength": strength}
