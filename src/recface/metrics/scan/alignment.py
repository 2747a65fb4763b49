"""Alignment of a predicted mesh with a scan: by landmarks, by ICP, and region by region as REALY does."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from recface.errors import RecfaceError
from recface.face_model.linear import similarity
from recface.metrics.scan.distance import SearchMesh
from recface.metrics.scan.files import require_points
from recface.metrics.scan.nonrigid import Keypoints, Stage, bend

FLAT = 1e-6  # second singular value of the landmarks over the first, below which they lie on a line


@dataclass(frozen=True)
class Similarity:
    """The map x -> scale * rotation @ x + translation; the rotation is proper, so it never reflects."""

    scale: float = 1.0  # positive
    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))  # (3, 3), determinant +1
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3))  # (3,)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Moves (..., 3) points."""
        return self.scale * np.asarray(points) @ self.rotation.T + self.translation

    def inverse(self) -> Similarity:
        """The map back."""
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def after(self, first: Similarity) -> Similarity:
        """The map that does `first`, then this one."""
        return Similarity(self.scale * first.scale, self.rotation @ first.rotation, self(first.translation))


def procrustes(source: np.ndarray, target: np.ndarray, *, with_scale: bool) -> Similarity:
    """Least-squares transform of corresponding points, by way of `recface.face_model.linear.similarity`.

    Source: Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns"; without
    scale it is Kabsch 1976, whose rotation is the same. Public NoW code allows a reflection here; ours never reflects.

    Args:
        source: (N, 3), N at least 3.
        target: (N, 3), in correspondence.
        with_scale: Whether the size is fitted too; else it is kept.

    Raises:
        RecfaceError: For mismatched sizes, values that are not finite, or points on one line, which leave the rotation
            open.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.ndim != 2 or source.shape[1:] != (3,) or source.shape != target.shape or len(source) < 3:
        raise RecfaceError(
            f"landmarks {source.shape} cannot be aligned to {target.shape}: expected (N, 3) and (N, 3), N at least 3"
        )
    for name, points in (("to align", source), ("to align to", target)):
        if not np.isfinite(points).all():
            row = int((~np.isfinite(points)).any(axis=1).argmax())
            raise RecfaceError(f"landmarks {name}: landmark {row} is not finite; measure it, or leave the sample out")
        spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if spread[1] <= FLAT * spread[0]:
            raise RecfaceError(f"landmarks {name} lie on one line or coincide; three that span a plane are needed")
    scale, rotation, translation = similarity(source, target)
    if not with_scale:
        scale, translation = 1.0, target.mean(axis=0) - rotation @ source.mean(axis=0)
    return Similarity(scale, rotation, translation)


def sphere_crop(points: np.ndarray, center: np.ndarray, radius: float) -> np.ndarray:
    """(N,) bool of points (N, 3) mm inside a sphere, its surface included; the center (3,) is such as the nose's tip.

    Source: the crops of NoW and of MICC (methods.md, "Evaluation protocols"): Euclidean, not geodesic.

    Raises:
        RecfaceError: Where no point is inside.
    """
    inside = np.sum((points - center) ** 2, axis=1) <= radius**2
    if not inside.any():
        raise RecfaceError(
            f"no scan point within {radius:.0f} mm of ({', '.join(f'{value:.0f}' for value in center)}); are scan and "
            "landmarks in one frame?"
        )
    return inside


TOUCHING = 1e-6
"""mm; nearer than this, the direction to the mesh is rounding, and the triangle's normal takes its place."""
SAMPLES = 10_000
"""Scan points that an alignment looks at; ours. All points are measured afterwards."""


@dataclass(frozen=True)
class Fit:
    """Result of ICP."""

    transform: Similarity  # moves the mesh onto the scan
    rms: float  # root mean square distance in mm of the points that counted
    iterations: int  # steps tried
    converged: bool  # whether it ended because it stood still, not because the iterations ran out


@dataclass(frozen=True)
class _Planes:
    """The planes that points are compared with: offsets (N,) along unit directions (N, 3) at (N, 3) of the mesh."""

    offset: np.ndarray
    direction: np.ndarray
    foot: np.ndarray

    @property
    def cost(self) -> float:
        return float(np.mean(self.offset**2))


