"""Named conditions of the benchmark's photos, from their labels: what SIR's qualitative comparison sorts photos by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

LARGE_POSE_DEGREES = 30.0
"""Yaw above which a pose is large: where AFLW2000-3D's second bin begins."""
EXPRESSIVE_NORM = 0.5
"""Norm of the expression coefficients above which a face is expressive: one unit at half of its movement."""
DARK_SHARE = 0.25
"""Light is strong where the side turned away from it gets less than this share of the mean, by the first order."""

CONDITIONS = ("light", "expression", "large_pose", "occlusion", "plain")
"""The names, in the order of tables; "plain" is none of the others."""


def named_conditions(labels: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sort photos into conditions; one photo may be in several.

    Source: the conditions are SIR's (methods.md, "SIR", comparison [A]); the thresholds are ours.

    Args:
        labels: `Benchmark.labels` of a split: angles (N, 3) pitch, yaw, roll in radians; expression (N, E); light
            (N, 9, 3) spherical-harmonics coefficients; occluded (N,) bool.

    Returns:
        Condition to (N,) bool, the names of `CONDITIONS`.
    """
    # Irradiance of degree 0 and 1 is c0 + sqrt(3) |c1| cos of the angle to the light's direction.
    light = labels["light"].mean(axis=2)
    dark = light[:, 0] - np.sqrt(3) * np.linalg.norm(light[:, 1:4], axis=1)
    found = {
        "light": dark < DARK_SHARE * light[:, 0],
        "expression": np.linalg.norm(labels["expression"], axis=1) > EXPRESSIVE_NORM,
        "large_pose": np.abs(np.degrees(labels["angles"][:, 1])) > LARGE_POSE_DEGREES,
        "occlusion": labels["occluded"].astype(bool),
    }
    return found | {"plain": ~np.any(list(found.values()), axis=0)}
