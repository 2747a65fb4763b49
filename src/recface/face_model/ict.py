"""ICT-FaceKit's light-stage face model, converted without loss, its eyes and mouth closed.

Li et al., "Learning formation of physically-based face attributes", CVPR 2020; MIT licence, USC Institute for Creative
Technologies. Its eyes are holes, and its mouth opens on nothing: caps close them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.linear import export_basis
from recface.face_model.model import FLIP68, FaceModel, file_checksum
from recface.face_model.surface import face_region, find_mirror
from recface.files.arrays import read_arrays

VERSION = 4
FILE = "ict_face.npz"
MM_PER_CM = 10.0
MIRROR_TOLERANCE_MM = 0.1  # measured: 0.052
EYE_RINGS, MOUTH_RINGS = 4, 2
_FIELDS = {
    "neutral_cm": ((9409, 3), "f"),
    "triangles": ((18460, 3), "iu"),
    "identity_cm": ((100, 9409, 3), "f"),
    "expression_cm": ((55, 9409, 3), "f"),
    "expression_names": ((55,), "U"),
    "landmarks68": ((68,), "iu"),
}
"""Shapes and NumPy kinds of the file's arrays."""


def locate(path: str | Path | None) -> Path:
    """Find `ict_face.npz`: at `path` (the file, its folder, or the folder above), else under RECFACE_DATA.

    Raises:
        RecfaceError: It is not there.
    """
    root = path if path is not None else os.environ.get("RECFACE_DATA")
    if root is None:
        raise RecfaceError(
            f"face model 'ict' needs {FILE}: set face_model.path to it, or RECFACE_DATA to the folder of ict_face/"
        )
    for candidate in (Path(root), Path(root) / FILE, Path(root) / "ict_face" / FILE):
        if candidate.is_file():
            return candidate
    raise RecfaceError(f"face model 'ict': no {FILE} at {root}: set face_model.path (or RECFACE_DATA) to its place")


def read_source(path: str | Path | None) -> dict[str, np.ndarray]:
    """Read the source arrays, in float64 and centimeters as stored.

    Raises:
        RecfaceError: The file is missing or damaged, lacks a field, or a field has another form.
    """
    file, remedy = locate(path), f"give face model 'ict' the {FILE} of ICT-FaceKit"
    source = read_arrays(file, *_FIELDS, remedy=remedy)
    if missing := [field for field in _FIELDS if field not in source]:
        raise RecfaceError(f"{file} lacks {', '.join(missing)}: {remedy}")
    for field, (shape, kinds) in _FIELDS.items():
        array = source[field]
        if array.shape != shape or array.dtype.kind not in kinds:
            raise RecfaceError(f"{file}: {field} is {array.dtype} {array.shape}, expected {shape}: {remedy}")
        if kinds == "f" and not np.isfinite(array).all():
            raise RecfaceError(f"{file}: {field} holds NaN or infinity: {remedy}")
        if kinds == "iu" and not 0 <= array.min() <= array.max() < len(source["neutral_cm"]):
            raise RecfaceError(f"{file}: {field} names vertices that are not there: {remedy}")
    return {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in source.items()}


def sources(path: str | Path | None) -> str:
    """Checksum of the source file."""
    return file_checksum([locate(path)])


def build(path: str | Path | None = None) -> FaceModel:
    """Convert ICT-FaceKit: mm, origin at the landmarks' mean, modes orthogonalized, eyes and mouth closed.

    The vertices are the 9,409 of the source, then those of the caps; K = 100, E = 55. `locate` explains the path.

    Raises:
        RecfaceError: The source is missing or incomplete.
    """
    source = read_source(path)
    caps = find_caps(MM_PER_CM * source["neutral_cm"], source["triangles"])
    count = len(source["neutral_cm"])
    neutral = cap_vertices(MM_PER_CM * source["neutral_cm"], caps)
    mirror = find_mirror(neutral, MIRROR_TOLERANCE_MM)
    landmarks = _repair_landmarks(source["landmarks68"].astype(np.int64), mirror)
    mean = neutral - neutral[landmarks].mean(axis=0)
    offsets = cap_vertices(MM_PER_CM * source["identity_cm"], caps, displacement=True)
    basis, sigma, _ = export_basis(offsets.reshape(len(offsets), -1).T, np.eye(len(offsets)))
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
    """Replace each landmark that is not its partner's mirror image by that image (in the file, 67 is at the temple)."""
    repaired = landmarks.copy()
    wrong = mirror[landmarks] != landmarks[FLIP68]
    left = wrong & (np.arange(68) > FLIP68)
    repaired[left] = mirror[landmarks[FLIP68[left]]]
    return repaired


