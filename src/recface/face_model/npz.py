"""The one .npz schema of face models: reading, writing and checking files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.model import FaceModel
from recface.files.arrays import read_arrays
from recface.files.atomic import write_arrays
from recface.files.guard import plain_name

SCHEMA_VERSION = 1
# Field -> (dimensions, NumPy kinds allowed). A letter is a free size that must agree between fields.
SCHEMA: dict[str, tuple[tuple[str | int, ...], str]] = {
    "mean": (("V", 3), "f"),
    "triangles": (("F", 3), "iu"),
    "identity_basis": (("3V", "K"), "f"),
    "identity_sigma": (("K",), "f"),
    "expression_basis": (("3V", "E"), "f"),
    "expression_names": (("E",), "U"),
    "landmarks68": ((68,), "iu"),
    "mirror": (("V",), "iu"),
    "face_mask": (("V",), "b"),
    "name": ((), "U"),
    "source": ((), "U"),
    "licence": ((), "U"),
}
# Fields that a file may lack.
OPTIONAL: dict[str, tuple[tuple[str | int, ...], str]] = {
    "latent_radius": ((), "f"),
    "mirror_residual": ((), "f"),
    "landmark_vertices": ((68, 3), "iu"),
    "landmark_weights": ((68, 3), "f"),
    "expression_sigma": (("E",), "f"),
    "own_identity": (("L", "K"), "f"),
    "albedo_mean": (("V", 3), "f"),
    "albedo_basis": (("3V", "A"), "f"),
    "albedo_sigma": (("A",), "f"),
}
TOGETHER = (("landmark_vertices", "landmark_weights"), ("albedo_mean", "albedo_basis", "albedo_sigma"))
NUMBERS = ("latent_radius", "mirror_residual")
_KINDS = {"f": "float", "iu": "integer", "U": "string", "b": "bool"}
_REMEDY = "rebuild it with recface.face_model.save, whose schema is recface.face_model.npz.SCHEMA"
ORTHONORMAL_TOLERANCE = 1e-3
WEIGHTS_TOLERANCE = 1e-3
LEARNED_FILE = "sfm.npz"
"""Under this name a run's folder keeps a face model that it learned."""
RADIUS_TOLERANCE = 0.01
SMALLEST_MM, LARGEST_MM = 40.0, 2000.0  # of a face or head, from end to end


def build(path: str | Path | None) -> FaceModel:
    """Builder of face models given as a file: `load`, which needs a path."""
    if path is None:
        raise RecfaceError("face model 'npz' needs a file: set face_model.path to an .npz in our schema")
    return load(path)


def load(path: str | Path) -> FaceModel:
    """Read a face model and check it against the schema.

    Args:
        path: An .npz file written by `save`, or by anyone who follows `SCHEMA`.

    Returns:
        The face model.

    Raises:
        RecfaceError: The file is missing, is not an npz file, or breaks the schema.
    """
    path = Path(path)
    if not path.is_file():
        raise RecfaceError(f"face model file {path} does not exist: set face_model.path to an .npz in our schema")
    return from_content(read_arrays(path, remedy=_REMEDY), str(path))


def from_content(content: Mapping[str, np.ndarray], where: str) -> FaceModel:
    """The face model of a file's arrays, checked as by `validate`, whose arguments and errors these are."""
    validate(content, where)
    plain_name(str(content["name"]), f"{where}: field 'name'")  # caches are named after it
    fields: dict[str, Any] = {field: content[field] for field in (*SCHEMA, *OPTIONAL) if field in content}
    for text in ("name", "source", "licence"):
        fields[text] = str(fields[text])
    fields["expression_names"] = fields["expression_names"].tolist()
    return FaceModel(**fields | {field: float(content[field]) for field in NUMBERS if field in content})


def to_content(model: FaceModel) -> dict[str, Any]:
    """The arrays of a face model's file, by field."""
    content: dict[str, Any] = {
        **model.arrays(),
        "expression_names": np.array(model.expression_names, dtype=np.str_),
        "name": np.str_(model.name),
        "source": np.str_(model.source),
        "licence": np.str_(model.licence),
        "schema_version": np.int64(SCHEMA_VERSION),
    }
    numbers = {field: getattr(model, field) for field in NUMBERS}
    return content | {field: np.float64(value) for field, value in numbers.items() if value is not None}


def save(model: FaceModel, path: str | Path) -> Path:
    """Write a face model, replacing `path` atomically; return the path."""
    write_arrays(path, to_content(model))
    return Path(path)


