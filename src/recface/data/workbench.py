"""The workbench of a run: face model, benchmark and training sources, built from its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recface.data import MixedDataModule, Source
from recface.data.benchmark import Benchmark, BenchmarkConfig, get_benchmark
from recface.data.framing import canonical_landmarks
from recface.data.sources import SOURCES
from recface.errors import RecfaceError
from recface.face_model import FaceModel, get
from recface.face_model.albedo import AlbedoModel, own_albedo_model
from recface.settings import Config

TRAINING_SIZES = ("identity_people", "identity_photos", "landmark_photos")
"""Sizes of the benchmark's training splits."""


@dataclass(frozen=True)
class Workbench:
    """The face model and the benchmark of a run.

    Attributes:
        config: The resolved configuration, plain.
        face_model: The frozen 3DMM.
        benchmark: Photos and labels.
        sources: All training sources by name.
    """

    config: Config
    face_model: FaceModel
    benchmark: Benchmark
    sources: dict[str, Source]

    @property
    def albedo_model(self) -> AlbedoModel:
        """The face model's own where it has one and no photo is the embedded benchmark's; else the benchmark's."""
        own = None if _trains_on_embedded(self.config) else own_albedo_model(self.face_model)
        return own or self.benchmark.albedo_model

    @property
    def num_identities(self) -> int:
        """Number of named people in the training data."""
        return sum(source.num_identities for source in self.sources.values())


def _trains_on_embedded(config: Config) -> bool:
    """Whether a source is of the embedded benchmark; yes for what is not trained at all."""
    kinds = {source["kind"] for source in config["data"].get("sources", {}).values()}
    return not kinds or "embedded" in kinds


def open_workbench(
    config: Config, watch: Callable[[int, int], None] = lambda done, total: None, training: bool = True
) -> Workbench:
    """Load or build the face model, the benchmark and, for `training`, the sources of photos to train on.

    `watch` is called with the photos that are generated, and their number.
    """
    cache = Path(config["paths"]["cache"])
    face_model = get(config["face_model"]["name"], config["face_model"]["path"], cache)
    sizes = {key: value for key, value in config["scale"].items() if key in BenchmarkConfig.__dataclass_fields__}
    data = config["data"]
    if not _trains_on_embedded(config):
        sizes |= dict.fromkeys(TRAINING_SIZES, 1)  # nobody sees these photos; those of evaluation stay as they are
    benchmark = get_benchmark(
        face_model, BenchmarkConfig(seed=data["seed"], albedo_modes=data["albedo_modes"], **sizes), cache, watch
    )
    truth = data.get("truth", False)  # earlier runs have no such key
    wanted = data["sources"].items() if training else ()
    sources = {name: _open_source(name, settings, benchmark, face_model, truth) for name, settings in wanted}
    return Workbench(config, face_model, benchmark, sources)


def _open_source(name: str, settings: Config, benchmark: Benchmark, face_model: FaceModel, truth: bool) -> Source:
    build = SOURCES[settings["kind"]]
    if settings["kind"] == "embedded":
        return build(benchmark, settings["split"], truth)
    size = benchmark.images("landmark").shape[-1]
    if settings["kind"] == "store":
        return build(settings["path"], size, name, settings.get("split"), settings.get("labels"))
    return build(settings["path"], canonical_landmarks(face_model), size, name, settings.get("framed", False))


def stage_sources(bench: Workbench, stage: int) -> list[str]:
    """Names of a stage's sources: stage 1 takes those with landmarks only (methods.md, "SIR": training)."""
    return [name for name, source in bench.sources.items() if stage == 2 or source.landmarks is not None]


def build_data(bench: Workbench, stage: int, start: int = 0) -> MixedDataModule:
    """The mixed training data of a stage from a step on."""
    config = bench.config
    names = stage_sources(bench, stage)
    if not names:
        raise RecfaceError("data.sources: stage 1 needs a source with landmarks; add one")
    return MixedDataModule(
        [bench.sources[name] for name in names],
        [config["data"]["sources"][name]["share"] for name in names],
        num_parameters=bench.face_model.num_identity,
        batch_size=config["scale"]["batch_size"],
        steps=min(config["trainer"]["epoch_steps"], config["scale"][f"stage{stage}_steps"]),
        seed=config["seed"] + 100_000 * stage,
        augment=config["data"]["augment"],
        workers=config["data"]["workers"],
        start=start,
        photos_of_person=config["data"].get("photos_of_person"),  # earlier runs have no such key
    )
