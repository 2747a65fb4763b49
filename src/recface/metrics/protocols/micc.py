"""MICC Florence, in the two families of the field whose numbers do not compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register
from recface.metrics.protocols.scans import ScanRow, named, row_name, scan_rows

if TYPE_CHECKING:
    from recface.metrics.scan import SearchMesh, Similarity

CROP_MM = 95.0


def micc_face(row: ScanRow) -> np.ndarray:
    """(C, 3) scan vertices within 95 mm of the tip of the nose, and in the manifest's optional mask.

    Raises:
        RecfaceError: Where nothing is left.
    """
    from recface.metrics.scan import sphere_crop

    inside = sphere_crop(row.scan.vertices, row.landmarks[-1], CROP_MM) & row.mask("mask")
    if not inside.any():
        raise RecfaceError("the mask leaves no scan vertex within 95 mm of the nose tip; correct mask or landmark")
    return row.scan.vertices[inside]


def deng_rmse(face: np.ndarray, mesh: SearchMesh, rough: Similarity) -> float:
    """Root mean square scan-to-mesh distance after similarity ICP of this one mesh.

    Source: Deng et al. 2019 (methods.md, "Evaluation protocols").

    Args:
        face: (C, 3) cropped scan, mm.
        mesh: The predicted mesh.
        rough: Moves it onto the scan's landmarks.

    Returns:
        mm.
    """
    from recface.metrics.scan import icp, thin

    fit = icp(mesh, thin(face), rough, with_scale=True).transform
    return fit.scale * float(np.sqrt(np.mean(mesh.nearest(fit.inverse()(face)).distance ** 2)))


@dataclass(frozen=True)
class Overlap:
    """Mean distance in mm over the region that scan and mesh share, and that region's share of the scan's points."""

    error: float
    share: float


def genova_error(face: np.ndarray, mesh: SearchMesh, start: Similarity) -> Overlap:
    """Mean scan-to-mesh distance over the intersection after rigid ICP; the scale of `start` is kept.

    Source: Genova et al. 2018 (methods.md, "Evaluation protocols"); how they find the intersection is not published,
    ours: scan points whose nearest point on the mesh is not on an open edge.

    Args:
        face: (C, 3) cropped scan, mm.
        mesh: The predicted mesh.
        start: Moves it near the scan, with the scale that all meshes share.

    Returns:
        The error and the share of points in the intersection.

    Raises:
        RecfaceError: Where there is no intersection.
    """
    from recface.metrics.scan import icp, thin

    fit = icp(mesh, thin(face), start, with_scale=False, overlap_only=True).transform
    nearest = mesh.nearest(fit.inverse()(face))
    inside = ~mesh.on_rim(nearest)
    return Overlap(fit.scale * float(nearest.distance[inside].mean()), float(inside.mean()))


class _MICC(BenchmarkProtocol):
    unit = "mm"
    direction = "lower"
    needs = ("vertices", "triangles", "points")
    columns = ("scan", "landmarks")


@register
class MICCDeng(_MICC):
    """MICC Florence, family of Deng: every mesh has a scale of its own.

    Source: Deng et al. 2019, "Accurate 3D face reconstruction with weakly-supervised learning", and the authors' answer
        in issue 23 of microsoft/Deep3DFaceReconstruction.
    Alignment: similarity by seven landmarks, then similarity point-to-plane ICP over the crop, without reflection.
    Crop: of the scan, 95 mm round the tip of the nose; the column mask, if there is one, leaves out the forehead
        as they do (its outline is not published).
    Similarity: root mean square over the scan's points of the unsigned point-to-triangle distance, which is the
        point-to-plane one where the foot lies inside the triangle; mean over rows.
    Unit: mm.
    """

    id = "micc-deng-rmse/v1"
    source = "Deng et al. 2019; Deep3DFaceReconstruction, issue 23"
    values: ClassVar[dict[str, str]] = {
        "rmse": "mean over rows of the root mean square distance, mm",
        "std": "standard deviation over rows, mm",
    }

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Mean and standard deviation over rows of the RMSE in mm; see the class and `base`."""
        errors = []
        for row, one in scan_rows(self.id, predictions, truth, ("nose_tip",)):
            with named(row_name(truth, row)):
                errors.append(deng_rmse(micc_face(one), one.mesh, one.rough(with_scale=True)))
        return {"rmse": float(np.mean(errors)), "std": float(np.std(errors))}


@register
class MICCGenova(_MICC):
    """MICC Florence, family of Genova: one scale for all meshes of a method.

    Source: Genova et al. 2018, "Unsupervised training for 3D morphable model regression", as told in issue 23 of
        microsoft/Deep3DFaceReconstruction; their code is not public.
    Alignment: one scale for the method, the geometric mean over rows of what similarity ICP finds (ours); with it every
        mesh rigidly by seven landmarks, then rigid point-to-plane ICP over the intersection, without reflection.
    Crop: of the scan, 95 mm round the tip of the nose, and the column mask if there is one; of that the
        intersection, the points whose nearest point is not on an open edge of the mesh (ours).
    Similarity: mean over the scan's points of the unsigned point-to-triangle distance; mean over rows.
    Unit: mm.
    """

    id = "micc-genova-mean/v1"
    source = "Genova et al. 2018; Deep3DFaceReconstruction, issue 23"
    values: ClassVar[dict[str, str]] = {
        "mean": "mean over rows of the mean distance in the intersection, mm",
        "std": "standard deviation over rows, mm",
        "scale": "the one scale that all meshes were given",
        "share": "mean share of the cropped scan that lies in the intersection",
    }
    units: ClassVar[dict[str, str]] = {"scale": "", "share": ""}

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Mean and standard deviation over rows in mm, the scale and the share; see the class and `base`."""
        from recface.metrics.scan import icp, thin

        scales = []
        for row, one in scan_rows(self.id, predictions, truth, ("nose_tip",)):
            with named(row_name(truth, row)):
                face, rough = thin(micc_face(one)), one.rough(with_scale=True)
                scales.append(icp(one.mesh, face, rough, with_scale=True, overlap_only=True).transform.scale)
        scale = float(np.exp(np.mean(np.log(scales))))
        overlaps = []
        for row, one in scan_rows(self.id, predictions, truth, ("nose_tip",)):
            with named(row_name(truth, row)):
                start = scaled_start(one, scale)
                overlaps.append(genova_error(micc_face(one), one.mesh, start))
        errors = [overlap.error for overlap in overlaps]
        share = float(np.mean([overlap.share for overlap in overlaps]))
        return {"mean": float(np.mean(errors)), "std": float(np.std(errors)), "scale": scale, "share": share}


def scaled_start(row: ScanRow, scale: float) -> Similarity:
    """Moves a prediction onto the scan's landmarks with a given scale, by their centroids and the best rotation."""
    from recface.metrics.scan import Similarity

    rotation = row.rough(with_scale=False).rotation
    landmarks = row.landmarks[: len(row.points)]
    return Similarity(scale, rotation, landmarks.mean(axis=0) - scale * rotation @ row.points.mean(axis=0))
