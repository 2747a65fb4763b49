"""Protocols on single samples: errors where true correspondence or landmarks are known, and clusters by person."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 128


class _Correspondence(BenchmarkProtocol):
    source = "ours; docs/methods.md, SFM's mean per-vertex error"
    unit = "mm"
    direction = "lower"
    needs = ("vertices",)
    columns = ("shape",)
    values = {"mean": "mean over samples", "median": "median over samples", "std": "standard deviation over samples"}
    with_scale = True

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        import torch

        from recface.metrics.functional.errors import per_vertex_error
        from recface.metrics.readers.predictions import read_shapes

        region = predictions.region
        names = truth.table["shape"].astype(str).to_numpy()
        shapes, row = read_shapes(truth.folder, names, truth.where)
        if region is not None and shapes.shape[1] == len(region):
            shapes = shapes[:, region]
        parts = []
        for start in range(0, len(predictions), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(predictions)))
            predicted = torch.from_numpy(neutral_vertices(predictions, rows))
            if predicted.shape[1:] != shapes.shape[1:]:
                raise RecfaceError(
                    f"{predictions.where}: {predicted.shape[1]:,} vertices, but {shapes.shape[1]:,} in the true shapes "
                    f"of {truth.where}; this protocol needs one topology"
                )
            target = torch.from_numpy(np.asarray(shapes[row[rows]], np.float32))
            parts.append(per_vertex_error(predicted, target, with_scale=self.with_scale).numpy())
        errors = np.concatenate(parts).astype(np.float64)
        return {"mean": float(errors.mean()), "median": float(np.median(errors)), "std": float(errors.std())}


def neutral_vertices(predictions: Predictions, rows: np.ndarray) -> np.ndarray:
    """(C, V, 3) mm, float32: shapes of some rows, decoded where only a basis is given."""
    if predictions.vertices is not None:
        return np.array(predictions.vertices[rows], np.float32)
    basis = predictions.array("basis")
    offsets = predictions.array("parameters")[rows] @ basis.reshape(-1, basis.shape[2]).T
    return (offsets.reshape(len(rows), -1, 3) + predictions.array("mean")).astype(np.float32)


@register
class CorrespondenceSimilarity(_Correspondence):
    """Mean per-vertex distance to the true shape in the same topology, after a similarity alignment.

    Source: methods.md, "SFM", metrics [C]; alignment ours [O]. No closest points: these correlate weakly with the true
    error. Alignment: Umeyama 1991, rotation, translation and scale of each sample, on the vertices measured, without
    reflection. Crop: all vertices given, or the face region of the face model named. Similarity: none. Unit: mm.
    """

    id = "correspondence-similarity/v1"


@register
class CorrespondenceRigid(_Correspondence):
    """Mean per-vertex distance to the true shape in the same topology, after a rigid alignment: size counts.

    Source: methods.md, "SFM", metrics [C]; alignment ours [O]. Alignment: rotation and translation of each sample
    (Kabsch 1976), on the vertices measured, without reflection. Crop: all vertices given, or the face region of the
    face model named. Similarity: none. Unit: mm.
    """

    id = "correspondence-rigid/v1"
    with_scale = False


class _Clustering(BenchmarkProtocol):
    source = "Sphere Face Model's metrics (docs/methods.md); the first three as in scikit-learn"
    direction = "higher"
    columns = ("identity",)
    values = {
        "silhouette": "mean silhouette, in [-1, 1], higher is better",
        "calinski_harabasz": "Calinski-Harabasz index, higher is better",
        "davies_bouldin": "Davies-Bouldin index, lower is better",
        "nmcd": "squared distance to the own center over that between centers, lower is better",
    }

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        import torch

        from recface.metrics.functional import clustering

        identity = np.unique(truth.table["identity"].astype(str).to_numpy(), return_inverse=True)[1]
        values = clustering(coordinates(predictions, self.needs[0]), torch.from_numpy(identity))
        return {key: float(value) for key, value in values.items()}


def coordinates(predictions: Predictions, space: str) -> Tensor:
    """(N, D): parameters, or for vertices that whose Euclidean distance is the root mean square vertex distance."""
    from recface.metrics.functional import geometry_coordinates

    if space == "parameters":
        return predictions.tensor("parameters")
    if predictions.vertices is None:
        return geometry_coordinates(predictions.tensor("parameters"), predictions.tensor("basis"))
    flat = predictions.tensor("vertices").flatten(1).double()
    return flat / (flat.shape[1] / 3) ** 0.5


@register
class ParameterClustering(_Clustering):
    """Clustering of shape parameters by person: silhouette, Calinski-Harabasz, Davies-Bouldin, NMCD.

    Source: methods.md, "SFM", metrics [C]; scikit-learn's definitions. Alignment: none. Crop: none. Similarity:
    Euclidean on the parameters as the method has them. Unit: none.
    """

    id = "clustering-parameters/v1"
    needs = ("parameters",)


@register
class GeometryClustering(_Clustering):
    """Clustering of neutral shapes by person: silhouette, Calinski-Harabasz, Davies-Bouldin, NMCD.

    Source: methods.md, "SFM", metrics [C]; on geometry ours [O]. Alignment: none. Crop: all vertices given, or the face
    region of the face model named. Similarity: root mean square vertex distance in mm. Unit: none.
    """

    id = "clustering-geometry/v1"
    needs = ("vertices",)


LANDMARK_COLUMNS = tuple(f"{axis}{number}" for number in range(1, 69) for axis in "xy")
COLUMNS_OF_21 = tuple(f"{axis}{number}_of_21" for number in range(1, 22) for axis in "xy")


class LandmarkError(BenchmarkProtocol):
    """Base of the errors of projected landmarks, in percent of the face's box."""

    unit = "%"
    direction = "lower"
    needs = ("landmarks",)
    columns = ("yaw", "landmark_version", *LANDMARK_COLUMNS)
    numbers = ("yaw", *LANDMARK_COLUMNS)
    values = {
        "nme_balanced": "mean of the three bins",
        "nme_0_30": "mean over samples of |yaw| in [0, 30] degrees",
        "nme_30_60": "(30, 60]",
        "nme_60_90": "(60, 90]",
        "nme": "mean over all samples",
        "beyond_90": "samples beyond 90 degrees: in no bin, but in the mean over all",
    }
    units = {"beyond_90": ""}
    version: ClassVar[str]
    yaw_version: ClassVar[str] = ""
    points: ClassVar[int] = 68

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Means over bins of yaw."""
        import torch

        from recface.metrics.functional import nme_by_yaw

        versions = {"landmark_version": self.version} | ({"yaw_version": self.yaw_version} if self.yaw_version else {})
        for column, wanted in versions.items():
            found = truth.table[column].astype(str).to_numpy()
            if (other := np.flatnonzero(found != wanted)).size:
                raise RecfaceError(
                    f"{truth.where}: {truth.table['id'].iloc[other[0]]} has {column} {found[other[0]]!r}; "
                    f"{self.id} takes {wanted!r} alone"
                )
        nme = self.errors(predictions.tensor("landmarks").double(), truth)
        degrees = truth.table["yaw"].to_numpy(np.float64)
        bins = nme_by_yaw(nme, torch.from_numpy(np.radians(degrees)), open_end=bool(self.yaw_version))
        beyond = int((np.abs(degrees) > 90).sum())
        return {"nme_balanced": bins.pop("nme_balanced"), **bins, "nme": float(nme.nanmean()), "beyond_90": beyond}

    def errors(self, predicted: Tensor, truth: Truth) -> Tensor:
        """(N,) percent, from predicted landmarks (N, 68, 2) in pixels."""
        import torch

        from recface.metrics.functional.errors import landmark_nme, landmark_nme_21

        def true(columns: tuple[str, ...]) -> Tensor:
            points = truth.table[list(columns)].to_numpy(np.float64, copy=True)
            return torch.from_numpy(points.reshape(len(points), -1, 2))

        if self.points == 68:
            return landmark_nme(predicted, true(LANDMARK_COLUMNS))
        target = true(COLUMNS_OF_21)
        target[(target == -1).any(dim=-1)] = torch.nan
        return landmark_nme_21(predicted, target, true(LANDMARK_COLUMNS))


@register
class AFLW2000Original(LandmarkError):
    """Outdated, see v2: error of 68 projected points on AFLW2000-3D, by the landmarks it was published with.

    Source: Zhu et al. 2016, 3DDFA, section 5 (methods.md, "Evaluation protocols" [C], field): mean distance over
    sqrt(w h) of the true landmarks' bounding box, as a percentage; bins of absolute yaw [0,30], (30,60], (60,90] and
    the mean of the bins. Landmarks: `pt3d_68` of the published .mat files; landmark_version "original".
    Alignment: none. Crop: none; pixels of the original photo. Similarity: none. Unit: %.
    """

    id = "aflw2000-nme/v1"
    source = "Zhu et al. 2016, 3DDFA; landmarks as published (pt3d_68)"
    version = "original"


@register
class AFLW2000Reannotated(LandmarkError):
    """Outdated, see v2: error of 68 projected points on AFLW2000-3D, by the corrected landmarks.

    Source: as aflw2000-nme, with the landmarks of Bulat and Tzimiropoulos 2017 ("How far are we", LS3D-W);
    landmark_version "reannotated". Numbers of the two versions do not compare.
    Alignment: none. Crop: none; pixels of the original photo. Similarity: none. Unit: %.
    """

    id = "aflw2000-nme-reannotated/v1"
    source = "as aflw2000-nme; landmarks of Bulat and Tzimiropoulos 2017"
    version = "reannotated"


YAWS = {
    "pose": "AFLW2000-3D.pose.npy, of the fitted pose: 1,312, 383 and 305 photos",
    "new-pose": "AFLW2000-3D-new.pose.npy, after AFLW's labels, the paper's bins: 1,306, 462 and 232 photos",
}
"""The two files of yaw that 3DDFA's code brings."""


