"""Configuration of a third-party baseline: declared, composed, checked and hashed. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from recface.baselines.cards import read_card
from recface.errors import RecfaceError
from recface.files.digests import model_digest
from recface.settings import Config
from recface.settings.compose import CONFIGS, check_overrides, compose_config, known_experiments
from recface.settings.declared import Count, NonNegative, Positive, Settings, Whole, mistakes
from recface.settings.run_settings import check_config
from recface.tracking.config_hash import config_hash, without

READ = (
    "baselines.",
    "face_model",
    "data.seed",
    "data.albedo_modes",
    "data.photos",
    "scale",
    "seed",
    "paths",
    "trainer.threads",
)
"""Prefixes of the keys that a baseline's result can depend on; overrides of other keys are refused."""
IGNORED = (
    "seed",
    "name",
    "title",
    "parent",
    "paths",
    "trainer",
    "data.photos",
    "face_model.path",
    "baselines.batch",
    "baselines.folder",
)
IMPORTED = "imported"
"""The entry of configs/baselines/ that stands for every method run elsewhere."""
PREDICTIONS, CARD = "predictions", "card.yaml"


class MeanFaceSettings(Settings):
    """The mean face; configs/baselines/ says what each setting of this and the following methods means."""

    method: Literal["mean_face"]


class EosSettings(Settings):
    """eos on landmarks."""

    method: Literal["eos"]
    noise: NonNegative
    expression: Literal["linear", "blendshapes"]
    iterations: Whole
    identity_weight: NonNegative
    expression_weight: NonNegative


class FitSettings(Settings):
    """The fit by synthesis, on landmarks and pixels."""

    method: Literal["fit"]
    noise: NonNegative
    landmark_steps: Whole
    pixel_steps: Whole
    rate: Positive
    batch: Count
    landmark: NonNegative
    pixel: NonNegative
    tikhonov_identity: NonNegative
    tikhonov_expression: NonNegative
    tikhonov_albedo: NonNegative


class ImportedSettings(Settings):
    """Predictions of a method run elsewhere."""

    method: Literal["imported"]
    folder: str


METHODS: dict[str, tuple[type[Settings], str]] = {
    "mean_face": (MeanFaceSettings, "recface.baselines.given_landmarks"),
    "eos": (EosSettings, "recface.baselines.eos_fitting"),
    "fit": (FitSettings, "recface.baselines.fit"),
    IMPORTED: (ImportedSettings, "recface.baselines.run_elsewhere"),
}
"""Method to its settings, and to the module whose `build(face_model, albedo_model, settings, seed)` predicts."""


def checked_settings(section: Mapping[str, Any]) -> Settings:
    """The configuration's section `baselines` as an instance of its method's class in `METHODS`.

    Raises:
        RecfaceError: An unknown method; a setting that is missing, unknown, or out of range.
    """
    model = _declaration(section)
    if found := mistakes(model, section):
        raise RecfaceError("; ".join(f"baselines.{'.'.join(map(str, keys))} {text}" for keys, text in found))
    return model.model_validate(section)


def _declaration(section: Mapping[str, Any]) -> type[Settings]:
    """The class in `METHODS` that declares a section's settings."""
    method = section.get("method")
    if method not in METHODS:
        raise RecfaceError(f"baselines.method must be one of {', '.join(METHODS)}, not {method!r}")
    return METHODS[method][0]


def known_baselines() -> list[str]:
    """Names of the baselines that run here: configs/baselines/."""
    return sorted(path.stem for path in (CONFIGS / "baselines").glob("*.yaml") if path.stem != IMPORTED)


def baseline_config(name: str, overrides: Sequence[str] = ()) -> Config:
    """Compose a baseline's configuration: the parts of a run's that it reads, and its own settings.

    Args:
        name: One of `known_baselines`, or the folder external/NAME of a method run elsewhere.
        overrides: Hydra's, as `recface run` takes them.

    Returns:
        The resolved configuration, plain.

    Raises:
        RecfaceError: An unknown baseline, a key that no baseline reads, or a value out of range.
    """
    folder, named = None, {}
    if "/" in name or (Path(name) / CARD).is_file():
        experiment, title = imported_name(name)
        folder, named, name = Path(name), {"name": experiment, "title": title}, IMPORTED
    elif name not in known_baselines():
        known = ", ".join(known_baselines())
        raise RecfaceError(f"no baseline '{name}': known are {known}, or a folder external/NAME of predictions")
    check_overrides(overrides)
    for override in overrides:
        if not override.lstrip("+").startswith(READ):
            raise RecfaceError(f"{override}: no baseline reads this key; baselines read {', '.join(READ)}")
    whole = compose_config(f"+baselines={name}", *overrides)
    if folder is not None:
        whole["baselines"]["folder"] = str(predictions_folder(folder, whole["face_model"]["name"]))
    check_config(whole, {"baselines": _declaration(whole["baselines"])})
    from recface.data.benchmark import BenchmarkConfig  # imports torch; mistakes above are answered without it

    read = {"name", *BenchmarkConfig.__dataclass_fields__}
    sizes = {key: value for key, value in whole["scale"].items() if key in read}
    kept = {key: whole[key] for key in ("name", "parent", "seed", "baselines", "face_model", "paths")}
    data = {key: whole["data"][key] for key in ("seed", "albedo_modes", "photos")}
    return kept | named | {"data": data, "scale": sizes, "trainer": {"threads": whole["trainer"]["threads"]}}


def baseline_hash(config: Config) -> str:
    """Hash over the method, its settings or its predictions, the face model and the benchmark."""
    path = config["face_model"]["path"]
    content = {"face_model_digest": None if path is None else model_digest(path)}
    if config["baselines"]["method"] == IMPORTED:
        content["predictions_digest"] = content_digest(Path(config["baselines"]["folder"]))
    return config_hash(without(config, IGNORED) | content)


def imported_name(folder: str) -> tuple[str, str]:
    """A method run elsewhere: its records are named after its folder; its title is on its card."""
    title, name = read_card(Path(folder) / CARD).name, Path(folder).resolve().name
    if name in (*known_baselines(), *known_experiments()):
        raise RecfaceError(f"{folder}: {name} is the name of a row of this suite; rename the folder")
    return name, title


def predictions_folder(method: Path, face_model: str) -> Path:
    """Where a method's predictions for a face model's benchmark lie: in its own folder, or in the common one.

    Raises:
        RecfaceError: Neither exists.
    """
    for folder in (method / f"{PREDICTIONS}_{face_model}", method / PREDICTIONS):
        if folder.is_dir():
            return folder
    raise RecfaceError(f"{method / PREDICTIONS}: no such folder; external/README.md says what goes into it")


def content_digest(folder: Path) -> str:
    """Hash over predictions, file by file; it replaces their path in the record's hash."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]
