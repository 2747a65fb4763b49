"""A trained network as one small file: with its face model, so that it needs neither a run nor data.

Large arrays are rounded to multiples of a step, far below what matters, and compressed: about ten bits a number.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from recface.data.framing import canonical_landmarks
from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel
from recface.face_model.model import array_checksum
from recface.face_model.npz import from_content, to_content
from recface.files.arrays import read_arrays
from recface.files.atomic import replacing
from recface.files.checkpoints import require_same
from recface.files.guard import guarded
from recface.settings import Config
from recface.settings.declared import Name, Positive, Settings, between, mistakes
from recface.settings.run_settings import ModelSettings
from recface.variants import Reconstruction
from recface.variants.baseline import Baseline

SHIPPED = Path(__file__).parent / "data" / "network.npz"
"""The network that comes with the package."""
LARGE = 10_000
"""Weights in arrays of more numbers are rounded."""
WEIGHT_STEPS, ALBEDO_STEPS = 128, 16
"""Steps of a weight in its array's standard deviation, and of the albedo encoder's, which change no shape."""
BASES = {
    "face_model.identity_basis": (0.002, "face_model.identity_sigma"),
    "face_model.expression_basis": (0.004, None),
    "albedo.basis": (0.004, "albedo.sigma"),
}
"""Step of a basis, in mm or shares of white for a standard deviation or a full expression, and what tells these."""
_REMEDY = "export it again with `recface export`"


class About(Settings):
    """What a file says about its network, beside the arrays.

    Attributes:
        experiment: Name of the experiment; `title`, `hash`, `seed` and `versions` are those of the run's record.
        license: Of the face model, which is part of the file.
        threshold_mm: Distance of neutral shapes at which the validation people's photos are told apart with equal rates
            of both errors.
        image_size: Width and height of a photo in pixels.
        model: The network's part of the configuration.
        steps: Step of each rounded array by name.
        checksum: Over all arrays.
    """

    experiment: Name
    title: str
    hash: str
    seed: int
    versions: dict[str, int]
    license: str
    threshold_mm: Positive
    image_size: Annotated[int, between(8, 1024, whole=True)]
    model: ModelSettings
    steps: dict[str, Positive]
    checksum: str


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its face model. It has what reconstruction asks of a `Workbench`: `face_model` and `config`.

    Attributes:
        variant: The network; of its training nothing is left.
        about: Where it comes from.
    """

    variant: Reconstruction
    about: About

    @property
    def config(self) -> Config:
        """What is left of the configuration: `model`, `loss` (empty) and `scale.image_size`."""
        return self.variant.config

    @property
    def face_model(self) -> FaceModel:
        """Decodes shapes."""
        return self.variant.face_model

    @property
    def image_size(self) -> int:
        """Width and height of a photo in pixels."""
        return self.about.image_size

    @property
    def threshold_mm(self) -> float:
        """Distance up to which two neutral shapes are taken for one person's; see `About`."""
        return self.about.threshold_mm

    @cached_property
    def canonical(self) -> np.ndarray:
        """(68, 2) where landmarks lie in a framed photo; see `canonical_landmarks`."""
        return canonical_landmarks(self.face_model)


def open_shipped(path: Path | None = None) -> TrainedNetwork:
    """Open a network that `recface export` wrote; by default the one that comes with the package.

    Raises:
        RecfaceError: The file is missing, damaged, or of another version of the suite.
    """
    path = path or SHIPPED
    arrays = read_arrays(path, remedy=_REMEDY)
    with guarded(path, "network", _REMEDY):
        told = json.loads(str(arrays.pop("about", np.array("{}"))))
        if wrong := mistakes(About, told):
            place, text = wrong[0]
            raise ValueError(f"{'.'.join(map(str, place))} {text}")
        about = About.model_validate(told)
        if array_checksum(arrays) != about.checksum:
            raise ValueError("its arrays are not those that it was written with")
        arrays |= {name: _decoded(arrays[name], step) / _unit(name, arrays) for name, step in about.steps.items()}
        albedo = AlbedoModel(**{name: torch.from_numpy(value) for name, value in _part(arrays, "albedo.").items()})
        face_model = from_content(_part(arrays, "face_model."), str(path))
        state = {name: torch.from_numpy(value) for name, value in _part(arrays, "network.").items()}
        variant = _network(about.model.model_dump(), about.image_size, face_model, albedo, state, path)
    return TrainedNetwork(variant, about)


