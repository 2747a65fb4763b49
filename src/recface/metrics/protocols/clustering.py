"""How tightly the predictions of one person cluster."""

from __future__ import annotations

import numpy as np

from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register
from recface.metrics.protocols.verification import tensor

CLUSTERING_VALUES = {
    "silhouette": "mean silhouette, in [-1, 1], higher is better",
    "calinski_harabasz": "Calinski-Harabasz index, higher is better",
    "davies_bouldin": "Davies-Bouldin index, lower is better",
    "nmcd": "squared distance to the own centre over that between centres, lower is better",
}


class _Clustering(BenchmarkProtocol):
    source = "Sphere Face Model's metrics (docs/methods.md); the first three as in scikit-learn"
    unit = ""
    direction = "higher"
    columns = ("identity",)
    values = CLUSTERING_VALUES

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Measure; see the base class."""
        import torch

        from recface.metrics.functional import clustering

        identity = np.unique(truth.table["identity"].astype(str).to_numpy(), return_inverse=True)[1]
        values = clustering(self.points(predictions), torch.from_numpy(identity))
        return {key: float(value) for key, value in values.items()}

    def points(self, predictions: Predictions):
        """(N, D) coordinates that are clustered."""
        raise NotImplementedError


@register
class ParameterClustering(_Clustering):
    """Clustering of shape parameters by person: silhouette, Calinski-Harabasz, Davies-Bouldin, NMCD.

    Source: methods.md, "SFM", metrics [C]; scikit-learn's definitions. Alignment: none. Crop: none. Similarity:
    Euclidean on the parameters as the method has them. Unit: none.
    """

    id = "clustering-parameters/v1"
    needs = ("parameters",)

    def points(self, predictions: Predictions):
        """The parameters."""
        return tensor(predictions.parameters)


@register
class GeometryClustering(_Clustering):
    """Clustering of neutral shapes by person: silhouette, Calinski-Harabasz, Davies-Bouldin, NMCD.

    Source: methods.md, "SFM", metrics [C]; on geometry ours [O]. Alignment: none. Crop: all vertices given, or the face
    region of the face model named. Similarity: root mean square vertex distance in mm. Unit: none.
    """

    id = "clustering-geometry/v1"
    needs = ("vertices",)

    def points(self, predictions: Predictions):
        """Coordinates whose Euclidean distance is the root mean square vertex distance."""
        from recface.metrics.functional import geometry_coordinates

        if predictions.vertices is None:
            return geometry_coordinates(tensor(predictions.parameters), tensor(predictions.basis))
        flat = tensor(predictions.vertices).flatten(1).double()
        return flat / (flat.shape[1] / 3) ** 0.5
