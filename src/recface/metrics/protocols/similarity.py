"""What verification protocols share: how alike two predictions are, in one of four fixed ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.base import Predictions, Truth

if TYPE_CHECKING:
    from torch import Tensor

    from recface.metrics.functional import Pairs


@dataclass(frozen=True)
class Similarity:
    """A similarity that a protocol fixes in advance.

    Attributes:
        name: part of the protocol's id.
        space: "parameters" or "vertices", the field of `Predictions` it reads.
        kind: "cos" or "euclid".
        text: for docstrings.
    """

    name: str
    space: Literal["parameters", "vertices"]
    kind: Literal["cos", "euclid"]
    text: str


SIMILARITIES = (
    Similarity("cos", "parameters", "cos", "cosine of the shape parameters as the method has them"),
    Similarity("euclid", "parameters", "euclid", "minus the Euclidean distance of the shape parameters"),
    Similarity(
        "geometry-cos",
        "vertices",
        "cos",
        "cosine of the neutral shapes' offsets from the mean of all shapes predicted (ours)",
    ),
    Similarity("geometry-euclid", "vertices", "euclid", "minus the mean per-vertex distance of neutral shapes (ours)"),
)


def pair_scores(predictions: Predictions, pairs: Pairs, similarity: Similarity) -> Tensor:
    """How alike the two predictions of each pair are.

    Args:
        predictions: N predictions with parameters, or with vertices (or a basis in their place).
        pairs: P pairs of rows.
        similarity: in which way.

    Returns:
        (P,) larger = more alike.
    """
    import torch

    from recface.metrics.functional.similarity import linear_geometry_scores, mesh_scores, vector_scores

    cosine = similarity.kind == "cos"
    if similarity.space == "parameters":
        return vector_scores(tensor(predictions.parameters), pairs, cosine=cosine)
    if predictions.vertices is None:
        parameters, basis = tensor(predictions.parameters), tensor(predictions.basis)
        return linear_geometry_scores(parameters.float(), basis.float(), pairs, cosine=cosine)
    vertices = predictions.vertices

    def decode(rows: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(vertices[rows.numpy()], np.float32))

    return mesh_scores(decode, len(predictions), pairs, cosine=cosine)


def tensor(values: np.ndarray | None) -> Tensor:
    """A field of predictions as a tensor of its own."""
    import torch

    assert values is not None, "the protocol's needs are checked before it is asked"
    return torch.from_numpy(np.array(values))


def pairs_of(truth: Truth) -> Pairs:
    """The pair list, as rows, for the functional metrics.

    Raises:
        RecfaceError: The truth has no pair list, or a fold lacks genuine or impostor pairs.
    """
    import torch

    from recface.metrics.functional import Pairs

    table = truth.pairs
    if table is None:
        raise RecfaceError(f"{truth.where}: this protocol needs a pair list; give pairs.csv (docs/protocols.md)")
    kinds = table.groupby("fold")["same"].agg(["sum", "size"])
    poor = kinds.index[(kinds["sum"] == 0) | (kinds["sum"] == kinds["size"])]
    if len(poor):
        genuine, total = kinds.loc[poor[0]]
        raise RecfaceError(
            f"{truth.where}: fold {poor[0]} has {genuine} genuine pairs of {total}; each fold needs pairs of both kinds"
        )
    columns = (table[name].to_numpy() for name in ("first", "second", "same", "fold"))
    return Pairs(*(torch.from_numpy(np.array(column)) for column in columns))