def write_shipped(variant: Reconstruction, about: dict[str, Any], out: Path) -> Path:
    """Write a network to one file, the same bytes for the same network.

    Args:
        variant: The network.
        about: The fields of `About` but for `image_size`, `model`, `steps` and `checksum`.
        out: The file.
    """
    plain = plain_network(variant)
    parts = {"network": _predicting(plain), "face_model": to_content(plain.face_model)}
    parts["albedo"] = plain.albedo_model.state_dict()
    arrays = {f"{part}.{name}": np.asarray(value) for part, found in parts.items() for name, value in found.items()}
    steps = {name: step for name, array in arrays.items() if (step := _step(name, array)) is not None}
    arrays |= {name: _codes(arrays[name] * _unit(name, arrays), step) for name, step in steps.items()}
    told = About(
        **about,
        image_size=plain.config["scale"]["image_size"],
        model=ModelSettings(**plain.config["model"]),
        steps=steps,
        checksum=array_checksum(arrays),
    )
    with replacing(out) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in sorted((arrays | {"about": np.array(told.model_dump_json())}).items()):
            entry = zipfile.ZipInfo(f"{name}.npy")
            # A third less for bases, which are smooth over the mesh; nothing for weights, and slow.
            entry.compress_type = zipfile.ZIP_LZMA if name in BASES else zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)
    return out


def plain_network(variant: Reconstruction) -> Reconstruction:
    """The network alone, for predictions: what its face model has learned, and latents turned for it, are folded in."""
    face_model, turn = variant.exported()
    state = {key: value.detach().cpu() for key, value in _predicting(variant).items()}
    if turn is not None:
        head = "encoders.shape.head"
        state |= {f"{head}.{name}": turn.T @ state[f"{head}.{name}"] for name in ("weight", "bias")}
    size = variant.config["scale"]["image_size"]
    return _network(variant.config["model"], size, face_model, variant.albedo_model, state, "network")


def _network(
    model: Config, size: int, face_model: FaceModel, albedo: AlbedoModel, state: dict[str, Tensor], where: str | Path
) -> Reconstruction:
    config = {"model": model | {"weights": None}, "loss": {}, "scale": {"image_size": size}}
    variant = Baseline(config, face_model, albedo, num_identities=0, stage=2).eval().requires_grad_(False)
    require_same(state, _predicting(variant), where, _REMEDY)
    variant.load_state_dict(state, strict=False)
    return variant


def _predicting(variant: Reconstruction) -> dict[str, Tensor]:
    return {key: value for key, value in variant.state_dict().items() if key.startswith(("encoders.", "confidence."))}


def _part(arrays: dict[str, np.ndarray], beginning: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(beginning): array for name, array in arrays.items() if name.startswith(beginning)}


def _step(name: str, array: np.ndarray) -> float | None:
    """What an array is rounded to multiples of, None for one that stays as it is."""
    if name in BASES:
        return BASES[name][0]
    large = name.startswith("network.") and array.dtype.kind == "f" and array.size > LARGE
    steps = ALBEDO_STEPS if name.startswith("network.encoders.albedo.") else WEIGHT_STEPS
    return max(float(array.std()) / steps, 1e-12) if large else None


def _unit(name: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Factors of a basis's columns, which bring them to the unit of the step."""
    deviation = BASES.get(name, (0.0, None))[1]
    return np.ones(1, np.float32) if deviation is None else arrays[deviation]


def _codes(array: np.ndarray, step: float) -> np.ndarray:
    """Multiples (2, ...) of the step: low bytes, then high bytes, which compress far better apart."""
    codes = np.rint(array / step)
    if np.abs(codes).max(initial=0) > np.iinfo(np.int16).max:
        raise RecfaceError(f"network: an array reaches {np.abs(array).max():.3g}, beyond 32,767 steps of {step:.3g}")
    return np.moveaxis(codes.astype("<i2")[..., None].view(np.uint8), -1, 0).copy()


def _decoded(codes: np.ndarray, step: float) -> np.ndarray:
    """The array that `_codes` rounded, float32."""
    return np.moveaxis(codes, 0, -1).copy().view("<i2")[..., 0] * np.float32(step)
