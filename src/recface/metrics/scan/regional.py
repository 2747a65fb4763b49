"""Alignment and error of one region of a face, as REALY's public code has them."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from recface.metrics.scan.distance import SearchMesh
from recface.metrics.scan.nonrigid import Keypoints, Stage, bend
from recface.metrics.scan.transform import Similarity, procrustes

STEPS, STILL = 100, 1e-6


def overall_alignment(source: np.ndarray, target: np.ndarray) -> Similarity:
    """Similarity by keypoints (P, 3): rotation by least squares, scale by the sums of absolute coordinates (REALY)."""
    rotation = procrustes(source, target, with_scale=False).rotation
    turned, centre = (source - source.mean(axis=0)) @ rotation.T, target.mean(axis=0)
    scale = float(np.abs(target - centre).sum() / np.abs(turned).sum())
    return Similarity(scale, rotation, centre - scale * rotation @ source.mean(axis=0))


def regional_alignment(
    mesh: SearchMesh, region: np.ndarray, source: np.ndarray, target: np.ndarray, start: Similarity, share: float = 1.0
) -> Similarity:
    """Move a mesh rigidly onto a region: ICP to nearest points, in which keypoints weigh as much as the region.

    Args:
        mesh: The predicted mesh.
        region: (R, 3) of the scan.
        source: (P, 3) keypoints of the mesh.
        target: (P, 3) of the scan.
        start: Moves the mesh onto the scan roughly; its scale stays.
        share: What all keypoints weigh together, where the region weighs 1.

    Returns:
        The map from the mesh's frame to the scan's.
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
        vertices: (R, 3) of the scan's region.
        triangles: (F, 3).
        mesh: The predicted mesh, aligned with the region.
        keypoints: (P, 3) of the scan and of the prediction, or None.

    Returns:
        In the unit of the vertices.
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
