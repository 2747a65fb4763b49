"""Every key of a run's configuration with its type and range. Imports nothing heavy: sweeps check every value."""

from __future__ import annotations

import ast
import functools
import importlib.util
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from recface.errors import RecfaceError
from recface.settings.declared import (
    Count,
    Name,
    NonNegative,
    Positive,
    Settings,
    Several,
    Share,
    Whole,
    between,
    mistakes,
    number,
)

Seed = Annotated[int, between(0, 2**32 - 1, whole=True)]
"""What NumPy takes for a seed."""
Rate = Annotated[float, number("a number > 0 and <= 10", lambda value: 0 < value <= 10)]
"""A learning rate."""
MISSING = "???"
"""Hydra's value of a key that the user must give."""

Precision = Literal[
    "auto", "64-true", "32-true", "16-true", "bf16-true", "16-mixed", "bf16-mixed", "64", "32", "16", "bf16", 64, 32, 16
]
"""Lightning's, or auto: the faster of two that train alike; transformer-engine needs hardware that nobody has tried."""


def _known_variant(name: str) -> str:
    """Takes a module of recface/variants/ or `package.module:Class`."""
    module, colon, _ = name.partition(":")
    if not colon and name not in known_variants():
        known = ", ".join(known_variants())
        raise ValueError(f"must be one of {known}, or package.module:Class, not {name!r}")
    if colon and importlib.util.find_spec(module.partition(".")[0]) is None:
        raise ValueError(f"must be importable: no module {module!r}; is its folder in PYTHONPATH?")
    return name


class FaceModelSettings(Settings):
    """Group `face_model`."""

    name: str
    path: str | None


class SourceSettings(Settings):
    """One training source under `data.sources`."""

    kind: Literal["embedded", "manifest", "store"]
    share: Positive
    split: str | None = None
    path: str | None = None
    framed: bool = False
    labels: Literal["identity", "landmarks", None] = None

    @model_validator(mode="after")
    def _names_its_photos(self) -> SourceSettings:
        if self.kind == "embedded" and self.split not in ("identity", "landmark"):
            raise ValueError(f"needs split: identity or landmark, not {self.split!r}")
        if self.kind == "manifest" and self.path is None:
            raise ValueError("needs path: a table of photos, or the folder of its faces.csv")
        if self.kind == "store" and self.path is None:
            raise ValueError("needs path: the folder that `recface prepare` wrote")
        if self.kind != "store" and self.labels is not None:
            raise ValueError("takes labels for kind: store alone")
        if self.kind == "manifest" and self.split is not None:
            raise ValueError("takes split for kind: store or embedded alone")
        if self.kind != "manifest" and self.framed:
            raise ValueError("takes framed for kind: manifest alone")
        return self


class DataSettings(Settings):
    """Group `data`."""

    seed: Seed
    albedo_modes: Annotated[int, between(1, 399, whole=True)]
    augment: Annotated[float, between(0, 5)]  # beyond it, there is no such brightness
    workers: Annotated[int, between(0, 1024, whole=True)]
    photos: str | None
    photos_of_person: Count | None = None
    truth: bool
    sources: dict[str, SourceSettings]


class ModelSettings(Settings):
    """Group `model`."""

    backbone: str
    shared: str
    end: str | None
    grid: Count
    weights: str | None
    confidence: bool
    confidence_width: Count


class LossSettings(Settings):
    """Group `loss`: weights of the terms that all variants share."""

    landmark: NonNegative
    landmark_mode: Literal["l1", "l2", "squared"]
    pixel: NonNegative
    pixel_every: Count
    pixel_from: Share
    perceptual: NonNegative
    tikhonov_identity: NonNegative
    tikhonov_expression: NonNegative
    tikhonov_albedo: NonNegative


class OptimizerSettings(Settings):
    """Group `optimizer`."""

    name: Literal["adamw", "muon"]
    stage1_rate: Rate
    stage2_rate: Rate
    beta2: Annotated[float, number("a number >= 0 and < 1", lambda value: 0 <= value < 1)]
    weight_decay: NonNegative
    warmup: Annotated[float, number("a number > 0 and <= 1", lambda value: 0 < value <= 1)]
    clip: Positive


