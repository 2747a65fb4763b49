"""ICT-FaceKit's light-stage face model, converted without loss.

Li et al., "Learning formation of physically-based face attributes", CVPR 2020; MIT licence, USC Institute for Creative
Technologies.
"""

import os
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.caps import Cap, boundary_loops, cap_triangles, cap_vertices, eyeball, make_cap, pouch
from recface.face_model.linear import Whitening, orthogonalise
from recface.face_model.model import FLIP68, FaceModel, file_checksum
from recface.face_model.region import face_region, find_mirror

VERSION = 4
FILE = "ict_face.npz"
MM_PER_CM = 10.0
MIRROR_TOLERANCE_MM = 0.1  # measured: 0.052
EYE_RINGS, MOUTH_RINGS = 4, 2
_FIELDS = ("neutral_cm", "triangles", "identity_cm", "expression_cm", "expression_names", "landmarks68")


def locate(path: str | Path | None) -> Path:
    """Find ``ict_face.npz``: at ``path`` (the file, its folder, or the folder above), else under RECFACE_DATA.

    Raises:
        RecfaceError: it is not there.
    """
    root = path if path is not None else os.environ.get("RECFACE_DATA")
    if root is None:
        raise RecfaceError(
            f"face model 'ict' needs {FILE}: set face_model.path to it, or RECFACE_DATA to the folder of ict_face/"
        )
    for candidate in (Path(root), Path(root) / FILE, Path(root) / "ict_face" / FILE):
        if candidate.is_file():
            return candidate
    raise RecfaceError(f"face model 'ict': no {FILE} at {root}: set face_model.path (or RECFACE_DATA) to where it lies")


def read_source(path: str | Path | None) -> dict[str, np.ndarray]:
    """Read the source arrays, in float64 and centimetres as stored.

    Raises:
        RecfaceError: the file is missing or lacks a field.
    """
    file = locate(path)
    with np.load(file, allow_pickle=False) as archive:
        missing = [field for field in _FIELDS if field not in archive.files]
        if missing:
            raise RecfaceError(
                f"{file} lacks {', '.join(missing)}: it is not the ICT-FaceKit file face model 'ict' asks for"
            )
        source = {field: archive[field] for field in _FIELDS}
    return {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in source.items()}


def sources(path: str | Path | None) -> str:
    """Checksum of the source file."""
    return file_checksum([locate(path)])


def whitening(path: str | Path | None = None) -> Whitening:
    """Map from ICT's own identity coefficients to the whitened parameters of the built model."""
    source = read_source(path)
    caps = find_caps(MM_PER_CM * source["neutral_cm"], source["triangles"])
    offsets = cap_vertices(MM_PER_CM * source["identity_cm"], caps, displacement=True)
    return orthogonalise(offsets.reshape(len(offsets), -1))[2]


def find_caps(neutral: np.ndarray, triangles: np.ndarray) -> list[Cap]:
    """Caps for the two eyes and the mouth: every boundary of the mesh but the longest, which is the neck's rim.

    Args:
        neutral: (V, 3) in mm.
        triangles: (F, 3).
    """
    _, mouth, *eyes = boundary_loops(triangles)
    return [
        *(make_cap(neutral, eye, EYE_RINGS, eyeball, moves=False) for eye in eyes),
        make_cap(neutral, mouth, MOUTH_RINGS, pouch, moves=True),
    ]


def build(path: str | Path | None = None) -> FaceModel:
    """Convert ICT-FaceKit: mm, origin at the landmarks' mean, modes orthogonalised, eyes and mouth closed.

    Args:
        path: ``ict_face.npz`` or its folder; default under RECFACE_DATA.

    Returns:
        The face model: the 9,409 vertices of the source, then those of the caps; K = 100, E = 55.

    Raises:
        RecfaceError: the source is missing or incomplete.
    """
    source = read_source(path)
    caps = find_caps(MM_PER_CM * source["neutral_cm"], source["triangles"])
    count = len(source["neutral_cm"])
    neutral = cap_vertices(MM_PER_CM * source["neutral_cm"], caps)
    mirror = find_mirror(neutral, MIRROR_TOLERANCE_MM)
    landmarks = _repair_landmarks(source["landmarks68"].astype(np.int64), mirror)
    mean = neutral - neutral[landmarks].mean(axis=0)
    offsets = cap_vertices(MM_PER_CM * source["identity_cm"], caps, displacement=True)
    basis, sigma, _ = orthogonalise(offsets.reshape(len(offsets), -1))
    triangles = cap_triangles(source["triangles"], count, caps)
    expressions = cap_vertices(MM_PER_CM * source["expression_cm"], caps, expression=True)
    skin = np.arange(len(mean)) < count
    return FaceModel(
        mean=mean,
        triangles=triangles,
        identity_basis=basis,
        identity_sigma=sigma,
        expression_basis=expressions.reshape(len(expressions), -1).T,
        expression_names=source["expression_names"].tolist(),
        landmarks68=landmarks,
        mirror=mirror,
        face_mask=face_region(mean, triangles, landmarks, mirror, skin),
        name="ict",
        source="ICT-FaceKit face region (Li et al., CVPR 2020), USC Institute for Creative Technologies",
        licence="MIT",
    )


def _repair_landmarks(landmarks: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Replace landmarks that are not the mirror image of their partner by it (in the file, 67 lies at the temple)."""
    repaired = landmarks.copy()
    wrong = mirror[landmarks] != landmarks[FLIP68]
    left = wrong & (np.arange(68) > FLIP68)
    repaired[left] = mirror[landmarks[FLIP68[left]]]
    return repaired