def thin(points: np.ndarray, count: int = SAMPLES) -> np.ndarray:
    """At most `count` of the points, the same ones every time.

    Source: ours; a random choice, as scan lines make a regular one uneven.
    """
    if len(points) <= count:
        return points
    return points[np.sort(np.random.default_rng(0).choice(len(points), count, replace=False))]


def _planes(mesh: SearchMesh, points: np.ndarray, transform: Similarity, overlap_only: bool) -> _Planes:
    local = transform.inverse()(points)  # the tree stays where it is; the points come to it
    nearest = mesh.nearest(local)
    away = local - nearest.point
    direction = mesh.normals[nearest.triangle].copy()
    far = nearest.distance * transform.scale > TOUCHING
    direction[far] = away[far] / nearest.distance[far, None]
    keep = ~mesh.on_rim(nearest) if overlap_only else slice(None)
    away, direction, foot = away[keep], direction[keep], nearest.point[keep]
    if len(foot) < 7:  # unknowns of a similarity
        raise RecfaceError(
            f"ICP: only {len(foot)} scan points lie over the mesh; are the landmarks in the right order?"
        )
    offset = transform.scale * np.einsum("ij,ij->i", away, direction)
    return _Planes(offset, direction @ transform.rotation.T, transform(foot))


def _step(planes: _Planes, center: np.ndarray, damping: float, with_scale: bool) -> tuple[Similarity, float]:
    """One damped Gauss-Newton step, and how far it moves the mesh (root mean square, mm)."""
    arm = planes.foot - center
    size = float(np.sqrt(np.mean(np.sum(arm**2, axis=1))))
    columns = [np.cross(arm, planes.direction) / size, planes.direction]
    if with_scale:
        columns.append(np.einsum("ij,ij->i", arm, planes.direction)[:, None] / size)
    jacobian = np.hstack(columns)
    normal = jacobian.T @ jacobian
    # Damping also holds what the scan leaves open, such as the rotation of a sphere.
    normal[np.diag_indices_from(normal)] += damping * len(jacobian)
    move = np.linalg.solve(normal, jacobian.T @ planes.offset)
    turn = Rotation.from_rotvec(move[:3] / size).as_matrix()
    scale = float(np.exp(move[6] / size)) if with_scale else 1.0
    return Similarity(scale, turn, center + move[3:6] - scale * turn @ center), float(np.linalg.norm(move))


def icp(
    mesh: SearchMesh,
    points: np.ndarray,
    start: Similarity,
    *,
    with_scale: bool,
    overlap_only: bool = False,
    iterations: int = 100,
    tolerance: float = 1e-7,
) -> Fit:
    """Moves a mesh so that the sum of squared distances of scan points to it is least.

    The distances are those of the scan's frame, so that shrinking does not pay. Each step compares every point with the
    plane through its nearest point on the mesh, across the line to it: inside a triangle that is the triangle's plane,
    and on edges and at the rim it makes the step that of Gauss-Newton on the true distance. Damping (Levenberg-
    Marquardt) grows until a step lowers the sum. The result is a local minimum: the start decides which.

    Source: Chen and Medioni 1992, "Object modeling by registration of multiple range images" (planes); Fitzgibbon
    2003, "Robust registration of 2D and 3D point sets" (damping); leaving out points over the rim: Turk and Levoy 1994.

    Args:
        mesh: The mesh to move, in a frame of its own.
        points: (N, 3) of the scan, mm.
        start: A first guess, such as `procrustes` of landmarks.
        with_scale: Whether the mesh may change its size.
        overlap_only: Leaves out points that are nearest to an open edge of the mesh.
        iterations: Steps at most.
        tolerance: Movement, or gain in root mean square distance, in mm below which it stands still.

    Returns:
        The fit; its rotation is proper and its scale positive by construction, so it never reflects.

    Raises:
        RecfaceError: For points that are not finite, or fewer than seven over the mesh.
    """
    points = require_points(points, "scan points")
    center, transform, damping = points.mean(axis=0), start, 1e-9
    planes = _planes(mesh, points, transform, overlap_only)
    for iteration in range(1, iterations + 1):
        step, moved = _step(planes, center, damping, with_scale)
        candidate = step.after(transform)
        trial = _planes(mesh, points, candidate, overlap_only)
        gain = planes.cost**0.5 - trial.cost**0.5
        if gain > 0:
            transform, planes, damping = candidate, trial, max(damping / 10, 1e-9)
        else:
            damping *= 10
        if moved < tolerance or 0 < gain < tolerance:
            return Fit(transform, planes.cost**0.5, iteration, True)
    return Fit(transform, planes.cost**0.5, iterations, False)


