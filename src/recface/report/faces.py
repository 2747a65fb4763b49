"""Draws a comparison: people, their photos under each condition, and each method's shapes with error maps."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from recface.data.benchmark import Benchmark
from recface.data.benchmark.scene import named_conditions
from recface.data.framing import canonical_landmarks
from recface.data.sources import manifest_source
from recface.errors import RecfaceError
from recface.face_model import FaceModel, get
from recface.face_model.albedo import AlbedoModel
from recface.figures.comparison_page import FULL_MM, TILE, distance_colors, shape_tile
from recface.files.checkpoints import load_state
from recface.metrics.functional import align
from recface.report.comparison import BETWEEN, KINDS, SHAPE, TRUTH, Comparison, Person, Tile
from recface.results.evaluate import run_model
from recface.results.records import Entry

PLAIN = "plain"
STEP_MM = 0.01
"""Meshes are stored as whole multiples of this, which 16 bits hold up to 327 mm."""
MOST_METHODS = 9
"""Methods in one comparison."""


def draw_rendered(title: str, folder: Path, methods: Mapping[str, Entry], people: int) -> Comparison:
    """Draw what `rendered_comparison` describes, from a benchmark's folder in the cache."""
    first = next(iter(methods.values())).record
    try:
        albedo = AlbedoModel(**load_state(folder / "albedo_model.pt"))
    except RecfaceError as error:
        return Comparison(title, notes=[f"{error}."])
    bench = Benchmark(folder, str(first.data_manifest), albedo)
    result, models = _opened(title, methods)
    if not models:
        return result
    labels, images = bench.labels("test"), bench.images("test")
    truth_model = get(str(first.config["face_model"]["name"]), first.config["face_model"].get("path"))
    named = named_conditions(labels)
    named = {PLAIN: named.pop(PLAIN)} | named
    columns, chosen = choose_people(named, labels["identity"], people)
    result.columns = [name.replace("_", " ") for name in columns]
    result.triangles = _base64(truth_model.triangles.numpy().astype(np.uint16))
    result.region = _base64(truth_model.face_mask.numpy().astype(np.uint8))
    parameters = {name: methods[name].arrays("test_parameters")["test_parameters"] for name in models}
    for photos in chosen:
        true = truth_model.shape(torch.from_numpy(labels["identity_parameters"][photos[:1]]).float())[0]
        name = f"Person {labels['identity'][photos[0]]}"
        pictures = [_photo(*item) for item in _named(images[photos], name, result.columns)]
        person = Person(name, pictures, _tile(shape_tile(truth_model, true), f"{name}: true shape", "true shape"))
        shapes = {key: shapes_of(models[key], array[photos]) for key, array in parameters.items()}
        _add_methods(person, result.columns, models, shapes, true)
        person.meshes["truth"] = _quantized(true)
        result.people.append(person)
    return result


def draw_real(title: str, folder: Path, methods: Mapping[str, Entry], people: int) -> Comparison:
    """Draw what `real_comparison` describes, from a folder of photographs."""
    first = next(iter(methods.values())).record
    result, models = _opened(title, methods)
    if not models:
        return result
    size = int(first.config["scale"]["image_size"])
    try:
        source = manifest_source(folder, canonical_landmarks(next(iter(models.values()))), size, name="photos")
    except RecfaceError as error:
        return Comparison(title, notes=[f"{error}."])
    arrays = {name: methods[name].arrays("photos_") for name in models}
    stored = next(iter(arrays.values()))
    identity, neutral = stored["photos_identity"], stored["photos_expression"].astype(bool)
    if any(len(array["photos_parameters"]) != len(source) for array in arrays.values()):
        return Comparison(title, notes=[f"{folder} holds other photographs than the runs have seen."])
    result.columns, chosen = choose_people({"neutral": neutral, "other expression": ~neutral}, identity, people)
    for photos in chosen:
        name = f"Person {identity[photos[0]] + 1}"
        images = source.images[np.array(photos)]
        person = Person(name, [_photo(*item) for item in _named(images, name, result.columns)])
        shapes = {key: shapes_of(models[key], array["photos_parameters"][photos]) for key, array in arrays.items()}
        _add_methods(person, result.columns, models, shapes, None)
        result.people.append(person)
    return result


