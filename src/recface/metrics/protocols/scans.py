"""Protocols on scans: the rows of their manifests, registered meshes (FaceWarehouse), and whole face scans (NoW)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np

from recface.errors import RecfaceError, named
from recface.files.tables import line_of
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register

if TYPE_CHECKING:
    from recface.metrics.scan import Scan, SearchMesh, Similarity

T = TypeVar("T")
SEVEN = (
    "right_eye_outer",
    "right_eye_inner",
    "left_eye_inner",
    "left_eye_outer",
    "nose_base",
    "right_mouth_corner",
    "left_mouth_corner",
)
"""The seven landmarks of NoW in its order; right is the subject's."""
SEVEN_OF_68 = (36, 39, 42, 45, 33, 48, 54)
"""Which of iBUG's 68 they are, from 0."""


def row_name(truth: Truth, row: int) -> str:
    """Manifest, line and id of a row, for messages."""
    return f"{truth.where}: line {line_of(truth.table, row)} (id {truth.table['id'].iloc[row]})"


def of_each_row(
    predictions: Predictions, truth: Truth, measure: Callable[[int], T], order: Iterable[int] | None = None
) -> list[T]:
    """`measure` of the number of every row, in the table's or another order; whatever it finds wrong names the row."""
    if len(predictions) != len(truth) or not len(truth):
        raise RecfaceError(
            f"{predictions.where}: {len(predictions)} predictions for {len(truth)} rows of {truth.where}"
        )
    found = []
    for row in range(len(truth)) if order is None else order:
        with named(row_name(truth, row)):
            found.append(measure(row))
    return found


def path_of(truth: Truth, row: int, column: str) -> Path | None:
    """The file that a cell names, from the manifest's folder; None for an empty or missing column."""
    if column not in truth.table:
        return None
    cell = truth.table[column].iloc[row]
    return truth.folder / cell if isinstance(cell, str) and cell.strip() else None


def required_path(truth: Truth, row: int, column: str) -> Path:
    """As `path_of`; raises RecfaceError for an empty cell."""
    if (path := path_of(truth, row, column)) is None:
        raise RecfaceError(f"no {column} is named; name its file")
    return path


def predicted_vertices(predictions: Predictions, row: int) -> np.ndarray:
    """(V, 3) mm of one prediction; raises RecfaceError where they are not finite, or not the size of a face in mm."""
    from recface.metrics.scan import require_face, require_points

    name = predictions.name(row)
    vertices = require_points(predictions.array("vertices")[row], f"{name}: vertices")
    require_face(vertices, name)
    return vertices


@dataclass(frozen=True)
class ScanRow:
    """One prediction and the scan it is measured against, from a numbered row of the manifest, in mm.

    The landmarks (P, 3) of the scan are the seven, then those that the protocol asks for. The mesh is the predicted one
    with its search tree, and the points (7, 3) are its landmarks.
    """

    truth: Truth
    row: int
    scan: Scan
    landmarks: np.ndarray
    mesh: SearchMesh
    points: np.ndarray

    def rough(self, *, with_scale: bool) -> Similarity:
        """Moves the prediction onto the scan by the seven landmarks."""
        from recface.metrics.scan import procrustes

        return procrustes(self.points, self.landmarks[: len(SEVEN)], with_scale=with_scale)

    def distances(self, points: np.ndarray, start: Similarity, *, with_scale: bool) -> np.ndarray:
        """Unsigned distances (C,) mm of scan points (C, 3) to the mesh, which ICP moves onto them from a start.

        All points count, of which ICP takes a selection; with `with_scale` it fits the size too.
        """
        from recface.metrics.scan import icp, thin

        fit = icp(self.mesh, thin(points), start, with_scale=with_scale).transform
        return fit.scale * self.mesh.nearest(fit.inverse()(points)).distance


