"""Which run a configuration is: its hash, its folder, and whether it is finished. Needs no torch: sweeps ask often."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from recface.files.digests import file_digest, photos_digest, table_digest
from recface.settings import Config
from recface.tracking.config_hash import IGNORED as NEVER_HASHED
from recface.tracking.config_hash import config_hash, run_path, without
from recface.tracking.record import RunRecord
from recface.versions import VERSIONS

IGNORED = (*NEVER_HASHED, "name", "parent", "title", "tables", "data.photos", "face_model.path")
STAGE1_READS = ("face_model", "data", "model", "loss", "optimizer", "trainer", "scale")
"""The groups that stage 1 is given; a variant's settings stay outside."""
STAGE1_IGNORED = (*IGNORED, "scale.stage2_steps", "optimizer.stage2_rate")


def input_paths(config: Mapping[str, Any]) -> list[str]:
    """Dotted keys of the paths of a run's inputs, beside the face model's; their content is hashed instead."""
    sources = config["data"]["sources"]
    found = [f"data.sources.{name}.path" for name, source in sources.items() if source["kind"] == "manifest"]
    found += ["model.weights"] if config["model"]["weights"] else []
    return found + (["sfm.scan.path"] if _reads_scans(config) else [])


def input_digests(config: Mapping[str, Any], stage: int = 2) -> dict[str, str | None]:
    """Hashes over the content of a run's input files, which stand in for their paths in the run's hash."""
    cache, path = config["paths"]["cache"], config["face_model"]["path"]
    found = {"face_model_digest": None if path is None else file_digest(path)}
    if weights := config["model"]["weights"]:
        found["weights_digest"] = file_digest(weights)
    for name, source in config["data"]["sources"].items():
        if source["kind"] == "manifest":
            found[f"source_digest.{name}"] = photos_digest(source["path"], cache)
    if stage == 2 and _reads_scans(config):
        found["scans_digest"] = table_digest(Path(config["sfm"]["scan"]["path"] or "", "scans.csv"), cache)
    return found


def _reads_scans(config: Mapping[str, Any]) -> bool:
    return config.get("sfm") is not None and config["sfm"]["scan"]["source"] == "folder"


def stage1_config(config: Mapping[str, Any]) -> Config:
    """The part of a configuration that stage 1 is given, beside the seed. Its hash is of this alone."""
    return without({key: config[key] for key in STAGE1_READS}, STAGE1_IGNORED)


def run_hash(config: Mapping[str, Any], stage: int = 2) -> str:
    """Hash over everything that determines a run's result, or that of stage 1."""
    own = without(config, IGNORED) if stage == 2 else stage1_config(config)
    return config_hash(without(own, input_paths(config)) | input_digests(config, stage))


def run_folder(config: Mapping[str, Any]) -> Path:
    """Folder of a configuration's run."""
    return run_path(config["paths"]["runs"], config["name"], run_hash(config), config["seed"])


def is_trained(record: RunRecord | None, versions: Mapping[str, int] = VERSIONS) -> TypeGuard[RunRecord]:
    """Whether a record belongs to a finished run of this code's versions."""
    return record is not None and record.state == "finished" and record.versions == versions


def is_complete(config: Mapping[str, Any], record: RunRecord | None, versions: Mapping[str, int] = VERSIONS) -> bool:
    """Whether a rerun would have nothing to do: it has been trained, and seen the photographs as they are now."""
    photos = config["data"]["photos"]
    if not is_trained(record, versions) or (photos and "photos" not in record.metrics):
        return False
    return not photos or record.photos_digest in (None, photos_digest(photos, config["paths"]["cache"]))
