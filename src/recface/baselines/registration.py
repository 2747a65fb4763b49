"""Meshes of another topology as shapes of the suite's face model, so that they can be measured beside the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from recface.errors import RecfaceError, named
from recface.face_model import FaceModel
from recface.files.atomic import require_empty, write_bytes
from recface.files.guard import guarded
from recface.metrics.protocols.protocol import Predictions
from recface.metrics.readers.predictions import write_predictions
from recface.metrics.scan import SearchMesh, Similarity, procrustes, thin

NO_LANDMARK = -1
ITERATIONS, STILL_MM = 40, 0.01
VERTICES = 1000
"""Vertices of the face region that are matched to the mesh; more cost time and gain less than 0.01 mm."""
MARK_WEIGHT = 0.02
"""Weight of landmarks against surfaces: landmarks of two topologies agree only to millimeters."""
PRIOR = 1e-3
"""Cost of a unit of squared parameters, in mm^2 of mean squared distance."""
FAR = 3.0
"""Vertices count up to this multiple of the median distance, or of 1 mm where that is more."""

REPORT = "registration.csv"
LEAST_SHARE, LARGEST_RMS = 0.7, 4.0
"""Fits with a smaller matched share or larger parameters are doubtful."""


@dataclass(frozen=True)
class Registered:
    """A mesh as a shape of the face model."""

    parameters: np.ndarray  # (K,) whitened shape parameters
    rms_mm: float  # root mean square distance of the matched vertices, at the face model's size
    share: float  # matched share of the face region; the rest lies beyond the mesh or far from it

    @property
    def parameter_rms(self) -> float:
        """Root mean square of the parameters, near 1 for a person of the face model's population."""
        return float(np.sqrt(np.mean(self.parameters**2)))