class ScanProtocol(BenchmarkProtocol):
    """Base of protocols that measure predicted meshes against scans, in mm."""

    unit = "mm"
    direction = "lower"
    needs = ("vertices", "triangles", "points")
    columns: ClassVar[tuple[str, ...]] = ("scan", "landmarks")
    landmarks: ClassVar[tuple[str, ...]] = SEVEN

    def of_each_scan(self, predictions: Predictions, truth: Truth, measure: Callable[[ScanRow], T]) -> list[T]:
        """`measure` of every row, those of one scan together so that each is read once.

        Raises RecfaceError for missing fields, unreadable files, bad values, or another unit than millimeters.
        """
        from recface.metrics.scan import SearchMesh, read_landmarks, read_scan, require_points

        self.require_needs(predictions)
        points = predictions.array("points")
        if points.shape[1:] != (len(SEVEN), 3):
            raise RecfaceError(
                f"{predictions.where}: points are {points.shape}, expected (N, 7, 3): {', '.join(SEVEN)}"
            )
        scans = of_each_row(predictions, truth, lambda row: required_path(truth, row, "scan"))
        last: tuple[Path, Scan] | None = None

        def of_row(row: int) -> T:
            nonlocal last
            if last is None or last[0] != scans[row]:
                last = scans[row], read_scan(scans[row])
            name = predictions.name(row)
            landmarks = read_landmarks(required_path(truth, row, "landmarks"), self.landmarks)
            mesh = SearchMesh(predicted_vertices(predictions, row), predictions.array("triangles"), name)
            predicted = require_points(points[row], f"{name}: points")
            return measure(ScanRow(truth, row, last[1], landmarks, mesh, predicted))

        order = sorted(range(len(truth)), key=lambda row: str(scans[row]))
        return of_each_row(predictions, truth, of_row, order)


def corresponding(predicted: np.ndarray, vertex_of: np.ndarray | None, count: int) -> np.ndarray:
    """Predicted positions (count, 3) of a registered mesh's vertices, NaN where there is none.

    `vertex_of` (count,) is the predicted vertex of each registered one, -1 where there is none; None: one topology.
    Raises RecfaceError where the numbers of vertices do not fit.
    """
    if vertex_of is None:
        if len(predicted) != count:
            raise RecfaceError(
                f"{len(predicted)} predicted vertices for a registered mesh of {count}; give the column "
                "correspondence, or predictions of its topology"
            )
        return predicted
    if vertex_of.shape != (count,) or vertex_of.dtype.kind not in "iu":
        raise RecfaceError(f"correspondence is {vertex_of.dtype} {vertex_of.shape}, expected integers ({count},)")
    if vertex_of.min() < -1 or vertex_of.max() >= len(predicted):
        row = int(((vertex_of < -1) | (vertex_of >= len(predicted))).argmax())
        raise RecfaceError(f"correspondence {row} names vertex {vertex_of[row]} of {len(predicted)} predicted ones")
    return np.where(vertex_of[:, None] >= 0, predicted[vertex_of], np.nan)