def choose_people(
    conditions: Mapping[str, np.ndarray], identity: np.ndarray, people: int
) -> tuple[list[str], list[list[int]]]:
    """Pick photos by rule rather than by eye: the first people with a photo under each condition, of that alone if any.

    Where nobody has all, conditions are those of the first person who has the most.

    Args:
        conditions: Name to (N,) bool.
        identity: (N,) of the photos.
        people: The most people.

    Returns:
        Names of the conditions; for each person the index of a photo for each of them.
    """
    count = np.sum(list(conditions.values()), axis=0)
    under = {
        person: {name: np.flatnonzero((identity == person) & chosen) for name, chosen in conditions.items()}
        for person in np.unique(identity).tolist()
    }
    most = max(under.values(), key=lambda own: sum(photos.size > 0 for photos in own.values()))
    columns = [name for name, photos in most.items() if photos.size]
    found = [
        [int(own[name][np.argmin(count[own[name]])]) for name in columns]
        for own in under.values()
        if all(own[name].size for name in columns)
    ]
    return columns, found[:people]


def shapes_of(model: FaceModel, parameters: np.ndarray) -> Tensor:
    """Neutral shapes (N, V, 3) in mm of parameters (N, K); modes that were not stored are 0."""
    padded = torch.zeros(len(parameters), model.num_identity)
    padded[:, : parameters.shape[1]] = torch.from_numpy(parameters.astype(np.float32))
    return model.shape(padded)


def _opened(title: str, methods: Mapping[str, Entry]) -> tuple[Comparison, dict[str, FaceModel]]:
    """An empty comparison and the methods' face models; a note names those whose model cannot be had."""
    result = Comparison(title, step_mm=STEP_MM, full_mm=FULL_MM)
    models: dict[str, FaceModel] = {}
    open_model = functools.cache(get)
    for name, entry in methods.items():
        if len(models) == MOST_METHODS:
            break
        try:
            models[name] = open_model(*run_model(entry.record, entry.path.parent))
        except RecfaceError as error:
            result.notes.append(f"{name} is not drawn: {error}.")
    return result, models


def _add_methods(
    person: Person,
    columns: Sequence[str],
    models: Mapping[str, FaceModel],
    shapes: Mapping[str, Tensor],
    true: Tensor | None,
) -> None:
    for name, found in shapes.items():
        model, tiles = models[name], []
        for column, shape in zip(columns, found, strict=True):
            about = f"{person.name}, {column}, {name}"
            pictures = {SHAPE: _tile(shape_tile(model, shape), f"{about}: neutral shape")}
            for kind, other in ((TRUTH, true), (BETWEEN, found[0])):
                if other is not None and other.shape == shape.shape:
                    colors, mean = distance_colors(other, shape, model.face_mask)
                    words = f"{about}: {KINDS[kind]}, mean {mean:.2f} mm"
                    pictures[kind] = _tile(shape_tile(model, other, colors), words, f"{mean:.2f} mm")
            tiles.append(pictures)
        person.methods[name] = tiles
        if true is not None and true.shape == found[0].shape:
            person.meshes[name] = [_quantized(_placed(shape, true, model.face_mask)) for shape in found]


def _placed(shape: Tensor, true: Tensor, mask: Tensor) -> Tensor:
    """A whole shape (V, 3) moved by the similarity that aligns its face region to the true one's."""
    fitted = align(shape[None, mask], true[None, mask])[0]
    # The similarity is linear: solve it from the region, and apply it to the head around it.
    ones = torch.ones(int(mask.sum()), 1)
    solved = torch.linalg.lstsq(torch.cat([shape[mask], ones], 1).double(), fitted.double()).solution
    return (torch.cat([shape, torch.ones(len(shape), 1)], 1).double() @ solved).float()


def _quantized(shape: Tensor) -> str:
    return _base64((shape / STEP_MM).round().clamp(-32767, 32767).numpy().astype("<i2"))


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _photo(pixels: np.ndarray, text: str) -> Tile:
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    return _tile(image.resize((TILE, TILE), Image.Resampling.BICUBIC), text)


def _named(images: np.ndarray, person: str, columns: Sequence[str]) -> list[tuple[np.ndarray, str]]:
    return [(image, f"{person}, {column}: photo") for image, column in zip(images, columns, strict=True)]


def _tile(image: Image.Image, text: str, note: str = "") -> Tile:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=82)
    return Tile(f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}", text, note)