class TrainerSettings(Settings):
    """Group `trainer`."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"]
    devices: Count
    num_nodes: Count = 1
    accumulate: Count = 1
    precision: Precision
    threads: Annotated[int, between(1, 1024, whole=True)]
    epoch_steps: Count
    conflict: Whole
    validation: bool = Field(alias="validate")
    validate_on: list[str] | None = None

    @model_validator(mode="after")
    def _can_be_several(self) -> TrainerSettings:
        if self.devices * self.num_nodes > 1 and self.accelerator in ("mps", "tpu"):
            raise ValueError(f"needs accelerator: cpu or gpu on several devices, not {self.accelerator!r}")
        return self


class LoggerSettings(Settings):
    """Group `logger`."""

    name: Literal["none", "wandb"]
    project: str | None = None
    entity: str | None = None


class ScaleSettings(Settings):
    """Group `scale`: sizes of the benchmark and lengths of training."""

    name: str
    image_size: Annotated[int, between(8, 1024, whole=True)]
    appearance: Literal["plain", "lifelike"] = "plain"
    identity_people: Count
    identity_photos: Count
    landmark_photos: Count
    validation_people: Count
    test_people: Count
    photos_each: Count
    control_people: Count
    control_photos: Count
    scan_people: Count
    scans_each: Count
    batch_size: Annotated[int, between(2, 100_000, whole=True)]
    stage1_steps: Count
    stage2_steps: Count


class PathSettings(Settings):
    """Section `paths`."""

    runs: str
    cache: str


class LatentSettings(Settings):
    """Terms on identity parameters that the sections `sir` and `sfm` both have."""

    separation: NonNegative
    center: NonNegative
    prior: NonNegative
    softmax_scale: Positive
    margin: NonNegative
    center_rate: Share


class SIRSettings(LatentSettings):
    """Section `sir`."""

    center_space: Literal["shapes", "parameters"]


class PrototypesSettings(Settings):
    """Section `prototypes`."""

    deviation: Positive


class SupervisedSettings(Settings):
    """Section `supervised`."""

    shape: NonNegative


class ScanRates(Settings):
    """Learning rates of SFM's stage on scans."""

    basis: Rate
    latents: Rate
    expression: Rate


class ScanWeights(Settings):
    """Weights of the terms of SFM's stage on scans."""

    vertex: NonNegative
    sphere: NonNegative
    separation: NonNegative
    center: NonNegative
    prior: NonNegative
    orthogonality: NonNegative
    smoothness: NonNegative
    symmetry: NonNegative
    expression: NonNegative


class ScanSettings(Settings):
    """Section `sfm.scan`: SFM's stage on scans."""

    source: Literal["model", "benchmark", "folder"]
    path: str | None
    people: Count
    scans_each: Count
    noise_mm: NonNegative
    modes: Count | None
    expression: Literal["model", "learned"]
    expression_modes: Count
    sphere: bool
    steps: Count
    batch_size: Several
    softmax_scale: Positive
    margin: NonNegative
    rates: ScanRates
    weights: ScanWeights


class SFMSettings(LatentSettings):
    """Group `sfm`: both stages."""

    scan: ScanSettings
    separate: Literal["latents", "shapes"]
    sphere: NonNegative
    radius: Positive
    learn_basis: bool
    basis_rate: Positive
    basis_size: NonNegative
    basis_orthogonal: NonNegative
    basis_smooth: NonNegative
    basis_symmetric: NonNegative
    scans: NonNegative
    scans_each_step: Count


class SFMModelSettings(Settings):
    """Group `sfm_model`: the measurements of the table sfm_model."""

    test_people: Count
    validation_people: Count
    sizes: Annotated[list[Count], Field(min_length=1)]
    strengths: Annotated[list[Positive], Field(min_length=1)]
    samples: Count