@register
class FaceWarehouse(BenchmarkProtocol):
    """FaceWarehouse, or any registered meshes: true correspondence, no ICP.

    Source: Cao et al. 2014, "FaceWarehouse"; the error as in Tewari et al. 2017 (MoFA), on correspondences.
    Alignment: similarity, least squares over the vertices that count, without reflection.
    Crop: the column mask (a mask or vertex numbers of the registered mesh) if there is one, else all vertices; of those
        the ones that the column correspondence (`.npy`, one predicted vertex for each registered one, or -1) knows.
    Similarity: mean distance of corresponding vertices; mean over rows. Unit: mm.
    """

    id = "facewarehouse-similarity/v1"
    source = "Cao et al. 2014 (FaceWarehouse); Tewari et al. 2017 (MoFA)"
    unit = "mm"
    direction = "lower"
    needs = ("vertices",)
    columns = ("scan",)
    values = {"error": "mean over rows of the mean vertex distance, mm", "std": "standard deviation over rows, mm"}

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Mean and standard deviation over rows."""
        import torch

        from recface.metrics.functional.errors import per_vertex_error
        from recface.metrics.scan import read_numbers, read_rows, read_scan

        def error(row: int) -> float:
            target = read_scan(required_path(truth, row, "scan")).vertices
            vertices, path = predicted_vertices(predictions, row), path_of(truth, row, "correspondence")
            with named(predictions.name(row)):
                vertices = corresponding(vertices, None if path is None else read_numbers(path), len(target))
            counts = np.isfinite(vertices).all(axis=1)
            if (mask := path_of(truth, row, "mask")) is not None:
                counts &= np.isin(np.arange(len(target)), read_rows(mask, len(target)))
            if counts.sum() < 3:
                raise RecfaceError(
                    f"only {int(counts.sum())} vertices correspond; give a larger mask or correspondence"
                )
            return float(per_vertex_error(torch.from_numpy(vertices[counts])[None], torch.from_numpy(target[counts])))

        self.require_needs(predictions)
        errors = of_each_row(predictions, truth, error)
        return {"error": float(np.mean(errors)), "std": float(np.std(errors))}


def now_crop(vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Which vertices (N, 3) of a NoW scan, (N,) bool, are its face, by its landmarks (7, 3) in mm.

    A sphere of radius 1.4 (outer eye distance + nose length) / 2 (methods.md, "Evaluation protocols") round the point
    that lies three tenths of the way from the nose base up to the bridge, the middle of the inner eye corners (public
    code soubhiksanyal/now_evaluation). The nose length is from base to bridge. An empty sphere is a RecfaceError.
    """
    from recface.metrics.scan import sphere_crop

    base, bridge = landmarks[4], (landmarks[1] + landmarks[2]) / 2
    eyes, nose = np.linalg.norm(landmarks[0] - landmarks[3]), np.linalg.norm(bridge - base)
    return sphere_crop(vertices, base + 0.3 * (bridge - base), float(1.4 * (eyes + nose) / 2))


class _NoW(ScanProtocol):
    values = {
        "median": "median over all scan vertices of all rows, mm",
        "mean": "their mean, mm",
        "std": "their standard deviation, mm",
    }
    with_scale: ClassVar[bool]

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        def distances(row: ScanRow) -> np.ndarray:
            face = row.scan.vertices[now_crop(row.scan.vertices, row.landmarks)]
            found = row.distances(face, row.rough(with_scale=self.with_scale), with_scale=self.with_scale)
            return found.astype(np.float32)  # a whole challenge of float64 does not fit

        values = np.concatenate(self.of_each_scan(predictions, truth, distances))
        return {
            "median": float(np.median(values)),
            "mean": float(values.mean(dtype=np.float64)),
            "std": float(values.std(dtype=np.float64)),
        }


@register
class NoW(_NoW):
    """NoW, the size of the face left free.

    Source: Sanyal et al. 2019, "Learning to regress 3D face shape and expression from an image without 3D supervision"
        (RingNet), NoW challenge.
    Alignment: similarity by seven landmarks, then similarity point-to-plane ICP over the crop (10,000 of its points),
        both without reflection; the public code lets the first one reflect.
    Crop: of the scan, a sphere; see `now_crop`.
    Similarity: unsigned scan-to-mesh distance, exact point-to-triangle; all scan vertices of all rows pooled.
    Unit: mm of the scan.
    """

    id = "now-scan-to-mesh/v1"
    source = "Sanyal et al. 2019 (RingNet), NoW challenge"
    with_scale = True


@register
class NoWMetrical(_NoW):
    """NoW, metrical: the predicted size counts.

    Source: Zielonka et al. 2022, "Towards metrical reconstruction of human faces" (MICA), on the NoW scans.
    Alignment: rigid by seven landmarks, then rigid point-to-plane ICP over the crop. The public code keeps the
        translation of a fit with scale at the start; ours fits the rigid one.
    Crop: as `NoW`.
    Similarity: none; unsigned distances of scan points to the mesh, as `NoW`. Unit: mm.
    """

    id = "now-metrical-scan-to-mesh/v1"
    source = "Zielonka et al. 2022 (MICA), metrical NoW challenge"
    with_scale = False
