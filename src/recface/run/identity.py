"""Which run a configuration is: its hash, its folder, and whether it is finished. Needs no torch: sweeps ask often."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from recface.files.digests import file_digest, model_digest, photos_digest, table_digest
from recface.settings import Config
from recface.tracking.config_hash import IGNORED as NEVER_HASHED
from recface.tracking.config_hash import config_hash, run_path, without
from recface.tracking.record import RunRecord
from recface.versions import VERSIONS

IGNORED = (*NEVER_HASHED, "name", "parent", "title", "tables", "data.photos", "face_model.path")
STAGE1_READS = ("face_model", "data", "model", "loss", "optimizer", "trainer", "scale")
"""The groups that stage 1 is given; a variant's settings stay outside."""
STAGE1_IGNORED = (*IGNORED, "scale.stage2_steps", "optimizer.stage2_rate", "data.truth")


def input_digests(config: Mapping[str, Any]) -> dict[str, str | None]:
    """The dotted key of each path to an input of a run, and a hash over the content, which is hashed in its place."""
    cache, model = config["paths"]["cache"], config["face_model"]["path"]
    found = {"face_model.path": None if model is None else model_digest(model)}
    if weights := config["model"]["weights"]:
        found["model.weights"] = file_digest(weights)
    for name, source in config["data"]["sources"].items():
        if source["kind"] == "manifest":
            found[f"data.sources.{name}.path"] = photos_digest(source["path"], cache)
        elif source["kind"] == "store":  # its header has the hashes of all photos
            found[f"data.sources.{name}.path"] = file_digest(Path(source["path"], "store.json"))
    if config.get("sfm") is not None and config["sfm"]["scan"]["source"] == "folder":
        found["sfm.scan.path"] = table_digest(Path(config["sfm"]["scan"]["path"] or "", "scans.csv"), cache)
    return found


def stage1_config(config: Mapping[str, Any]) -> Config:
    """The part of a configuration that stage 1 is given, beside the seed. Its hash is of this alone."""
    return without({key: config[key] for key in STAGE1_READS}, STAGE1_IGNORED)


def run_hash(config: Mapping[str, Any], stage: int = 2) -> str:
    """Hash over everything that determines a run's result, or that of stage 1."""
    own = without(config, IGNORED) if stage == 2 else stage1_config(config)
    digests = input_digests(config)
    contents = {key: digest for key, digest in digests.items() if key.partition(".")[0] in own}
    named = {"face_model_digest": contents.pop("face_model.path")} | contents  # as the first runs were hashed
    return config_hash(without(own, digests) | named)


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