class RunSettings(Settings):
    """A run's resolved configuration, but for the sections of variants that are not declared here."""

    name: Name
    parent: str | None
    title: str | None
    tables: list[str]
    variant: Annotated[str, AfterValidator(_known_variant)]
    seed: Seed
    paths: PathSettings
    face_model: FaceModelSettings
    data: DataSettings
    model: ModelSettings
    loss: LossSettings
    optimizer: OptimizerSettings
    trainer: TrainerSettings
    logger: LoggerSettings
    scale: ScaleSettings
    sir: SIRSettings | None = None
    prototypes: PrototypesSettings | None = None
    supervised: SupervisedSettings | None = None
    sfm: SFMSettings | None = None
    sfm_model: SFMModelSettings | None = None


NEEDED = {"prototypes": ("sir", "prototypes")}
"""Sections that a variant reads, where they are more than the one of its name."""
Sections = Mapping[str, type[Settings]]
"""Declarations of further sections by their key, such as that of a third-party baseline."""


def batch_shares(trainer: Mapping[str, Any], accumulated: bool = True) -> int:
    """Number of shares that a batch is split into: one for each process and, if `accumulated`, each of their parts."""
    processes = trainer["devices"] * trainer.get("num_nodes", 1)  # most groups have one machine and one part
    return processes * (trainer.get("accumulate", 1) if accumulated else 1)


def check_config(config: Mapping[str, Any], sections: Sections | None = None) -> None:
    """Check a resolved configuration before anything starts.

    Raises:
        RecfaceError: All mistakes in one line, each as "loss.pixel must be a number >= 0, not -1".
    """
    if found := config_mistakes(config, sections):
        raise RecfaceError("; ".join(f"{key} {text}" for key, text in found))


def config_mistakes(config: Mapping[str, Any], sections: Sections | None = None) -> list[tuple[str, str]]:
    """All mistakes in a resolved configuration: dotted key, and what its value must be.

    A section that nobody declares, such as that of a new variant, may hold numbers >= 0, words and switches. Keys that
    the user has yet to give are "???".
    """
    declared = {key: value for key, value in config.items() if key in RunSettings.model_fields}
    found = _declared_mistakes(RunSettings, declared)
    if not found and MISSING not in (size := config["scale"]["batch_size"], *config["trainer"].values()):
        shares = batch_shares(config["trainer"])
        if size % shares:
            text = f"must be a multiple of trainer's devices x num_nodes x accumulate, {shares}, not {size}"
            found.append(("scale.batch_size", text))
    variant = config.get("variant")
    for section in NEEDED.get(str(variant), (variant,)):
        if section in RunSettings.model_fields and config.get(section) is None:
            found.append((section, f"is missing: +experiment={variant} sets it"))
    for key in config.keys() - declared.keys():
        if sections and key in sections:
            found += _declared_mistakes(sections[key], config[key], key)
        elif isinstance(config[key], Mapping):
            found += _number_mistakes(config[key], key)
        else:
            found.append((key, "is an unknown key"))
    return found


def _declared_mistakes(model: type[Settings], content: Any, *above: str) -> list[tuple[str, str]]:
    found = mistakes(model, content, later=MISSING)
    return [(".".join(map(str, (*above, *place))), text) for place, text in found]


def _number_mistakes(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Numbers of a section that no model declares: weights, rates and counts are all >= 0."""
    if isinstance(value, (Mapping, list)):
        for name, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _number_mistakes(item, f"{key}.{name}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and not 0 <= value < math.inf:
        yield key, f"must be a number >= 0, not {value!r}"


VARIANTS = Path(__file__).resolve().parents[1] / "variants"


@functools.lru_cache
def known_variants() -> list[str]:
    """Names of the modules in recface/variants/ that hold a variant, read without importing them (and torch)."""
    classes = [
        (path.stem, node.name, {ast.unparse(base) for base in node.bases})
        for path in VARIANTS.glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    names, modules, count = {"Reconstruction"}, set[str](), 0
    while count < len(names):  # until no further class derives from these
        count = len(names)
        derived = [(stem, name) for stem, name, bases in classes if bases & names]
        modules = {stem for stem, _ in derived}
        names |= {name for _, name in derived}
    return sorted(modules)
