"""Non-rigid ICP: a mesh is bent onto points, neighbors by nearly the same affine map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import igl
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from recface.errors import RecfaceError

FREE = 4
"""Points, off one plane, that determine an affine map."""


@dataclass(frozen=True)
class Stage:
    """One stiffness of the schedule."""

    stiffness: float  # weight of the difference between neighbors' affine maps
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """(4,) of that difference's parts: those of x, y, z, and the translation."""
    tolerance: float = 1.0  # change of all affine maps, as a Frobenius norm, at which the stage ends
    steps: int = 100  # at most so many
    points: bool = True  # whether nearest points pull; else keypoints alone


@dataclass(frozen=True)
class Keypoints:
    """Vertices that are to come to known places."""

    rows: np.ndarray  # (N,) of the mesh; of a row that is there twice, the last counts
    target: np.ndarray  # (N, 3)
    first: float  # weight in the first step
    later: float  # weight in the second step, times `decay`; with each further step it falls by `decay` again
    decay: float  # in (0, 1]


def bend(
    vertices: np.ndarray,
    triangles: np.ndarray,
    points: np.ndarray,
    stages: tuple[Stage, ...],
    keypoints: Keypoints | None = None,
) -> np.ndarray:
    """Bend a mesh onto a cloud of points: each vertex is moved towards the point nearest to it.

    Each step solves for an affine map a vertex, 3 x 4, that takes vertices to their points while the maps at both ends
    of an edge differ little. Points further than twice the mean distance, and than one unit, do not pull.

    Source: Amberg et al. 2007, "Optimal step nonrigid ICP algorithms for surface registration", without normals and
    borders; what a step does and when a stage ends is as in the public code of REALY.

    Args:
        vertices: (V, 3); tolerances and distances are in their unit.
        triangles: (F, 3).
        points: (N, 3) to bend onto.
        stages: From stiff to soft.
        keypoints: Known places, or None.

    Returns:
        (V, 3) float64, where the vertices come to lie.

    Raises:
        RecfaceError: A connected part of the mesh is held by fewer than four points and keypoints.
    """
    moved, tree = np.asarray(vertices, np.float64), cKDTree(points)
    edges = _incidence(triangles, len(moved))
    last, maps = np.zeros((4 * len(moved), 3)), np.ones((4 * len(moved), 3))
    pulls, parts = _pulls(keypoints, len(moved)), connected_components(edges.T @ edges, directed=False)[1]
    for stage in stages:
        stiff = stage.stiffness**2 * sparse.kron(edges.T @ edges, np.diag(np.square(stage.weights)))
        for _ in range(stage.steps):
            if np.linalg.norm(maps - last) <= stage.tolerance:
                break
            distance, nearest = tree.query(moved)
            weight = (distance < max(2 * distance.mean(), 1.0)) * float(stage.points)
            target, pull = next(pulls)
            square = weight**2 + pull**2
            if np.bincount(parts, square > 0).min() < FREE:
                raise RecfaceError("non-rigid ICP: too few points and keypoints lie near a part of the mesh")
            aim = weight[:, None] ** 2 * points[nearest] + pull[:, None] ** 2 * target
            design = _design(moved)
            last, maps = maps, _solve(stiff + design.T @ design.multiply(square[:, None]), design.T @ aim)
            moved = design @ maps
    return moved


def _pulls(keypoints: Keypoints | None, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each step, places (V, 3) and the weights (V,) that keypoints pull to them with."""
    target, held = np.zeros((count, 3)), np.zeros(count)
    if keypoints is None:
        while True:
            yield target, held
    target[keypoints.rows], held[keypoints.rows] = keypoints.target, 1.0
    yield target, held * keypoints.first
    strength = keypoints.later
    while True:
        strength *= keypoints.decay
        yield target, held * strength


def _incidence(triangles: np.ndarray, count: int) -> sparse.csc_matrix:
    """(E, V): 1 and -1 at the two ends of each edge."""
    edges = np.unique(np.sort(np.asarray(triangles)[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    rows = np.repeat(np.arange(len(edges)), 2)
    return sparse.csc_matrix((np.tile([1.0, -1.0], len(edges)), (rows, edges.ravel())), (len(edges), count))


def _design(vertices: np.ndarray) -> sparse.csr_matrix:
    """(V, 4V): each row holds its vertex as (x, y, z, 1), so that times (4V, 3) maps it is moved by its own."""
    count = len(vertices)
    values = np.hstack([vertices, np.ones((count, 1))]).ravel()
    return sparse.csr_matrix((values, np.arange(4 * count), 4 * np.arange(count + 1)), (count, 4 * count))


def _solve(matrix: sparse.spmatrix, right: np.ndarray) -> np.ndarray:
    """Solve a symmetric positive definite system by libigl's Cholesky, 1.4 to 7 times as fast as SciPy's LU here."""
    none = np.zeros((0, right.shape[1]))
    constraints = sparse.csc_matrix((0, len(right)))
    try:
        found = igl.min_quad_with_fixed(
            sparse.csc_matrix(matrix), -right, np.zeros(0, np.int64), none, constraints, none, True
        )
    except RuntimeError:
        found = np.full_like(right, np.nan)
    if not np.isfinite(found).all():
        raise RecfaceError("non-rigid ICP: points and keypoints leave open how a part of the mesh bends")
    return found
