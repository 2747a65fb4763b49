"""MICC Florence, in the two families of the field whose numbers do not compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import Predictions, Truth, register
from recface.metrics.protocols.scans import SEVEN, ScanProtocol, ScanRow, path_of

if TYPE_CHECKING:
    from recface.metrics.scan import SearchMesh, Similarity


def micc_face(row: ScanRow) -> np.ndarray:
    """(C, 3) scan vertices within 95 mm of the nose tip and in the optional mask; RecfaceError where there are none."""
    from recface.metrics.scan import read_rows, sphere_crop

    inside = sphere_crop(row.scan.vertices, row.landmarks[-1], 95.0)
    if (path := path_of(row.truth, row.row, "mask")) is not None:
        inside &= np.isin(np.arange(len(inside)), read_rows(path, len(inside)))
    if not inside.any():
        raise RecfaceError("the mask leaves no scan vertex within 95 mm of the nose tip; correct mask or landmark")
    return row.scan.vertices[inside]


@register
class MICCDeng(ScanProtocol):
    """MICC Florence, family of Deng: every mesh has a scale of its own.

    Source: Deng et al. 2019, "Accurate 3D face reconstruction with weakly-supervised learning", and the authors' answer
        in issue 23 of microsoft/Deep3DFaceReconstruction.
    Alignment: similarity by seven landmarks, then similarity point-to-plane ICP over the crop, without reflection.
    Crop: of the scan, 95 mm round the tip of the nose; the column mask, if there is one, leaves out the forehead
        as they do (its outline is not published).
    Similarity: root mean square over the scan's points of the unsigned point-to-triangle distance, which is the
        point-to-plane one where the foot lies inside the triangle; mean over rows. Unit: mm.
    """

    id = "micc-deng-rmse/v1"
    source = "Deng et al. 2019; Deep3DFaceReconstruction, issue 23"
    landmarks = (*SEVEN, "nose_tip")
    values = {"rmse": "mean over rows of the root mean square distance, mm", "std": "standard deviation over rows, mm"}

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Mean and standard deviation over rows."""

        def rmse(row: ScanRow) -> float:
            distances = row.distances(micc_face(row), row.rough(with_scale=True), with_scale=True)
            return float(np.sqrt(np.mean(distances**2)))

        errors = self.of_each_scan(predictions, truth, rmse)
        return {"rmse": float(np.mean(errors)), "std": float(np.std(errors))}


def genova_error(face: np.ndarray, mesh: SearchMesh, start: Similarity) -> tuple[float, float]:
    """Mean distance in mm over the region that scan and mesh share, and that region's share of the scan's points.

    Rigid ICP moves the mesh from `start`, whose scale it keeps, onto the cropped scan (C, 3). How Genova et al. find
    the intersection is not published; ours: scan points whose nearest point on the mesh is not on an open edge. Where
    there are none, ICP raises RecfaceError.
    """
    from recface.metrics.scan import icp, thin

    fit = icp(mesh, thin(face), start, with_scale=False, overlap_only=True).transform
    nearest = mesh.nearest(fit.inverse()(face))
    inside = ~mesh.on_rim(nearest)
    return fit.scale * float(nearest.distance[inside].mean()), float(inside.mean())


def scaled_start(row: ScanRow, scale: float) -> Similarity:
    """Moves a prediction onto the scan's landmarks with a given scale, by their centroids and the best rotation."""
    from recface.metrics.scan import Similarity

    rotation = row.rough(with_scale=False).rotation
    landmarks = row.landmarks[: len(row.points)]
    return Similarity(scale, rotation, landmarks.mean(axis=0) - scale * rotation @ row.points.mean(axis=0))


@register
class MICCGenova(ScanProtocol):
    """MICC Florence, family of Genova: one scale for all meshes of a method.

    Source: Genova et al. 2018, "Unsupervised training for 3D morphable model regression", as told in issue 23 of
        microsoft/Deep3DFaceReconstruction; their code is not public.
    Alignment: one scale for the method, the geometric mean over rows of what similarity ICP finds (ours); with it every
        mesh rigidly by seven landmarks, then rigid point-to-plane ICP over the intersection, without reflection.
    Crop: of the scan, 95 mm round the tip of the nose, and the column mask if there is one; of that the
        intersection, the points whose nearest point is not on an open edge of the mesh (ours).
    Similarity: mean over the scan's points of the unsigned point-to-triangle distance; mean over rows. Unit: mm.
    """

    id = "micc-genova-mean/v1"
    source = "Genova et al. 2018; Deep3DFaceReconstruction, issue 23"
    landmarks = (*SEVEN, "nose_tip")
    values = {
        "mean": "mean over rows of the mean distance in the intersection, mm",
        "std": "standard deviation over rows, mm",
        "scale": "the one scale that all meshes were given",
        "share": "mean share of the cropped scan that lies in the intersection",
    }
    units = {"scale": "", "share": ""}

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Errors with the one scale, which a first pass over all rows finds."""
        from recface.metrics.scan import icp, thin

        def scale_of(row: ScanRow) -> float:
            face, rough = thin(micc_face(row)), row.rough(with_scale=True)
            return icp(row.mesh, face, rough, with_scale=True, overlap_only=True).transform.scale

        scale = float(np.exp(np.mean(np.log(self.of_each_scan(predictions, truth, scale_of)))))
        found = self.of_each_scan(
            predictions, truth, lambda row: genova_error(micc_face(row), row.mesh, scaled_start(row, scale))
        )
        errors, shares = np.array(found).T
        return {"mean": float(errors.mean()), "std": float(errors.std()), "scale": scale, "share": float(shares.mean())}
