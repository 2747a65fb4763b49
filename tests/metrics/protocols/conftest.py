"""Manifests of analytic shapes, written as files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trimesh

from recface.metrics.protocols import Predictions, Truth

NAMES = (
    "right_eye_outer",
    "right_eye_inner",
    "left_eye_inner",
    "left_eye_outer",
    "nose_base",
    "right_mouth_corner",
    "left_mouth_corner",
)
# Unit vectors; the outer eyes and the nose are so far apart that a NoW crop holds a whole sphere.
DIRECTIONS = np.array(
    [[-1, 0, 0], [-0.3, 0.8, 0.5], [0.3, 0.8, 0.5], [1, 0, 0], [0, -0.6, 0.8], [-0.6, -0.7, 0.4], [0.6, -0.7, 0.4]]
)
DIRECTIONS = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)


def few(sphere: trimesh.Trimesh) -> np.ndarray:
    """(2562, 3) of its vertices, as symmetric as the sphere: those of the level before the last subdivision."""
    return np.asarray(sphere.vertices)[:2562]


@dataclass
class Study:
    """Predictions and the scans that they are measured against."""

    folder: Path
    vertices: list[np.ndarray] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)
    triangles: np.ndarray | None = None

    def add(
        self,
        predicted: np.ndarray,
        points: np.ndarray,
        scan: np.ndarray,
        landmarks: np.ndarray,
        **columns: np.ndarray,
    ) -> None:
        """One row; further columns are arrays that are saved as .npy, or `nose_tip`, a landmark."""
        number = len(self.rows)
        row = {"id": f"photo{number}", "scan": f"{number}.npz", "landmarks": f"{number}.csv"}
        np.savez(self.folder / row["scan"], vertices=scan)
        named = dict(zip(NAMES, landmarks, strict=True))
        if "nose_tip" in columns:
            named["nose_tip"] = columns.pop("nose_tip")
        table = pd.DataFrame.from_dict(named, orient="index", columns=["x", "y", "z"])
        table.rename_axis("name").reset_index().sample(frac=1, random_state=0).to_csv(
            self.folder / row["landmarks"], index=False
        )
        for column, values in columns.items():
            row[column] = f"{number}_{column}.npy"
            np.save(self.folder / row[column], values)
        self.vertices.append(predicted)
        self.points.append(points)
        self.rows.append(row)

    @property
    def predictions(self) -> Predictions:
        ids = tuple(row["id"] for row in self.rows)
        vertices, points = np.stack(self.vertices), np.stack(self.points)
        return Predictions(ids, vertices=vertices, triangles=self.triangles, points=points, where="method.npz")

    @property
    def truth(self) -> Truth:
        return Truth(pd.DataFrame(self.rows), folder=self.folder, where="scans.csv")


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(tmp_path)


@pytest.fixture(scope="session")
def sphere() -> trimesh.Trimesh:
    """A unit sphere, equal to its mirror images in the three coordinate planes; within 2e-4 of the round one."""
    return trimesh.creation.icosphere(subdivisions=5)


@pytest.fixture(scope="session")
def turn() -> Callable[[np.ndarray], np.ndarray]:
    """A rigid motion, as a scanner stands elsewhere than the camera."""
    from scipy.spatial.transform import Rotation

    rotation = Rotation.from_rotvec([0.5, -0.8, 0.3])
    return lambda points: rotation.apply(points) + np.array([40.0, -25, 300])
