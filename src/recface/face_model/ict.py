"""The face of ICT-FaceKit's light-stage model, converted without loss, its eyes and mouth closed.

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
from recface.files.guard import is_file
from recface.files.json_files import read_json
from recface.files.meshes import read_mesh

VERSION = 5
FILE = "ict_face.npz"
NEUTRAL, INDICES = "generic_neutral_mesh.obj", "vertex_indices.json"
FACE_VERTICES = 9409
"""The first vertices of the official OBJ files are the face; head, mouth and eyes follow."""
MORE_EXPRESSIONS = ("cheekRaiser_L", "cheekRaiser_R")
"""OBJ files beside those that the list of expressions names."""
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
    """Find the model: `ict_face.npz`, or the folder FaceXModel of ICT-FaceKit, whose neutral mesh stands for it.

    Args:
        path: One of these files, its folder, or the folder above; None for the environment variable RECFACE_DATA.

    Raises:
        RecfaceError: It is not there.
    """
    root = path if path is not None else os.environ.get("RECFACE_DATA")
    if root is None:
        raise RecfaceError(
            f"face model 'ict' needs {FILE}: set face_model.path to it, or RECFACE_DATA to the folder of ict_face/"
        )
    for candidate in (".", FILE, f"ict_face/{FILE}", NEUTRAL, f"FaceXModel/{NEUTRAL}"):
        if is_file(place := Path(root) / candidate):
            return place
    raise RecfaceError(
        f"face model 'ict': no {FILE} at {root}: set face_model.path (or RECFACE_DATA) to its place, or to the folder "
        "FaceXModel of github.com/ICT-VGL/ICT-FaceKit"
    )


def read_source(path: str | Path | None) -> dict[str, np.ndarray]:
    """Read the source arrays, in float64 and centimeters as stored.

    Raises:
        RecfaceError: A file is missing or damaged, lacks a field, or a field has another form.
    """
    place = locate(path)
    return read_meshes(place.parent) if place.name == NEUTRAL else read_npz(place)


def read_meshes(folder: Path) -> dict[str, np.ndarray]:
    """The face of the official OBJ files, in the form of `read_npz`.

    Raises:
        RecfaceError: A file is missing or damaged, or of another topology.
    """
    neutral, triangles = read_mesh(folder / NEUTRAL)
    count, indices = min(FACE_VERTICES, len(neutral)), read_json(folder / INDICES, remedy="download ICT-FaceKit again")
    names, marks = indices.get("expressions"), np.asarray(indices.get("idx_to_landmark_verts"))
    if not (isinstance(names, list) and all(isinstance(name, str) and name.isidentifier() for name in names)):
        names = []
    if not names or marks.shape != (68,) or marks.dtype.kind != "i" or not 0 <= marks.min() <= marks.max() < count:
        raise RecfaceError(f"{folder / INDICES}: expressions and 68 landmarks expected; download ICT-FaceKit again")
    names = sorted({*names, *(name for name in MORE_EXPRESSIONS if is_file(folder / f"{name}.obj"))})
    identities = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))
    if triangles is None or not identities or not np.isfinite(neutral).all():
        raise RecfaceError(f"{folder}: no polygons or vertices, or no identity000.obj; download ICT-FaceKit again")

    def offsets(files: list[Path]) -> np.ndarray:
        found = []
        for file in files:
            vertices, _ = read_mesh(file)
            if vertices.shape != neutral.shape or not np.isfinite(vertices).all():
                raise RecfaceError(
                    f"{file}: {len(vertices):,} vertices, {NEUTRAL} has {len(neutral):,}; download it again"
                )
            found.append((vertices - neutral)[:count])
        return np.stack(found)

    return {
        "neutral_cm": neutral[:count],
        "triangles": triangles[(triangles < count).all(axis=1)],
        "identity_cm": offsets(identities),
        "expression_cm": offsets([folder / f"{name}.obj" for name in names]),
        "expression_names": np.array(names),
        "landmarks68": marks,
    }


def read_npz(file: Path) -> dict[str, np.ndarray]:
    """The arrays of `ict_face.npz`.

    Raises:
        RecfaceError: The file is missing or damaged, lacks a field, or a field has another form.
    """
    remedy = f"give face model 'ict' the {FILE} of ICT-FaceKit"
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
    """Checksum of the source files."""
    place = locate(path)
    beside = [place.parent / INDICES, *sorted(place.parent.glob("*.obj"))] if place.name == NEUTRAL else [place]
    return file_checksum([file for file in beside if is_file(file)])


def build(path: str | Path | None = None) -> FaceModel:
    """Convert ICT-FaceKit: mm, origin at the landmarks' mean, modes orthogonalized, eyes and mouth closed.

    The vertices are the 9,409 of the face, then those of the caps; K = 100, E = 55. `locate` explains the path.

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
    basis, sigma, own = export_basis(offsets.reshape(len(offsets), -1).T, np.eye(len(offsets)))
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
        face_mask=face_region(mean, triangles, mean[landmarks], mirror, skin),
        name="ict",
        source="ICT-FaceKit face region (Li et al., CVPR 2020), USC Institute for Creative Technologies",
        licence="MIT",
        own_identity=own,
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
    loops = boundary_loops(triangles)
    if len(loops) != 4:
        raise RecfaceError(
            f"face model 'ict': {len(loops)} holes in the mesh; {FILE} has the neck's, mouth's and eyes'"
        )
    _, mouth, *eyes = loops
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
    """Closed boundaries of a manifold mesh, as vertices in the direction of its triangles' edges, longest first.

    Raises:
        RecfaceError: A boundary does not close.
    """
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    known = set(map(tuple, edges.tolist()))
    following = {a: b for a, b in known if (b, a) not in known}
    loops = []
    while following:
        start = min(following)
        loop = [start]
        while (vertex := following.pop(loop[-1], None)) != start:
            if vertex is None:
                raise RecfaceError("face model 'ict': a rim of the mesh does not close; download ICT-FaceKit again")
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