def _register_3ddfa(points: int, version: str, source: str) -> None:
    """Register the error under 3DDFA's code: one for each file of yaw."""
    for yaw, said in YAWS.items():
        document = f"""AFLW2000-3D as 3DDFA's code has it: error of {points} points, {version} landmarks, bins by {yaw}.

    Source: Zhu et al. 2016, 3DDFA, and cleardusk/3DDFA: mean distance over sqrt(w h) of the bounding box of the true 68
    landmarks, as a percentage; bins of absolute yaw [0,30], (30,60] and above 60, without an upper end, and the mean of
    the three. Yaw: {said}. Landmarks: {source}. In v1 the last bin ended at 90 degrees.
    Alignment: none. Crop: none; pixels of the original photo, whose first one has its center at 0.5. Similarity: none.
    Unit: %.
    """
        of_this = {
            "__doc__": document,
            "__module__": __name__,
            "id": f"aflw2000-nme-{points}-{version}-{yaw}/v2",
            "source": "Zhu et al. 2016; cleardusk/3DDFA, benchmark_aflw2000.py",
            "columns": (*LandmarkError.columns, "yaw_version", *(COLUMNS_OF_21 if points == 21 else ())),
            "numbers": (*LandmarkError.numbers, *(COLUMNS_OF_21 if points == 21 else ())),
            "values": LandmarkError.values
            | {"nme_60_90": "above 60", "beyond_90": "samples beyond 90 degrees, which the last bin counts"},
            "version": version,
            "yaw_version": yaw,
            "points": points,
        }
        register(type(f"AFLW2000{version.title()}{points}{yaw.title().replace('-', '')}", (LandmarkError,), of_this))


_register_3ddfa(68, "original", "AFLW2000-3D.pts68.npy, as published (pt3d_68)")
_register_3ddfa(68, "reannotated", "AFLW2000-3D-Reannotated.pts68.npy, of Bulat and Tzimiropoulos 2017")
_register_3ddfa(21, "original", "AFLW2000-3D.pts21.npy; predictions are means of the 68, as in 3DDFA's code for AFLW")
