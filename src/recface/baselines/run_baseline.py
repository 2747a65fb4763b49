"""A method that is not ours, from its configuration to a record of the form that a network's run leaves.

It runs here (configs/peer/), or it ran elsewhere and left predictions (external/NAME/).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recface.baselines import build_peer, check_settings
from recface.baselines.imported import CARD, Imported, content_digest, evaluate_imported, predictions_folder
from recface.data.benchmark import BenchmarkConfig
from recface.data.benchmark.scene import named_conditions
from recface.data.workbench import open_workbench
from recface.errors import RecfaceError
from recface.metrics import PHOTO_PROTOCOLS, protocol_ids
from recface.results.published import read_card
from recface.run.evaluation import Timed, evaluate_photos, evaluate_run, open_photos
from recface.run.identity import Config, face_model_digest
from recface.settings.compose import CONFIGS, check_overrides, compose_config, known_experiments
from recface.settings.overrides import own_overrides
from recface.settings.run_settings import check_process
from recface.tracking import RunFolder, new_record, run_path
from recface.tracking.config_hash import config_hash, without
from recface.variants.trainer import save_arrays
from recface.versions import BENCHMARK_VERSION, PEER_VERSION, PROTOCOL_VERSION

PEER_VERSIONS = {"benchmark": BENCHMARK_VERSION, "peer": PEER_VERSION, "protocol": PROTOCOL_VERSION}
READ = (
    "peer.",
    "face_model",
    "data.seed",
    "data.albedo_modes",
    "data.photos",
    "scale",
    "seed",
    "paths",
    "trainer.threads",
)
"""Beginnings of the keys that a peer's result can depend on; others would be set in vain."""
IGNORED = (
    "seed",
    "name",
    "title",
    "parent",
    "paths",
    "trainer",
    "data.photos",
    "face_model.path",
    "peer.batch",
    "peer.folder",
)
IMPORTED = "imported"
"""The one of configs/peer/ that stands for all methods that did not run here."""


def known_peers() -> list[str]:
    """Names of the peers that run here: configs/peer/."""
    return sorted(path.stem for path in (CONFIGS / "peer").glob("*.yaml") if path.stem != IMPORTED)


def imported_name(folder: str) -> tuple[str, str]:
    """A method that did not run here: the name its records have, which is its folder's, and the title on its card.

    Raises:
        RecfaceError: No card there, one that is wrong, or a name that an experiment or a peer has.
    """
    title = read_card(Path(folder) / CARD).name
    name = Path(folder).resolve().name
    if name in (*known_peers(), *known_experiments()):
        raise RecfaceError(f"{folder}: {name} is the name of a row of this suite; rename the folder")
    return name, title


def peer_config(name: str, overrides: Sequence[str] = ()) -> Config:
    """Compose a peer's configuration: what it shares with a run, and its own settings, without what only networks read.

    Args:
        name: One of `known_peers`, or the folder of a method that did not run here.
        overrides: Hydra's, as src/run.py takes them.

    Returns:
        The resolved configuration, plain.

    Raises:
        RecfaceError: An unknown peer, or a key that no peer reads.
    """
    folder, named = None, {}
    if "/" in name or (Path(name) / CARD).is_file():
        experiment, title = imported_name(name)
        folder, named, name = Path(name), {"name": experiment, "title": title}, IMPORTED
    elif name not in known_peers():
        known = ", ".join(known_peers())
        raise RecfaceError(f"no peer '{name}': known are {known}, or a folder external/NAME of predictions")
    check_overrides(overrides)
    for override in overrides:
        if not override.lstrip("+").startswith(READ):
            raise RecfaceError(f"{override}: no peer reads this key; peers read {', '.join(READ)}")
    whole = compose_config(f"+peer={name}", *overrides)
    if folder is not None:
        whole["peer"]["folder"] = str(predictions_folder(folder, whole["face_model"]["name"]))
    check_process(whole)
    check_settings(whole["peer"])
    sizes = {
        key: value for key, value in whole["scale"].items() if key in ("name", *BenchmarkConfig.__dataclass_fields__)
    }
    kept = {key: whole[key] for key in ("name", "parent", "seed", "peer", "face_model", "paths")}
    data = {key: whole["data"][key] for key in ("seed", "albedo_modes", "photos")}
    return kept | named | {"data": data, "scale": sizes, "trainer": {"threads": whole["trainer"]["threads"]}}


def peer_hash(config: Config) -> str:
    """Hash over the method, its settings or its predictions, the face model and the benchmark."""
    content = {"face_model_digest": face_model_digest(config)}
    if config["peer"]["method"] == IMPORTED:
        content["predictions_digest"] = content_digest(Path(config["peer"]["folder"]))
    return config_hash(without(config, IGNORED) | content)


def run_peer(config: Config, overrides: Sequence[str] = ()) -> RunFolder:
    """Predict and evaluate with a peer and write the record; what is finished already is not done again.

    Args:
        config: From `peer_config`.
        overrides: What was given on the command line; the record keeps what is not about places.

    Returns:
        The finished run's folder.

    Raises:
        RecfaceError: A mistake in configuration or data; the record then says "failed" and why.
    """
    torch.set_num_threads(config["trainer"]["threads"])
    digest = peer_hash(config)
    folder = RunFolder.open(run_path(config["paths"]["runs"], config["name"], digest, config["seed"]))
    record = new_record(
        config["name"],
        digest,
        config["seed"],
        without(config, ("paths", "peer.folder")),  # records name no places
        parent=config["parent"],
        overrides=own_overrides(overrides),
        versions=PEER_VERSIONS,
    )
    with folder.lock():
        done, photos = folder.record, config["data"]["photos"]
        current = folder.is_finished and done.versions == PEER_VERSIONS
        if not (current and (not photos or "photos" in done.metrics)):
            with folder.running(record):
                _evaluate(config, folder)
    return folder


def _evaluate(config: Config, folder: RunFolder) -> None:
    """All metrics of the benchmark, and of photographs where they are given."""
    begin = time.monotonic()
    folder.stage("evaluation")
    bench = open_workbench(config | {"data": config["data"] | {"sources": {}}})
    folder.update(data_manifest=bench.benchmark.manifest_hash)
    peer = build_peer(bench.face_model, bench.benchmark.albedo_model, config["peer"], config["seed"])
    if isinstance(peer, Imported):
        metrics, predictions = evaluate_imported(peer, bench, config["data"]["photos"], folder)
        timings = {}
    else:
        timed = Timed(peer)
        metrics, predictions = evaluate_run(timed, bench)
        timings = timed.timings
        if config["data"]["photos"]:
            metrics["photos"], found = evaluate_photos(peer, bench, open_photos(bench, config["data"]["photos"]))
            predictions |= found
    protocols: dict[str, Any] = {
        block: {key: PHOTO_PROTOCOLS[key].id for key in values} if block == "photos" else protocol_ids(values)
        for block, values in metrics.items()
    }
    for name, chosen in named_conditions(bench.benchmark.labels("test")).items():
        predictions[f"condition_{name}"] = chosen
    save_arrays({key: np.asarray(value) for key, value in predictions.items()}, folder.path / "predictions.npz")
    folder.finish(metrics, protocols, timings | {"evaluation_seconds": time.monotonic() - begin})
