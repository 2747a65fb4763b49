"""NoW: every vertex of a face scan against a predicted mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register
from recface.metrics.protocols.scan_rows import named, row_name, scan_rows

if TYPE_CHECKING:
    from recface.metrics.scan import SearchMesh, Similarity

CROP = 1.4
"""Of the mean of outer eye distance and nose length."""
RAISED = 0.3
"""Of the way from the nose base to the bridge lies the centre of the crop."""


def now_crop(vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The face of a NoW scan.

    A sphere of radius 1.4 (outer eye distance + nose length) / 2 round the point that lies three tenths of the way from
    the nose base up to the bridge, the middle of the inner eye corners; the nose length is from base to bridge.

    Source: methods.md, "Evaluation protocols" (radius); the centre from the public code soubhiksanyal/now_evaluation.

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
    return sphere_crop(vertices, base + RAISED * (bridge - base), CROP * (eyes + nose) / 2)


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