def validate(content: Mapping[str, np.ndarray], where: str) -> None:
    """Check arrays against the schema: fields, types, shapes, index ranges, and the promises about the bases.

    Args:
        content: Arrays by field name.
        where: Their name in messages, usually the file's path.

    Raises:
        RecfaceError: A field breaks the schema.
    """

    def fail(field: str, expected: str, found: str) -> NoReturn:
        raise RecfaceError(f"{where}: field '{field}' expected {expected}, found {found}; {_REMEDY}")

    sizes = {"V": len(content["mean"])} if np.ndim(content.get("mean", 0)) == 2 else {}
    parts = {part for group in TOGETHER if not content.keys().isdisjoint(group) for part in group}
    present = {field: form for field, form in OPTIONAL.items() if field in content or field in parts}
    for field, (dimensions, kinds) in (SCHEMA | present).items():
        described = "(" + ", ".join(map(str, dimensions)) + ")"
        if field not in content:
            fail(field, f"shape {described} of {_KINDS[kinds]}", "nothing")
        array = np.asarray(content[field])
        if array.dtype.kind not in kinds:
            fail(field, f"type {_KINDS[kinds]}", f"type {array.dtype}")
        expected = _resolve(dimensions, array.shape, sizes)
        if array.shape != expected:
            known = f" = {expected}" if "None" not in str(expected) else ""
            fail(field, f"shape {described}{known}", f"shape {array.shape}")
        if kinds == "f" and not np.isfinite(array).all():
            fail(field, "finite numbers", "NaN or infinity")
    extent = float(np.ptp(np.asarray(content["mean"]), axis=0).max(initial=0.0))
    if not SMALLEST_MM <= extent <= LARGEST_MM:
        fail("mean", f"millimeters ({SMALLEST_MM:g} to {LARGEST_MM:g} from end to end)", f"{extent:.3g}")
    for field in ("triangles", "landmarks68", "mirror", "landmark_vertices"):
        array = np.asarray(content.get(field, 0))
        if array.size and (array.min() < 0 or array.max() >= sizes["V"]):
            fail(field, f"indices in 0..{sizes['V'] - 1}", f"{array.min()}..{array.max()}")
    mirror = np.asarray(content["mirror"])
    if breaks := (mirror[mirror] != np.arange(sizes["V"])).sum():
        fail("mirror", "an involution (mirror[mirror[v]] == v)", f"{breaks} breaks")
    for field in ("identity", "albedo") if "albedo_basis" in content else ("identity",):
        sigma = np.asarray(content[f"{field}_sigma"])
        if (sigma <= 0).any() or (np.diff(sigma) > 0).any():
            found = np.array2string(sigma[:5], precision=3)
            fail(f"{field}_sigma", "positive values in descending order", found)
        basis = np.asarray(content[f"{field}_basis"], dtype=np.float64)
        error = np.abs(basis.T @ basis - np.eye(basis.shape[1])).max(initial=0.0)
        if error > ORTHONORMAL_TOLERANCE:
            fail(f"{field}_basis", f"orthonormal columns (to {ORTHONORMAL_TOLERANCE:g})", f"an error of {error:.3g}")
    if (smallest := np.min(content.get("expression_sigma", 1.0), initial=1.0)) <= 0:
        fail("expression_sigma", "positive values", f"{smallest:.3g}")
    weights = np.asarray(content.get("landmark_weights", 1 / 3 * np.ones((68, 3))), dtype=np.float64)
    if (error := np.abs(weights.sum(axis=1) - 1).max()) > WEIGHTS_TOLERANCE:
        fail("landmark_weights", f"rows that sum to 1 (to {WEIGHTS_TOLERANCE:g})", f"an error of {error:.3g}")
    if "latent_radius" in content:  # whitened parameters have a mean square of 1, and so a norm of sqrt(K)
        radius, expected_radius = float(content["latent_radius"]), np.sqrt(len(content["identity_sigma"]))
        if abs(radius / expected_radius - 1) > RADIUS_TOLERANCE:
            fail("latent_radius", f"sqrt(K) = {expected_radius:.4g} (to {RADIUS_TOLERANCE:.0%})", f"{radius:.4g}")


def _resolve(
    dimensions: tuple[str | int, ...], found: tuple[int, ...], sizes: dict[str, int]
) -> tuple[int | None, ...]:
    """Turn the schema's letters into numbers; a letter met for the first time takes the size found and keeps it."""
    if len(dimensions) != len(found):
        return tuple(size if isinstance(size, int) else sizes.get(size) for size in dimensions)
    resolved = []
    for dimension, size in zip(dimensions, found, strict=True):
        if dimension == "3V":
            dimension = 3 * sizes["V"]
        resolved.append(dimension if isinstance(dimension, int) else sizes.setdefault(dimension, size))
    return tuple(resolved)
