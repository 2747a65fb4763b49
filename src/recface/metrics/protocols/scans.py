"""Protocols on scans: the rows of their manifests, registered meshes (FaceWarehouse), and whole face scans (NoW)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register

if TYPE_CHECKING:
    from recface.metrics.scan import Scan, SearchMesh, Similarity


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


@dataclass(frozen=True)
class ScanRow:
    """One prediction and the scan it is measured against.

    Attributes:
        scan: The scan.
        landmarks: (P, 3) of the scan, mm: the seven, then those that the protocol asks for.
        vertices: (V, 3) predicted, mm.
        triangles: (F, 3) of the prediction.
        points: (7, 3) predicted landmarks, mm.
        file: Gives the path of another column, or None where the column or the cell is empty.
        name: The prediction, for messages.
    """

    scan: Scan
    landmarks: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray
    points: np.ndarray
    file: Callable[[str], Path | None]
    name: str

    @cached_property
    def mesh(self) -> SearchMesh:
        """The predicted mesh with its search tree."""
        from recface.metrics.scan import SearchMesh

        return SearchMesh(self.vertices, self.triangles, self.name)

    def rough(self, *, with_scale: bool) -> Similarity:
        """Moves the prediction onto the scan by the seven landmarks."""
        from recface.metrics.scan import procrustes

        return procrustes(self.points, self.landmarks[: len(SEVEN)], with_scale=with_scale)

    def mask(self, column: str) -> np.ndarray:
        """(N,) bool: the scan's vertices that a column's file keeps; all of them where the manifest names none."""
        from recface.metrics.scan import read_rows

        path, count = self.file(column), len(self.scan.vertices)
        kept = np.full(count, path is None)
        if path is not None:
            kept[read_rows(path, count)] = True
        return kept


@contextmanager
def named(where: str) -> Iterator[None]:
    """Puts a place before the message of a mistake."""
    try:
        yield
    except RecfaceError as error:
        raise RecfaceError(f"{where}: {error}") from None


def row_name(truth: Truth, row: int) -> str:
    """Manifest, line and id of a row, for messages."""
    label = truth.table.index[row]
    line = f"row {int(label) + 2}" if isinstance(label, int | np.integer) else f"row {label}"
    return (
        f"{truth.where}, {line} (id {truth.table['id'].iloc[row]})" if "id" in truth.table else f"{truth.where}, {line}"
    )


def require_fields(protocol: str, needs: tuple[str, ...], predictions: Predictions, truth: Truth) -> None:
    """Require what the protocol reads, one prediction for each row.

    Raises:
        RecfaceError: Naming the first missing field, or the numbers of rows.
    """
    for field in needs:
        if getattr(predictions, field) is None:
            raise RecfaceError(f"{predictions.where}: {protocol} needs {field}, which these predictions lack")
    if len(predictions) != len(truth) or not len(truth):
        raise RecfaceError(
            f"{predictions.where}: {len(predictions)} predictions for {len(truth)} rows of {truth.where}"
        )


def path_of(truth: Truth, row: int, column: str) -> Path | None:
    """The file that a cell names, from the manifest's folder; None for an empty or missing column."""
    if column not in truth.table:
        return None
    cell = truth.table[column].iloc[row]
    return truth.folder / cell if isinstance(cell, str) and cell.strip() else None


def required_path(truth: Truth, row: int, column: str) -> Path:
    """As `path_of`, where the file must be named.

    Raises:
        RecfaceError: For an empty cell.
    """
    if (path := path_of(truth, row, column)) is None:
        raise RecfaceError(f"{row_name(truth, row)}: no {column} is named; name its file")
    return path


def scan_rows(
    protocol: str, predictions: Predictions, truth: Truth, extra: tuple[str, ...] = ()
) -> Iterator[tuple[int, ScanRow]]:
    """Every row with its scan, those of one scan together so that each is read once.

    Args:
        protocol: Its id, for messages.
        predictions: With vertices, triangles and the seven points.
        truth: With columns scan and landmarks.
        extra: Landmarks beside the seven.

    Yields:
        The number of the row, and its data. Whatever is wrong with it, also while it is used, names file and row.

    Raises:
        RecfaceError: For missing fields, unreadable files, bad values, or another unit than millimetres.
    """
    from recface.metrics.scan import read_landmarks, read_scan, require_face, require_points

    require_fields(protocol, ("vertices", "triangles", "points"), predictions, truth)
    points = predictions.array("points")
    if points.shape[1:] != (len(SEVEN), 3):
        raise RecfaceError(f"{predictions.where}: points are {points.shape}, expected (N, 7, 3): {', '.join(SEVEN)}")
    scans = [required_path(truth, row, "scan") for row in range(len(truth))]
    last: tuple[Path, Scan] | None = None
    for row in sorted(range(len(truth)), key=lambda row: str(scans[row])):
        with named(row_name(truth, row)):
            if last is None or last[0] != scans[row]:
                last = scans[row], read_scan(scans[row])
            landmarks = read_landmarks(required_path(truth, row, "landmarks"), SEVEN + extra)
            name = f"{predictions.where}, {predictions.ids[row]}"
            vertices = require_points(predictions.array("vertices")[row], f"{name}: vertices")
            require_face(vertices, name)
            yield (
                row,
                ScanRow(
                    scan=last[1],
                    landmarks=landmarks,
                    vertices=vertices,
                    triangles=predictions.array("triangles"),
                    points=require_points(points[row], f"{name}: points"),
                    file=partial(path_of, truth, row),
                    name=name,
                ),
            )


