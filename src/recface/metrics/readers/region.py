"""The face region of a face model, which predictions in its topology are cut to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import Predictions


@dataclass(frozen=True)
class Region:
    """What the metrics take of a face model.

    Attributes:
        name: The model's name.
        mask: (V,) bool with M true.
        basis: (M, 3, K) mm, from whitened parameters.
        mean: (M, 3) mm.
        sigma: (K,) mm.
    """

    name: str
    mask: np.ndarray
    basis: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray


def read_region(name: str, path: str | Path | None = None) -> Region:
    """Load a face model and cut its face region.

    Args:
        name: As `recface.face_model.get`.
        path: Of its data, where it needs one.

    Returns:
        The region.

    Raises:
        RecfaceError: No such model, or its data is missing.
    """
    from recface.face_model import get
    from recface.metrics.evaluation import masked_basis

    model = get(name, path)
    basis = masked_basis(model.identity_basis, model.identity_sigma, model.face_mask)
    mask = model.face_mask.numpy()
    return Region(name, mask, basis.numpy(), model.mean.numpy()[mask], model.identity_sigma.numpy())


def with_region(predictions: Predictions, region: Region) -> Predictions:
    """Cut vertices to the face region; give parameters a basis in place of vertices.

    Args:
        predictions: With vertices of the face model's topology, or whitened parameters of it.
        region: Of the face model.

    Returns:
        Predictions on the region; the face model's sigmas are their weights where they have none.

    Raises:
        RecfaceError: The number of vertices or parameters is not the face model's.
    """
    count, modes = len(region.mask), len(region.sigma)
    changes: dict[str, np.ndarray] = {}
    if predictions.vertices is not None:
        if predictions.vertices.shape[1] != count:
            raise RecfaceError(
                f"{predictions.where}: row 0 (id {predictions.ids[0]}): {predictions.vertices.shape[1]:,} vertices, "
                f"the face model {region.name} has {count:,}; leave out --face-model to measure all vertices"
            )
        changes |= {"vertices": predictions.vertices[:, region.mask], "region": region.mask}
    if predictions.parameters is not None and predictions.parameters.shape[1] == modes:
        changes |= {"basis": region.basis, "mean": region.mean, "region": region.mask}
        if predictions.weights is None:
            changes["weights"] = region.sigma
    elif predictions.vertices is None and predictions.parameters is not None:
        raise RecfaceError(
            f"{predictions.where}: row 0 (id {predictions.ids[0]}): {predictions.parameters.shape[1]} parameters, the "
            f"face model {region.name} has {modes}"
        )
    return replace(predictions, **changes)
