"""SFM's stage 1: a shape model learned from scans, trained once under its own hash and shared. See docs/sfm.md."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recface.data.benchmark import Benchmark
from recface.data.workbench import Workbench, open_workbench
from recface.errors import RecfaceError
from recface.face_model import FaceModel, get, load
from recface.face_model.npz import LEARNED_FILE
from recface.files.arrays import read_arrays
from recface.files.digests import table_digest
from recface.scan_stage.decoder import LATENTS_FILE, train_scan_model
from recface.scan_stage.principal import Principal
from recface.scan_stage.scans import CSV, ScanSet, benchmark_scans, draw_scans, folder_scans, scan_table
from recface.settings import Config
from recface.tracking import RunFolder, config_hash, new_record, run_path
from recface.versions import SCAN_VERSION


@dataclass(frozen=True)
class ScanModel:
    """A shape model, named "sfm", with the scans that it was learned from.

    Attributes:
        face_model: The model in the suite's schema.
        identity: (N,) int64 person of each scan.
        latents: (N, K) float32 identity parameters of each scan in the face model's convention.
        expression: (N, E) float32 coefficients of each scan.
        scans: The scans; `scans[row]` is (V, 3) in mm, read or decoded when asked for.
        path: Folder that holds sfm.npz, latents.npz and run.json.
    """

    face_model: FaceModel
    identity: np.ndarray
    latents: np.ndarray
    expression: np.ndarray
    scans: ScanSet
    path: Path

    @property
    def model_path(self) -> Path:
        """The face model's file, for face_model=npz face_model.path=..."""
        return self.path / LEARNED_FILE


def shared_scan_model(bench: Workbench, run: RunFolder) -> ScanModel:
    """Return the scan model of a configuration, training it if no run with the same scan stage and seed has.

    The `run` shows the progress.

    Raises:
        RecfaceError: The configuration or the scans are unusable.
    """
    scans = open_scans(bench.config, bench.face_model, bench.benchmark)
    return scan_model(bench.config, bench.face_model, scans, run, bench.benchmark.manifest_hash)


def scan_model(
    config: Config,
    face_model: FaceModel,
    scans: ScanSet,
    follow: RunFolder | None = None,
    manifest: str | None = None,
    principal: Principal | None = None,
    part: str | None = None,
) -> ScanModel:
    """As `shared_scan_model`, from a face model and scans, with or without a benchmark.

    Args:
        config: Resolved configuration with the group `sfm`.
        face_model: Gives topology, landmarks, mirror and, unless one is learned, the expression basis.
        scans: From `open_scans` for this configuration.
        follow: The run that shows the progress, or None.
        manifest: Hash of the benchmark, for the record.
        principal: The scans in principal coordinates, where already known.
        part: Name of the part of the configuration's scans, where these are not all.
    """
    settings, seed = config["sfm"]["scan"], config["seed"]
    digest = scan_hash(config, face_model, manifest, part)
    folder = RunFolder.open(run_path(config["paths"]["runs"], "scans", digest, seed))
    with folder.lock():
        if not is_scan_trained(folder):
            kept = {
                "seed": seed,
                "face_model": {"name": face_model.name, "path": None},  # records name no path
                "sfm": {"scan": settings | {"path": None}},
            }
            versions = {"scan": SCAN_VERSION}
            with folder.running(new_record("scans", digest, seed, kept, versions=versions, data_manifest=manifest)):
                folder.stage("scans")
                begin = time.monotonic()
                train_scan_model(settings, face_model, scans, seed, folder, follow or folder, principal)
                folder.finish({}, timings={"scans_seconds": time.monotonic() - begin})
    model, remedy = load(folder.path / LEARNED_FILE), "remove its folder and run again"
    stored = read_arrays(folder.path / LATENTS_FILE, remedy=remedy)
    columns = {"identity": None, "latents": model.num_identity, "expression": model.num_expressions}
    for name, size in columns.items():
        shape = (len(scans),) if size is None else (len(scans), size)
        if name not in stored or stored[name].shape != shape or stored[name].dtype.kind not in "fiu":
            raise RecfaceError(f"{folder.path / LATENTS_FILE}: lacks {name} {shape}; {remedy}")
    return ScanModel(model, **{name: stored[name] for name in columns}, scans=scans, path=folder.path)


def scan_hash(config: Config, face_model: FaceModel, manifest: str | None = None, part: str | None = None) -> str:
    """Hash over the scan stage's settings, the face model, and the benchmark or the folder that its scans come from."""
    settings = config["sfm"]["scan"]
    own = {"scan": settings | {"path": None}, "face_model": face_model.checksum, "version": SCAN_VERSION}
    if settings["source"] == "benchmark":
        own["benchmark"] = manifest
    if settings["source"] == "folder":
        scan_table(settings["path"])  # a mistake in it is told first
        own["files"] = table_digest(Path(settings["path"]) / CSV, config["paths"]["cache"])
    return config_hash(own | ({"part": part} if part else {}))


def is_scan_trained(folder: RunFolder) -> bool:
    """Whether a folder holds a finished scan model of the current version."""
    done = folder.finished_with({"scan": SCAN_VERSION})
    return done and (folder.path / LEARNED_FILE).exists() and (folder.path / LATENTS_FILE).exists()


def open_scan_bench(config: Config) -> tuple[FaceModel, Benchmark | None]:
    """The face model of a configuration, and the benchmark where the scans come from it."""
    if config["sfm"]["scan"]["source"] == "benchmark":
        bench = open_workbench(config)
        return bench.face_model, bench.benchmark
    settings = config["face_model"]
    return get(settings["name"], settings["path"], Path(config["paths"]["cache"])), None


def open_scans(config: Config, face_model: FaceModel, benchmark: Benchmark | None) -> ScanSet:
    """Open the scans that a checked configuration names, in the topology of the face model.

    Raises:
        RecfaceError: A folder's scans are unusable.
    """
    settings = config["sfm"]["scan"]
    noise = settings["noise_mm"]
    if settings["source"] == "model":
        return draw_scans(face_model, settings["people"], settings["scans_each"], noise, config["seed"], "train")
    if settings["source"] == "benchmark" and benchmark is not None:
        return benchmark_scans(face_model, benchmark, noise)
    return folder_scans(face_model, settings["path"], Path(config["paths"]["cache"]))
