"""REALY: every region of the face is aligned and measured by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recface.metrics.protocols.base import BenchmarkProtocol, Predictions, Truth, register
from recface.metrics.protocols.scan_rows import ScanRow, named, required_path, row_name, scan_rows

if TYPE_CHECKING:
    from recface.metrics.scan import SearchMesh, Similarity

REGIONS = ("nose", "mouth", "forehead", "cheek")


def region_error(region: np.ndarray, mesh: SearchMesh, rough: Similarity) -> float:
    """Mean distance of a region's scan points to the mesh, which is first moved rigidly onto this region alone.

    Source: Chai et al. 2022 (REALY), regional rigid ICP; the scale is that of the whole face.

    Args:
        region: (R, 3) of the scan, mm.
        mesh: The predicted mesh.
        rough: Moves it onto the scan's landmarks.

    Returns:
        mm.
    """
    from recface.metrics.scan import icp, thin

    fit = icp(mesh, thin(region), rough, with_scale=False).transform
    return fit.scale * float(mesh.nearest(fit.inverse()(region)).distance.mean())


def region_points(row: ScanRow, region: str, truth: Truth, number: int) -> np.ndarray:
    """(R, 3) scan points of a region: rows of the scan, or a scan file of the region alone, as REALY gives them."""
    from recface.face_model.mesh_files import MESH_ENDINGS
    from recface.metrics.scan import read_rows, read_scan

    path = required_path(truth, number, region)
    if path.suffix.lower() in MESH_ENDINGS:
        return read_scan(path).vertices
    return row.scan.vertices[read_rows(path, len(row.scan.vertices))]


@register
class REALYRegions(BenchmarkProtocol):
    """REALY's regions after regional rigid alignment.

    Source: Chai et al. 2022, "REALY: Rethinking the evaluation of 3D face reconstruction".
    Alignment: similarity by seven landmarks of the whole face; then for each region rigid point-to-plane ICP of the
        mesh onto the region's scan points, without reflection. Not in it: REALY's weighted keypoints inside a region,
        and its non-rigid step, which finds correspondences; so its published numbers do not compare with these. Both
        are in `realy-regions/v1`.
    Crop: the columns nose, mouth, forehead and cheek, each a mask or vertex numbers of the scan, or a scan file.
    Similarity: mean over a region's scan points of the unsigned point-to-triangle distance; mean over rows.
    Unit: mm.
    """

    id = "realy-regions-rigid/v1"
    source = "Chai et al. 2022 (REALY), without its non-rigid step"
    unit = "mm"
    direction = "lower"
    needs = ("vertices", "triangles", "points")
    columns = ("scan", "landmarks", *REGIONS)
    values: ClassVar[dict[str, str]] = {
        "mean": "mean of the four regions, mm",
        **{region: f"mean distance of the {region}, mm" for region in REGIONS},
    }

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Mean distance in mm of all four regions and of each; see the class and `base`."""
        errors: list[list[float]] = []
        for row, one in scan_rows(self.id, predictions, truth):
            with named(row_name(truth, row)):
                rough = one.rough(with_scale=True)
                points = [region_points(one, region, truth, row) for region in REGIONS]
                errors.append([region_error(region, one.mesh, rough) for region in points])
        means = dict(zip(REGIONS, np.mean(errors, axis=0).tolist(), strict=True))
        return {"mean": float(np.mean(errors)), **means}