def corresponding(predicted: np.ndarray, vertex_of: np.ndarray | None, count: int) -> np.ndarray:
    """Predicted positions of the registered mesh's vertices.

    Source: ours.

    Args:
        predicted: (V, 3).
        vertex_of: (count,) predicted vertex of each registered one, -1 where there is none; None: the same topology.
        count: Vertices of the registered mesh.

    Returns:
        (count, 3), NaN where there is none.

    Raises:
        RecfaceError: Where the numbers of vertices do not fit.
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
    Similarity: mean distance of corresponding vertices; mean over rows.
    Unit: mm.
    """

    id = "facewarehouse-similarity/v1"
    source = "Cao et al. 2014 (FaceWarehouse); Tewari et al. 2017 (MoFA)"
    unit = "mm"
    direction = "lower"
    needs = ("vertices",)
    columns = ("scan",)
    values: ClassVar[dict[str, str]] = {
        "error": "mean over rows of the mean vertex distance, mm",
        "std": "standard deviation over rows, mm",
    }

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Mean and standard deviation over rows of the mean vertex distance in mm; see the class and `base`."""
        require_fields(self.id, self.needs, predictions, truth)
        errors = []
        for row in range(len(truth)):
            with named(row_name(truth, row)):
                errors.append(self._error(predictions, truth, row))
        return {"error": float(np.mean(errors)), "std": float(np.std(errors))}

    def _error(self, predictions: Predictions, truth: Truth, row: int) -> float:
        import torch

        from recface.metrics.functional.errors import per_vertex_error
        from recface.metrics.scan import read_array, read_rows, read_scan, require_face, require_points

        name = f"{predictions.where}, {predictions.ids[row]}"
        target = read_scan(required_path(truth, row, "scan")).vertices
        vertices = require_points(predictions.array("vertices")[row], f"{name}: vertices")
        require_face(vertices, name)
        path = path_of(truth, row, "correspondence")
        with named(name):
            vertices = corresponding(vertices, None if path is None else read_array(path), len(target))
        counts = np.isfinite(vertices).all(axis=1)
        if (mask := path_of(truth, row, "mask")) is not None:
            counts &= np.isin(np.arange(len(target)), read_rows(mask, len(target)))
        if counts.sum() < 3:
            raise RecfaceError(f"only {int(counts.sum())} vertices correspond; give a larger mask or correspondence")
        predicted, true = torch.from_numpy(vertices[counts]), torch.from_numpy(target[counts])
        return float(per_vertex_error(predicted[None], true))


CROP = 1.4
"""Radius of the crop, over the mean of outer eye distance and nose length."""
RAISED = 0.3
"""Center of the crop: this share of the way from the nose base to the bridge."""


def now_crop(vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The face of a NoW scan.

    A sphere of radius 1.4 (outer eye distance + nose length) / 2 round the point that lies three tenths of the way from
    the nose base up to the bridge, the middle of the inner eye corners; the nose length is from base to bridge.

    Source: methods.md, "Evaluation protocols" (radius); the center from the public code soubhiksanyal/now_evaluation.

    Args:
        vertices: (N, 3) mm.
        landmarks: (7, 3) mm of the scan, as `SEVEN`.

    Returns:
        (N,) bool.

    Raises:
        RecfaceError: Where nothing is inside.
    """
    from recface.metrics.scan import sphere_crop

    base, bridge = landmarks[4], (landmarks[1] + landmarks[2]) / 2
    eyes, nose = np.linalg.norm(landmarks[0] - landmarks[3]), np.linalg.norm(bridge - base)
    return sphere_crop(vertices, base + RAISED * (bridge - base), float(CROP * (eyes + nose) / 2))


def now_distances(
    vertices: np.ndarray, landmarks: np.ndarray, mesh: SearchMesh, rough: Similarity, *, with_scale: bool
) -> np.ndarray:
    """Unsigned distance of every vertex of the cropped scan to the aligned mesh.

    Source: field (methods.md, "Evaluation protocols"): landmarks, then ICP over the crop, all of whose points count.

    Args:
        vertices: (N, 3) scan, mm.
        landmarks: (7, 3) of the scan, mm.
        mesh: The predicted mesh.
        rough: Moves it onto the scan's landmarks.
        with_scale: Whether ICP fits the size too.

    Returns:
        (C,) mm, in the order of the scan.

    Raises:
        RecfaceError: For an empty crop.
    """
    from recface.metrics.scan import icp, thin

    face = vertices[now_crop(vertices, landmarks)]
    fit = icp(mesh, thin(face), rough, with_scale=with_scale).transform
    return fit.scale * mesh.nearest(fit.inverse()(face)).distance


class _NoW(BenchmarkProtocol):
    unit = "mm"
    direction = "lower"
    needs = ("vertices", "triangles", "points")
    columns = ("scan", "landmarks")
    values: ClassVar[dict[str, str]] = {
        "median": "median over all scan vertices of all rows, mm",
        "mean": "their mean, mm",
        "std": "their standard deviation, mm",
    }
    with_scale: ClassVar[bool]

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Median, mean and standard deviation in mm of all scan vertices pooled; see the class and `base`."""
        pooled: list[np.ndarray] = []
        for row, one in scan_rows(self.id, predictions, truth):
            with named(row_name(truth, row)):
                rough = one.rough(with_scale=self.with_scale)
                distances = now_distances(one.scan.vertices, one.landmarks, one.mesh, rough, with_scale=self.with_scale)
            pooled.append(distances.astype(np.float32))  # a whole challenge of float64 does not fit
        values = np.concatenate(pooled)
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
    Similarity: none; unsigned distances of scan points to the mesh, as `NoW`.
    Unit: mm.
    """

    id = "now-metrical-scan-to-mesh/v1"
    source = "Zielonka et al. 2022 (MICA), metrical NoW challenge"
    with_scale = False
