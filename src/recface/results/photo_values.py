"""Values of single photos from stored predictions, and the coordinates in which pairs of them are compared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Array = np.ndarray


def factor(gram: Array) -> Array:
    """Factor L with L L^T = G, so that ||L^T d|| is the root mean square vertex distance in mm.

    Args:
        gram: (K, K) positive semi-definite, G = B^T B / V of the whitened-to-mm basis B of V vertices.

    Returns:
        (K, K); points @ L are coordinates in which Euclidean distance is distance between shapes. By eigenvalues and
        not by Cholesky, because rounding may leave the smallest one just below zero.
    """
    values, vectors = np.linalg.eigh(np.asarray(gram, np.float64))
    return vectors * np.sqrt(np.maximum(values, 0))


def cosine(first: Array, second: Array) -> Array:
    """Cosine of matching rows, (N, D) and (N, D) to (N,)."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / np.maximum(norms, 1e-12)


def reference_values(points: Array, references: Array, person: Array) -> dict[str, Array]:
    """SIR metric and rank-1 of each photo against fixed reference shapes (methods.md, "Metrics": SIR metric).

    Args:
        points: (N, D) coordinates of predicted shapes in which distance is RMS vertex distance in mm.
        references: (P, D) of the reference shapes.
        person: (N,) row of the own reference.

    Returns:
        `sir` (N,): (mean distance to the others - distance to the own) / mean distance between references;
        `rank1` (N,): 1 where the own is nearest.
    """
    distance = _distances(points, references)
    own = distance[np.arange(len(points)), person]
    others = (distance.sum(1) - own) / (len(references) - 1)
    between = _distances(references, references)
    scale = between.sum() / (len(references) * (len(references) - 1))
    return {"sir": (others - own) / scale, "rank1": (distance.argmin(1) == person).astype(float)}


def _distances(first: Array, second: Array) -> Array:
    square = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    return np.sqrt(np.maximum(square, 0))


def rows_of_people(people: Array, identity: Array) -> Array:
    """Where the person of each photo stands in a list of people.

    Args:
        people: (P,) identities, each once, in any order.
        identity: (N,) of the photos, all of them in the list.

    Returns:
        (N,) rows of `people`.
    """
    order = np.argsort(people)
    return order[np.searchsorted(people, identity, sorter=order)]


def photo_values(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Metrics that are means over photos, photo by photo.

    Args:
        arrays: Predictions.
        prefix: "test" or "photos".

    Returns:
        Metric to (N,). Those whose arrays are missing are left out.
    """
    values: dict[str, Array] = {}
    for metric, name in (("shape_error_mm", "shape_error"), ("nme", "nme")):
        if f"{prefix}_{name}" in arrays:
            values[metric] = arrays[f"{prefix}_{name}"].astype(np.float64)
    parameters = arrays[f"{prefix}_parameters"].astype(np.float64)
    values["param_energy"] = (parameters**2).mean(1)
    if f"{prefix}_true" in arrays and f"{prefix}_people" in arrays:
        person = rows_of_people(arrays[f"{prefix}_people"], arrays[f"{prefix}_identity"])
        true = arrays[f"{prefix}_true"].astype(np.float64)
        if "identity_sigma" in arrays:
            sigma = arrays["identity_sigma"].astype(np.float64)
            values["truth_cosine"] = cosine(parameters * sigma, true[person] * sigma)
        if "basis_gram" in arrays:
            root = factor(arrays["basis_gram"])
            values |= reference_values(parameters @ root, true @ root, person)
            values["truth_rank1"] = values["rank1"]
    return values


def verification_spaces(arrays: Mapping[str, Array], parameters: Array) -> dict[str, Array]:
    """Coordinates in which Euclidean distance orders pairs as a verification does.

    Args:
        arrays: Predictions.
        parameters: (N, K) of the photos.

    Returns:
        `geometry` (N, K): distance is RMS vertex distance in mm; `param` (N, K): unit vectors of sigma-weighted
        parameters, whose distance orders as the cosine does. Those whose arrays are missing are left out.
    """
    spaces: dict[str, Array] = {}
    if "basis_gram" in arrays:
        spaces["geometry"] = parameters @ factor(arrays["basis_gram"])
    if "identity_sigma" in arrays:
        weighted = parameters * arrays["identity_sigma"].astype(np.float64)
        spaces["param"] = weighted / np.maximum(np.linalg.norm(weighted, axis=1, keepdims=True), 1e-12)
    return spaces


def is_whole(arrays: Mapping[str, Array]) -> bool:
    """Whether every mode was kept: where not, metrics in which each mode counts alike are others."""
    return int(arrays.get("modes_kept", 0)) == int(arrays.get("modes_total", 0))