STEPS, STILL = 100, 1e-6


def overall_alignment(source: np.ndarray, target: np.ndarray) -> Similarity:
    """Similarity by keypoints (N, 3): rotation by least squares, scale by the sums of absolute coordinates (REALY)."""
    rotation = procrustes(source, target, with_scale=False).rotation
    turned, center = (source - source.mean(axis=0)) @ rotation.T, target.mean(axis=0)
    scale = float(np.abs(target - center).sum() / np.abs(turned).sum())
    return Similarity(scale, rotation, center - scale * rotation @ source.mean(axis=0))


def regional_alignment(
    mesh: SearchMesh, region: np.ndarray, source: np.ndarray, target: np.ndarray, start: Similarity, share: float = 1.0
) -> Similarity:
    """Move a mesh rigidly onto a region: ICP to nearest points, in which keypoints weigh as much as the region.

    Args:
        mesh: The predicted mesh.
        region: (R, 3) of the scan.
        source: (N, 3) keypoints of the mesh.
        target: (N, 3) of the scan.
        start: Moves the mesh onto the scan roughly; its scale stays.
        share: What all keypoints weigh together, where the region weighs 1.
    """
    often, before, motion = int(share * len(region) / len(target)), 0.0, start
    wanted = np.vstack([region, *[target] * often])
    for _ in range(STEPS):
        nearest = motion(mesh.nearest(motion.inverse()(region)).point)
        found = np.vstack([nearest, *[motion(source)] * often])
        step = procrustes(found, wanted, with_scale=False)
        error = float(np.square(step(found) - wanted).sum(axis=1).mean())
        if abs(error - before) < STILL:
            break
        motion, before = step.after(motion), error
    return motion


def schedule(with_keypoints: bool) -> tuple[Stage, ...]:
    """REALY's stiffnesses; with keypoints, one stiff step by them alone comes first."""
    steps = 11 if with_keypoints else STEPS
    soft = tuple(Stage(50 * np.exp(-0.5 * k), tolerance=0.5**k, steps=steps) for k in range(3))
    return (Stage(150, (2, 2, 3, 2), tolerance=2.0, steps=1, points=False), *soft) if with_keypoints else soft


def corresponding_error(
    vertices: np.ndarray, triangles: np.ndarray, mesh: SearchMesh, keypoints: tuple[np.ndarray, np.ndarray] | None
) -> float:
    """Mean distance between a region's vertices and the points of an aligned mesh that correspond to them.

    The region is bent onto its own nearest points on the mesh, led by keypoints; a vertex corresponds to the point of
    the mesh nearest to where it then lies.

    Source: Chai et al. 2022 (REALY), "bidirectional" evaluation, by its public code.

    Args:
        vertices: (R, 3) of the scan's region; the error is in their unit.
        triangles: (F, 3).
        mesh: The predicted mesh, aligned with the region.
        keypoints: (N, 3) of the scan and of the prediction, or None.
    """
    led = None
    if keypoints is not None:
        rows = cKDTree(vertices).query(keypoints[0])[1]
        led = Keypoints(rows, keypoints[1], first=50.0, later=5.0, decay=float(np.exp(-0.9)))
    bent = bend(vertices, triangles, mesh.nearest(vertices).point, schedule(led is not None), led)
    return float(np.linalg.norm(mesh.nearest(bent).point - vertices, axis=1).mean())


def merged(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mesh without vertices that no triangle has, and with one of those that coincide."""
    kept, corners = np.unique(vertices[triangles.reshape(-1)], axis=0, return_inverse=True)
    return kept, corners.reshape(-1, 3)