class Registration:
    """Finds the shape of a face model whose face region is closest to a mesh.

    Gauss-Newton on pose and shape parameters jointly, vertex to plane, like ICP (`metrics.scan.icp`) with free shape
    and a weak prior on the parameters; vertices beyond the mesh's rim or far from it are left out. Meshes must be
    neutral, since expression is taken for shape. Scale is free, since a face model's shapes have one size.

    Source: after Amberg et al. 2008, "Expression invariant 3D face recognition with a morphable model"; our weights.

    Args:
        face_model: The suite's.
        landmarks: (68,) vertices of the meshes in the order of iBUG 68; -1 for missing landmarks.

    Raises:
        RecfaceError: The number of landmarks is not 68, or fewer than six are known.
    """

    def __init__(self, face_model: FaceModel, landmarks: np.ndarray) -> None:
        self.landmarks = np.asarray(landmarks)
        if self.landmarks.shape != (68,) or self.landmarks.dtype.kind not in "iu":
            raise RecfaceError(f"landmarks: {self.landmarks.shape} {self.landmarks.dtype}, expected 68 whole numbers")
        self._known = self.landmarks != NO_LANDMARK
        if self._known.sum() < 6:
            raise RecfaceError(f"landmarks: {self._known.sum()} of 68 are known; registration needs at least six")
        region = thin(np.flatnonzero(face_model.face_mask.numpy()), VERTICES)
        marks = face_model.landmarks68.numpy()[self._known]
        rows = np.concatenate([region, marks])
        basis = (face_model.identity_basis * face_model.identity_sigma).double().numpy()
        self.mean = face_model.mean.double().numpy()[rows]
        self.basis = basis.reshape(face_model.num_vertices, 3, -1)[rows]
        self.count = len(region)

    def __call__(self, vertices: np.ndarray, triangles: np.ndarray) -> Registered:
        """Register one mesh of vertices (V, 3) and triangles (F, 3).

        Raises:
            RecfaceError: As `SearchMesh`, a landmark names a vertex that the mesh lacks, or too little of the face lies
                over the mesh.
        """
        if self.landmarks.max() >= len(vertices) or self.landmarks.min() < NO_LANDMARK:
            raise RecfaceError(f"landmarks: rows {self.landmarks.min()} to {self.landmarks.max()} of {len(vertices)}")
        mesh, marks = SearchMesh(vertices, triangles), np.asarray(vertices)[self.landmarks[self._known]]
        pose = procrustes(self.mean[self.count :], marks, with_scale=True)
        parameters = np.zeros(self.basis.shape[2])
        for _ in range(ITERATIONS):
            shape = self.mean + self.basis @ parameters
            placed = pose(shape)
            offset, direction, counts = self._planes(mesh, placed[: self.count], pose.scale)
            turned, center = np.einsum("ij,vjk->vik", pose.scale * pose.rotation, self.basis), placed.mean(axis=0)
            columns, targets = self._system(placed, turned, center, offset, direction, counts, marks)
            normal = columns.T @ columns
            held = np.zeros(len(normal))
            held[-len(parameters) :] = PRIOR * pose.scale**2
            normal[np.diag_indices_from(normal)] += held + 1e-9 * np.trace(normal)
            pull = columns.T @ targets
            pull[-len(parameters) :] -= PRIOR * pose.scale**2 * parameters
            move = np.linalg.solve(normal, pull)
            turn = Rotation.from_rotvec(move[:3]).as_matrix()
            scale = float(np.exp(move[6]))
            step = Similarity(scale, turn, center + move[3:6] - scale * turn @ center)
            change = move[-len(parameters) :]
            pose, parameters = step.after(pose), parameters + change
            moved = pose(self.mean + self.basis @ parameters)[: self.count] - placed[: self.count]
            if np.sqrt(np.mean(np.sum(moved**2, axis=1))) < STILL_MM * pose.scale:
                break
        placed = pose(self.mean + self.basis @ parameters)[: self.count]
        offset, _, counts = self._planes(mesh, placed, pose.scale)
        rms = float(np.sqrt(np.mean(offset[counts] ** 2))) / pose.scale
        return Registered(parameters, rms, float(counts.mean()))

    def _planes(self, mesh: SearchMesh, placed: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Signed distances (M,) along unit directions (M, 3) to the mesh, and which vertices are matched."""
        nearest = mesh.nearest(placed)
        counts = ~mesh.on_rim(nearest)
        counts &= nearest.distance <= FAR * max(scale, float(np.median(nearest.distance)))
        if counts.mean() < 0.2:
            raise RecfaceError(
                f"registration: only {counts.mean():.0%} of the face lies over the mesh; are the landmarks in order?"
            )
        direction = mesh.normals[nearest.triangle]
        return np.einsum("ij,ij->i", nearest.point - placed, direction), direction, counts

    def _system(
        self,
        placed: np.ndarray,
        turned: np.ndarray,
        center: np.ndarray,
        offset: np.ndarray,
        direction: np.ndarray,
        counts: np.ndarray,
        marks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Linear equations of vertices and landmarks for (rotation, translation, scale, parameters)."""
        arm, n = placed[: self.count][counts] - center, direction[counts]
        scaled = np.einsum("ij,ij->i", arm, n)[:, None]
        surface = [np.cross(arm, n), n, scaled, np.einsum("vi,vik->vk", n, turned[: self.count][counts])]
        points = placed[self.count :]
        away = points - center
        cross = np.cross(np.eye(3), away[:, None]).transpose(0, 2, 1)  # column i: motion under rotation about axis i
        shift, changed = np.tile(np.eye(3), (len(away), 1)), turned[self.count :].reshape(3 * len(away), -1)
        named = [cross.reshape(-1, 3), shift, away.reshape(-1, 1), changed]
        weights = 1 / np.sqrt(len(n)), np.sqrt(MARK_WEIGHT / len(away))
        columns = np.vstack([weights[0] * np.hstack(surface), weights[1] * np.hstack(named)])
        targets = np.concatenate([weights[0] * offset[counts], weights[1] * (marks - points).reshape(-1)])
        return columns, targets


def register_predictions(
    predictions: Predictions,
    face_model: FaceModel,
    landmarks: np.ndarray,
    watch: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, list[Registered]]:
    """Register every mesh of a method; `watch` is called with the number of meshes done, and of all.

    Returns:
        Vertices (N, V, 3) float32 in mm, in the face model's topology, and the fit of each mesh.

    Raises:
        RecfaceError: Vertices or triangles are missing, or as `Registration`, with the id.
    """
    if predictions.vertices is None or predictions.triangles is None:
        raise RecfaceError(f"{predictions.where}: registration needs vertices and triangles")
    registration = Registration(face_model, landmarks)
    whole = (face_model.identity_basis * face_model.identity_sigma).double().numpy()
    mean, shapes, registered = face_model.mean.double().numpy(), [], []
    for row, name in enumerate(predictions.ids):
        with named(f"{predictions.where}: id {name}"):
            found = registration(np.asarray(predictions.vertices[row], np.float64), predictions.triangles)
        shapes.append((mean + (whole @ found.parameters).reshape(-1, 3)).astype(np.float32))
        registered.append(found)
        if watch is not None:
            watch(row + 1, len(predictions))
    return np.stack(shapes), registered


def read_landmark_rows(path: Path) -> np.ndarray:
    """Read the 68 landmarks' vertices of a topology: whole numbers separated by blanks, commas or lines.

    Raises:
        RecfaceError: The file cannot be read, or has other content.
    """
    with guarded(path, "list of 68 whole numbers", limit=100_000):
        rows = np.array(path.read_text().replace(",", " ").split(), np.int64)
    if len(rows) != 68:
        raise RecfaceError(f"{path}: holds {len(rows)} numbers; give the vertices of 68 landmarks, -1 for missing ones")
    return rows


def write_registered(
    folder: Path, predictions: Predictions, vertices: np.ndarray, registered: Sequence[Registered]
) -> Path:
    """Write registered shapes (N, V, 3) in mm as predictions for `run_elsewhere`, and a report of each mesh's fit.

    The folder must be new or empty; it gets vertices.npy, landmarks.npy where the method predicted them, ids.csv and
    registration.csv.

    Returns:
        Path of registration.csv: distance, matched share, and root mean square of the parameters.
    """
    require_empty(folder)
    rows = [(one.rms_mm, one.share, one.parameter_rms) for one in registered]
    table = pd.DataFrame(rows, columns=["rms_mm", "share", "parameter_rms"]).round(4)
    table.insert(0, "id", predictions.ids)
    landmarks = {} if predictions.landmarks is None else {"landmarks": predictions.landmarks}
    write_predictions(folder, table[["id"]], {"vertices": vertices} | landmarks)
    write_bytes(folder / REPORT, table.to_csv(index=False, lineterminator="\n").encode())
    return folder / REPORT


def doubtful(registered: Sequence[Registered]) -> int:
    """Number of meshes with a doubtful fit: much of the face lies beyond them, or the shape is implausible.

    Distances alone would not tell, since a shape bends to whatever lies near wrong landmarks.
    """
    return sum(one.share < LEAST_SHARE or one.parameter_rms > LARGEST_RMS for one in registered)
