"""Metrics recomputed from stored predictions, under every bootstrap draw of identities."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np

from recface.results import statistics
from recface.results.auc import ImpostorDraws, auc, draw_impostors
from recface.results.pairs import Pairs, cross_pairs, pair_distances, verification_pairs
from recface.results.photo_values import is_whole, photo_values, verification_spaces

Array = np.ndarray


@dataclass(frozen=True)
class Draws:
    """Draws of the identities of a set of photos.

    Attributes:
        groups: (N,) person of each photo as 0 .. P-1.
        weights: (P, 1 + R) multiplicities, the first all one.
        pairs: Of photos, to verify.
        owners: (G,) person of each genuine pair.
        impostors: The impostor pairs under every draw.
    """

    groups: Array
    weights: Array
    pairs: Pairs
    owners: Array
    impostors: ImpostorDraws


class Replicator:
    """Recomputes metrics of one block's records under the same draws of identities.

    The first replicate is the metric itself, every identity once. Geometry AUC is taken on root mean square vertex
    distances: the tables' point value is that of the mean per-vertex distance, which stored predictions do not hold.

    Args:
        prefix: Prefix of the block's arrays.
        replicates: R.
        seed: Of the draws.
    """

    def __init__(self, prefix: str, replicates: int = 2000, seed: int = 0) -> None:
        self.prefix, self.replicates, self.seed = prefix, replicates, seed
        self._draws: dict[bytes, Draws] = {}

    def signature(self, arrays: Mapping[str, Array]) -> bytes:
        """Which photos were evaluated: records pair only if this is equal. b"" where there are none."""
        identity = arrays.get(f"{self.prefix}_identity")
        if identity is None or f"{self.prefix}_parameters" not in arrays:
            return b""
        expression = arrays.get(f"{self.prefix}_expression", np.empty(0))
        return identity.astype("<i8").tobytes() + expression.tobytes()

    def __call__(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Replicates of every metric that these predictions allow.

        Args:
            arrays: Reduced predictions of one record.

        Returns:
            Metric to (1 + R,).
        """
        if not self.signature(arrays):
            return {}
        drawn = self.drawn(arrays)
        groups, weights = drawn.groups, drawn.weights
        parameters = arrays[f"{self.prefix}_parameters"].astype(np.float64)
        result = {
            metric: statistics.grouped_mean(values, groups, weights)
            for metric, values in photo_values(arrays, self.prefix).items()
        }
        spaces = verification_spaces(arrays, parameters)
        if "geometry" in spaces:
            result["nmcd_geometry"] = statistics.nmcd(spaces["geometry"], groups, weights)
        for name, points in spaces.items():
            genuine, impostor = pair_distances(points, drawn.pairs)
            result[f"{name}_auc"] = auc(genuine, impostor, drawn.owners, drawn.impostors, weights)
        if is_whole(arrays):
            result["nmcd_param"] = statistics.nmcd(parameters, groups, weights)
            result["prior_kl"] = statistics.prior_kl(parameters, groups, weights)
        else:  # every mode counts alike in these, so that leading modes alone would be another metric
            result.pop("param_energy")
        return result

    def drawn(self, arrays: Mapping[str, Array]) -> Draws:
        """People, identity weights and pairs of a set of photos, drawn once.

        Args:
            arrays: Reduced predictions with a signature.

        Returns:
            The draws, the same for records of one signature.
        """
        key = self.signature(arrays)
        if key not in self._draws:
            groups = np.unique(arrays[f"{self.prefix}_identity"], return_inverse=True)[1]
            people = int(groups.max()) + 1
            drawn = statistics.draw_weights(people, self.replicates, self.seed)
            weights = np.concatenate([np.ones((people, 1), np.float32), drawn], 1)
            expression = arrays.get(f"{self.prefix}_expression")
            folds = max(1, min(10, people // 2))
            pairs = verification_pairs(groups, folds) if expression is None else cross_pairs(groups, expression)
            impostors = draw_impostors(groups[pairs.impostor], weights)
            self._draws[key] = Draws(groups, weights, pairs, groups[pairs.genuine[:, 0]], impostors)
        return self._draws[key]

    def forget_draws(self, keep: Container[bytes]) -> None:
        """Drop the draws of photos whose signature is not to be kept; they would be drawn again the same."""
        self._draws = {signature: drawn for signature, drawn in self._draws.items() if signature in keep}
