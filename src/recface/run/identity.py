"""Which run a configuration is: its hash, its folder, and whether it is done. Without torch, so that sweeps can ask."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recface.tracking.config_hash import IGNORED as NEVER_HASHED
from recface.tracking.config_hash import config_hash, run_path, without
from recface.tracking.record import RunRecord
from recface.versions import VERSIONS

Config = dict[str, Any]

IGNORED = (*NEVER_HASHED, "name", "parent", "title", "tables", "data.photos", "face_model.path")
STAGE1_IGNORED = (*IGNORED, "variant", "sir", "sfm", "scale.stage2_steps", "optimizer.stage2_rate")


def face_model_digest(config: Mapping[str, Any]) -> str | None:
    """Hash of the face model's file, which stands in for its path in the run's hash.

    A file that is not there is no error yet: the run finds out, and its record says so.
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


def run_hash(config: Mapping[str, Any], stage: int = 2) -> str:
    """Hash over all that determines a run's result, or (stage 1) that of the stage which variants share."""
    ignored = IGNORED if stage == 2 else STAGE1_IGNORED
    return config_hash(without(config, ignored) | {"face_model_digest": face_model_digest(config)})


def run_folder(config: Mapping[str, Any]) -> Path:
    """Folder of a configuration's run."""
    return run_path(config["paths"]["runs"], config["name"], run_hash(config), config["seed"])


def is_trained(record: RunRecord | None) -> bool:
    """Whether a record is that of a finished run of this code's versions."""
    return record is not None and record.state == "finished" and record.versions == VERSIONS


def is_complete(config: Mapping[str, Any], record: RunRecord | None) -> bool:
    """Whether starting the run again would have nothing to do."""
    return is_trained(record) and (not config["data"]["photos"] or "photos" in record.metrics)