def find_caps(neutral: np.ndarray, triangles: np.ndarray) -> list[Cap]:
    """Caps for the two eyes and the mouth: every boundary of the mesh but the longest, which is the neck's rim."""
    _, mouth, *eyes = loops = boundary_loops(triangles)
    if len(loops) != 4:
        raise RecfaceError(
            f"face model 'ict': {len(loops)} holes in the mesh; {FILE} has the neck's, mouth's and eyes'"
        )
    return [
        *(make_cap(neutral, eye, EYE_RINGS, eyeball, moves=False) for eye in eyes),
        make_cap(neutral, mouth, MOUTH_RINGS, pouch, moves=True),
    ]


@dataclass(frozen=True)
class Cap:
    """Vertices that close one rim: a stack of shrinking rings inside it.

    Every new vertex is a fixed affine function of the rim, so that a linear model stays linear.
    """

    rim: np.ndarray  # (R,) vertices of the rim, in order
    weights: np.ndarray  # (N, R) each new vertex as a mixture of rim vertices; rows sum to 1
    offset: np.ndarray  # (N, 3) added to the mixture, in mm
    triangles: np.ndarray  # (F, 3); index < R means rim vertex, index - R a new vertex
    moves: bool  # whether expressions carry the cap along (the mouth) or leave it in place (eyeballs under the lids)


def boundary_loops(triangles: np.ndarray) -> list[np.ndarray]:
    """Closed boundaries of a manifold mesh, as vertices in the direction of its triangles' edges, longest first."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    known = set(map(tuple, edges.tolist()))
    following = {a: b for a, b in known if (b, a) not in known}
    loops = []
    while following:
        start = min(following)
        loop = [start]
        while (vertex := following.pop(loop[-1])) != start:
            loop.append(vertex)
        loops.append(np.array(loop))
    return sorted(loops, key=len, reverse=True)


# Height (N,) of a cap's surface at points (N, 3), given the rim's points (R, 3).
Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]


def eyeball(points: np.ndarray, rim: np.ndarray, radius: float = 12.5) -> np.ndarray:
    """Height of an eyeball that touches the lids from behind; a human eye has a radius of 12 mm."""
    center = rim.mean(axis=0)[:2]

    def dome(at: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(radius**2 - ((at[:, :2] - center) ** 2).sum(axis=1), 0.0))

    return dome(points) + (rim[:, 2] - dome(rim)).min()


def pouch(points: np.ndarray, rim: np.ndarray, depth: float = 20.0) -> np.ndarray:
    """Height of a flat floor behind the lips, (N,), `depth` mm behind the rearmost point of the rim."""
    return np.full(len(points), rim[:, 2].min() - depth)


def make_cap(vertices: np.ndarray, rim: np.ndarray, rings: int, surface: Surface, moves: bool) -> Cap:
    """Fill a rim (R,) from `boundary_loops` with rings that shrink to a point: rings * R + 1 new vertices. Ours.

    On the mean shape (V, 3) in mm they lie on a surface, such as `eyeball`.
    """
    size = len(rim)
    shrink = np.arange(1, rings + 1) / (rings + 1)
    ring_weights = [(1 - s) * np.eye(size) + s / size for s in shrink]
    weights = np.concatenate([*ring_weights, np.full((1, size), 1 / size)])
    mixture = weights @ vertices[rim]
    offset = np.zeros_like(mixture)
    offset[:, 2] = surface(mixture, vertices[rim]) - mixture[:, 2]

    here, after = np.arange(size), np.roll(np.arange(size), -1)
    triangles = []
    for ring in range(rings):
        outer, inner = ring * size, (ring + 1) * size
        # The mesh uses each rim edge forwards; a neighbor must use it backwards.
        triangles += [np.stack([after + outer, here + outer, here + inner], axis=1)]
        triangles += [np.stack([after + outer, here + inner, after + inner], axis=1)]
    point = np.full(size, (rings + 1) * size)
    triangles.append(np.stack([after + rings * size, here + rings * size, point], axis=1))
    return Cap(rim, weights, offset, np.concatenate(triangles), moves)


def cap_vertices(
    shapes: np.ndarray, caps: list[Cap], displacement: bool = False, expression: bool = False
) -> np.ndarray:
    """Append the caps' vertices to shapes (..., V, 3); displacements get no offset, expressions only caps that move."""
    parts = [shapes]
    for cap in caps:
        part = np.einsum("nr,...rc->...nc", cap.weights, shapes[..., cap.rim, :])
        if expression and not cap.moves:
            part = np.zeros_like(part)
        parts.append(part if displacement or expression else part + cap.offset)
    return np.concatenate(parts, axis=-2)


def cap_triangles(triangles: np.ndarray, count: int, caps: list[Cap]) -> np.ndarray:
    """Append the caps' triangles to those of a mesh with `count` vertices, (F + new, 3)."""
    parts, next_vertex = [triangles], count
    for cap in caps:
        new = np.arange(next_vertex, next_vertex + len(cap.weights))
        parts.append(np.concatenate([cap.rim, new])[cap.triangles])
        next_vertex += len(new)
    return np.concatenate(parts)
