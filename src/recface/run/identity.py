"""Which run a configuration is: its hash, its folder, and whether it is finished. Needs no torch: sweeps ask often."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from recface.settings import Config
from recface.tracking.config_hash import IGNORED as NEVER_HASHED
from recface.tracking.config_hash import config_hash, run_path, without
from recface.tracking.record import RunRecord
from recface.versions import VERSIONS

IGNORED = (*NEVER_HASHED, "name", "parent", "title", "tables", "data.photos", "face_model.path")
STAGE1_READS = ("face_model", "data", "model", "loss", "optimizer", "trainer", "scale")
"""The groups that stage 1 is given; a variant's settings stay outside."""
STAGE1_IGNORED = (*IGNORED, "scale.stage2_steps", "optimizer.stage2_rate")


def face_model_digest(config: Mapping[str, Any]) -> str | None:
    """Hash of the face model's file, which stands in for its path in the run's hash.

    A missing file is no error yet: the run will fail and its record will say why.
    """
    path = config["face_model"]["path"]
    if path is None:
        return None
    if not Path(path).is_file():
        return "missing"
    return _file_digest(path, Path(path).stat().st_mtime_ns)


@functools.lru_cache
def _file_digest(path: str, changed: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]


def stage1_config(config: Mapping[str, Any]) -> Config:
    """The part of a configuration that stage 1 is given, beside the seed. Its hash is of this alone."""
    return without({key: config[key] for key in STAGE1_READS}, STAGE1_IGNORED)


def run_hash(config: Mapping[str, Any], stage: int = 2) -> str:
    """Hash over everything that determines a run's result, or that of stage 1."""
    own = without(config, IGNORED) if stage == 2 else stage1_config(config)
    return config_hash(own | {"face_model_digest": face_model_digest(config)})


def run_folder(config: Mapping[str, Any]) -> Path:
    """Folder of a configuration's run."""
    return run_path(config["paths"]["runs"], config["name"], run_hash(config), config["seed"])


def is_trained(record: RunRecord | None, versions: Mapping[str, int] = VERSIONS) -> TypeGuard[RunRecord]:
    """Whether a record belongs to a finished run of this code's versions."""
    return record is not None and record.state == "finished" and record.versions == versions


def is_complete(config: Mapping[str, Any], record: RunRecord | None, versions: Mapping[str, int] = VERSIONS) -> bool:
    """Whether a rerun would have nothing to do."""
    return is_trained(record, versions) and (not config["data"]["photos"] or "photos" in record.metrics)
