"""The face region of a face model, and predictions cut to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import Predictions


@dataclass(frozen=True)
class Region:
    """Face region of a face model: its (V,) bool mask with M true, and of these the (M, 3) mean in mm.

    The basis (M, 3, K) takes whitened parameters to mm; sigma (K,) are their standard deviations in mm.
    """

    name: str
    mask: np.ndarray
    basis: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray


def read_region(name: str, path: str | Path | None = None) -> Region:
    """Cut the face region of a face model; without such a model or its data, `get` raises RecfaceError."""
    from recface.face_model import get
    from recface.metrics.evaluation import masked_basis

    model = get(name, path)
    basis = masked_basis(model.identity_basis, model.identity_sigma, model.face_mask)
    mask = model.face_mask.numpy()
    return Region(name, mask, basis.numpy(), model.mean.numpy()[mask], model.identity_sigma.numpy())


def with_region(predictions: Predictions, region: Region) -> Predictions:
    """Cut vertices to the face region; give whitened parameters of the face model a basis in place of vertices.

    The face model's sigmas become the weights of predictions that have none. Raises RecfaceError where the number of
    vertices or parameters is not the face model's.
    """
    count, modes = len(region.mask), len(region.sigma)
    changes: dict[str, Any] = {}
    first = f"{predictions.where}: row 0 (id {predictions.ids[0]})"
    if predictions.vertices is not None:
        if predictions.vertices.shape[1] != count:
            raise RecfaceError(
                f"{first}: {predictions.vertices.shape[1]:,} vertices, the face model {region.name} has {count:,}; "
                "leave out --face-model to measure all vertices"
            )
        changes |= {"vertices": predictions.vertices[:, region.mask], "region": region.mask}
    if predictions.parameters is not None and predictions.parameters.shape[1] == modes:
        changes |= {"basis": region.basis, "mean": region.mean, "region": region.mask}
        if predictions.weights is None:
            changes["weights"] = region.sigma
    elif predictions.vertices is None and predictions.parameters is not None:
        found = predictions.parameters.shape[1]
        raise RecfaceError(f"{first}: {found} parameters, the face model {region.name} has {modes}")
    return replace(predictions, **changes)
