"""Carrying landmarks from one face mesh to another by non-rigid alignment.

Used once, to place the 68 landmarks of the MakeHuman head from those of ICT-FaceKit; the result, corrected by eye,
ships as JSON.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix, diags, identity
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from recface.face_model.model import FLIP68

# Stiff first, soft last: the shape comes into reach before it may bend.
STIFFNESS = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0)


def graph_laplacian(triangles: np.ndarray, count: int):
    """Uniform graph Laplacian I - D^-1 A of a mesh.

    Args:
        triangles: (F, 3).
        count: number of vertices V.

    Returns:
        Sparse (V, V); rows of vertices without neighbours are zero.
    """
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = coo_matrix((np.ones(len(both)), both.T), shape=(count, count)).tocsr()
    adjacency.data[:] = 1.0
    degree = np.asarray(adjacency.sum(axis=1)).ravel()
    inverse = np.divide(1.0, degree, out=np.zeros(count), where=degree > 0)
    return (diags((degree > 0).astype(float)) - diags(inverse) @ adjacency).tocsr()


def unit_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted vertex normals, (V, 3) of unit length."""
    corners = vertices[triangles]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], face)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def deform(
    source: np.ndarray,
    source_triangles: np.ndarray,
    target: np.ndarray,
    target_triangles: np.ndarray,
    pins: tuple[Sequence[int], np.ndarray],
    stiffness: Sequence[float] = STIFFNESS,
    reach: float = 15.0,
) -> np.ndarray:
    """Bend a mesh onto another: non-rigid ICP on displacements with a Laplacian penalty.

    In every round each vertex looks for the nearest target vertex whose normal agrees (within 60 degrees); then the
    displacements d minimise sum_v w_v |v + d_v - target_v|^2 + stiffness |L d|^2, with strong weights on the pinned
    points.

    Args:
        source: (V, 3) vertices, roughly aligned with the target already.
        source_triangles: (F, 3).
        target: (W, 3) vertices.
        target_triangles: (G, 3).
        pins: source vertices known by hand (P,), and where they belong (P, 3).
        stiffness: one value a round, descending.
        reach: correspondences further away than this are dropped.

    Returns:
        (V, 3) the bent source.
        Source: in the spirit of Amberg et al., "Optimal step nonrigid ICP", CVPR 2007, with a Laplacian in place of its
            affine term.
    """
    laplacian = graph_laplacian(source_triangles, len(source))
    smooth = laplacian.T @ laplacian
    tree, target_normals = cKDTree(target), unit_normals(target, target_triangles)
    pinned, places = np.asarray(pins[0]), np.asarray(pins[1], dtype=np.float64)
    bent = source.astype(np.float64).copy()
    for round_, value in enumerate((stiffness[0], *stiffness)):
        weight = np.zeros(len(source))
        goal = bent.copy()
        if round_ > 0:  # the first round follows the pins alone
            distance, nearest = tree.query(bent)
            agree = (unit_normals(bent, source_triangles) * target_normals[nearest]).sum(axis=1) > 0.5
            weight = (agree & (distance < reach)).astype(np.float64)
            goal = target[nearest]
        weight[pinned], goal[pinned] = 100.0, places
        system = diags(weight) + value * smooth + 1e-6 * identity(len(source))
        bent = source + splu(system.tocsc()).solve(weight[:, None] * (goal - source))
    return bent


def snap(points: np.ndarray, vertices: np.ndarray, candidates: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Replace 68 points by vertices of a symmetric mesh, keeping left and right symmetric.

    Each pair of points is averaged with its mirror image; midline points go to midline vertices.

    Args:
        points: (68, 3).
        vertices: (V, 3) of a mesh symmetric about x = 0.
        candidates: (V,) bool, vertices allowed.
        mirror: (V,) mirror map.

    Returns:
        (68,) int64 with ``mirror[result] == result[FLIP68]``.
    """
    balanced = 0.5 * (points + points[FLIP68] * (-1.0, 1.0, 1.0))
    middle = mirror == np.arange(len(vertices))
    result = np.empty(68, dtype=np.int64)
    for index in range(68):
        partner = FLIP68[index]
        if partner < index:
            result[index] = mirror[result[partner]]
            continue
        allowed = np.flatnonzero(candidates & (middle if partner == index else ~middle))
        result[index] = allowed[np.linalg.norm(vertices[allowed] - balanced[index], axis=1).argmin()]
    return result
