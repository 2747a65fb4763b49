"""REALY: each region of the face is aligned and measured by itself, with or without its non-rigid step."""

from __future__ import annotations

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import Predictions, Truth, register
from recface.metrics.protocols.scans import SEVEN_OF_68, ScanProtocol, ScanRow, of_each_row, required_path

REGIONS = ("nose", "mouth", "forehead", "cheek")


def region_error(row: ScanRow, region: str) -> float:
    """Mean distance in mm of a region's scan points to the mesh, which is first moved rigidly onto this region alone.

    The points are rows of the scan, or a scan file of the region alone, as REALY gives them. The scale is that of the
    whole face.
    """
    from recface.files.meshes import MESH_ENDINGS
    from recface.metrics.scan import read_rows, read_scan

    path = required_path(row.truth, row.row, region)
    if path.suffix.lower() in MESH_ENDINGS:
        points = read_scan(path).vertices
    else:
        points = row.scan.vertices[read_rows(path, len(row.scan.vertices))]
    return float(row.distances(points, row.rough(with_scale=True), with_scale=False).mean())


def _means(errors: list[list[float]]) -> dict[str, float]:
    """Mean error in mm over rows, of all four regions and of each."""
    of_regions = dict(zip(REGIONS, np.mean(errors, axis=0).tolist(), strict=True))
    return {"mean": float(np.mean(errors)), **of_regions}


@register
class REALYRegions(ScanProtocol):
    """REALY's regions after regional rigid alignment.

    Source: Chai et al. 2022, "REALY: Rethinking the evaluation of 3D face reconstruction".
    Alignment: similarity by seven landmarks of the whole face; then for each region rigid point-to-plane ICP of the
        mesh onto the region's scan points, without reflection. Not in it: REALY's weighted keypoints inside a region,
        and its non-rigid step, which finds correspondences; so its published numbers do not compare with these. Both
        are in `realy-regions/v1`.
    Crop: the columns nose, mouth, forehead and cheek, each a mask or vertex numbers of the scan, or a scan file.
    Similarity: mean over a region's scan points of the unsigned point-to-triangle distance; mean over rows. Unit: mm.
    """

    id = "realy-regions-rigid/v1"
    source = "Chai et al. 2022 (REALY), without its non-rigid step"
    columns = ("scan", "landmarks", *REGIONS)
    values = {
        "mean": "mean of the four regions, mm",
        **{region: f"mean distance of the {region}, mm" for region in REGIONS},
    }

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Means over rows, of each region by itself."""

        def errors(row: ScanRow) -> list[float]:
            return [region_error(row, region) for region in REGIONS]

        return _means(self.of_each_scan(predictions, truth, errors))


def triangles_of(predictions: Predictions, triangles: np.ndarray) -> np.ndarray:
    """The triangles (F, 3) whose three vertices are all in the template's mask; without a mask, all of them."""
    if predictions.mask is None:
        return triangles
    kept = triangles[predictions.mask[triangles].all(axis=1)]
    if not len(kept):
        raise RecfaceError(f"{predictions.where}: the template's mask leaves no triangle; mark the face by ones")
    return kept


KEYPOINTS = 85
MOUTH = (*range(48, 61), 64)
RIGID: dict[str, tuple[int, ...]] = {
    "nose": (*range(27, 36), 70, 71),
    "mouth": MOUTH,
    "forehead": (*range(36, 48), *range(17, 27)),
    "cheek": (*MOUTH, 76, 77, 36, 41, 40, 39, 42, 47, 46, 45, 7, 8, 9),
}
"""Keypoints that align a region; from 0 and up to 67 they are iBUG's, above REALY's own."""
BENT: dict[str, tuple[int, ...]] = RIGID | {"nose": tuple(range(27, 36)), "cheek": ()}
"""Keypoints that lead its non-rigid step."""


@register
class REALYCorresponding(ScanProtocol):
    """REALY's regions after regional alignment, measured between points that a non-rigid step brings together.

    Source: Chai et al. 2022, "REALY: Rethinking the evaluation of 3D face reconstruction", and its public code, whose
        benchmark data must be asked for. Ours: rotations never reflect, and a region without keypoints bends in at
        most 100 steps a stage.
    Alignment: similarity by seven keypoints; then for each region rigid ICP, in which the region's keypoints weigh as
        much as its vertices (cheek: a quarter).
    Crop: the columns nose, mouth, forehead and cheek, each a mesh of that region, as REALY gives them; keypoints: a
        mesh file with the scan's 85. Points of the predictions are the 85 keypoints in REALY's order. After the
        alignment, of the prediction only the template's mask counts, if there is one.
    Similarity: mean over a region's vertices of the distance to the corresponding point of the prediction (REALY calls
        it NMSE); mean over rows.
    Unit: mm; the files are in a unit of their own, of which the column scale says how many mm it is, as
        metrical_scale.txt does. The non-rigid step's thresholds are in that unit, about 9 mm.
    """

    id = "realy-regions/v1"
    source = "Chai et al. 2022 (REALY) and its public code"
    columns = ("keypoints", *REGIONS, "scale")
    numbers = ("scale",)
    values = {
        "mean": "mean of the four regions, mm",
        **{region: f"mean distance of corresponding points of the {region}, mm" for region in REGIONS},
    }

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Means over rows, of each region after its non-rigid step."""
        self.require_needs(predictions)
        if (shape := predictions.array("points").shape)[1:] != (KEYPOINTS, 3):
            raise RecfaceError(f"{predictions.where}: points are {shape}, expected (N, 85, 3)")
        return _means(of_each_row(predictions, truth, lambda row: self._row(predictions, truth, row)))

    def _row(self, predictions: Predictions, truth: Truth, row: int) -> list[float]:
        """Errors of the four regions of one prediction, mm."""
        from recface.files.meshes import read_mesh
        from recface.metrics.scan import SearchMesh, require_points
        from recface.metrics.scan.alignment import corresponding_error, merged, overall_alignment, regional_alignment

        if (scale := float(truth.table["scale"].iloc[row])) <= 0:
            raise RecfaceError(f"scale must be a number > 0, not {scale:g}")
        path = required_path(truth, row, "keypoints")
        true = require_points(read_mesh(path)[0], f"{path}: keypoints")
        if len(true) != KEYPOINTS:
            raise RecfaceError(f"{path}: {len(true)} keypoints, expected 85")
        name = predictions.name(row)
        points = require_points(predictions.array("points")[row], f"{name}: points")
        plain = SearchMesh(predictions.array("vertices")[row], predictions.array("triangles"), name)
        rough = overall_alignment(points[list(SEVEN_OF_68)], true[list(SEVEN_OF_68)])
        errors = []
        for region in REGIONS:
            path = required_path(truth, row, region)
            vertices, triangles = read_mesh(path)
            if triangles is None:
                raise RecfaceError(f"{path}: holds no triangles; the non-rigid step needs the region's mesh")
            vertices = require_points(vertices, f"{path}: vertices")
            rigid, led = list(RIGID[region]), list(BENT[region])
            share = 0.25 if region == "cheek" else 1.0
            motion = regional_alignment(plain, vertices, points[rigid], true[rigid], rough, share)
            mesh = SearchMesh(motion(plain.vertices), triangles_of(predictions, plain.triangles), name)
            pair = (true[led], motion(points[led])) if led else None
            errors.append(scale * corresponding_error(*merged(vertices, triangles), mesh, pair))
        return errors
