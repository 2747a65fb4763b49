"""Bosphorus with the SIR metric: does a photo's shape come nearer to its own person than to others?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register
from recface.metrics.protocols.scans import named, require_fields, required_path, row_name

if TYPE_CHECKING:
    from torch import Tensor

YES, NO = ("1", "true", "yes", "neutral"), ("0", "false", "no", "nan", "")


def weighted_distances(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> Tensor:
    """Distances between shapes whose parameters are given, all vertices of an orthonormal basis counted.

    Source: methods.md, "SIR": why parameters and geometry are linked. It is `rms_distances` times the square root of
    the number of vertices, which the SIR metric and rank-1 divide out.

    Args:
        a: (N, K).
        b: (M, K).
        weights: (K,) mm.

    Returns:
        (N, M) mm, float64.
    """
    import torch

    first, second = (torch.from_numpy(np.asarray(x, dtype=np.float64) * weights) for x in (a, b))
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")


def _parameters(protocol: str, predictions: Predictions, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    require_fields(protocol, ("parameters", "weights"), predictions, truth)
    parameters, weights = np.asarray(predictions.parameters), np.asarray(predictions.weights, dtype=np.float64)
    if parameters.ndim != 2 or weights.shape != parameters.shape[1:]:
        raise RecfaceError(
            f"{predictions.where}: parameters {parameters.shape} and weights {weights.shape}; expected (N, K) and (K,)"
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise RecfaceError(f"{predictions.where}: weights must be finite standard deviations in mm, not all zero")
    if (bad := ~np.isfinite(parameters).all(axis=1)).any():
        raise RecfaceError(f"{predictions.where}, {predictions.ids[int(bad.argmax())]}: parameters are not finite")
    return parameters, weights


def _identities(truth: Truth) -> np.ndarray:
    labels = truth.table["identity"]
    if labels.isna().any():
        raise RecfaceError(f"{row_name(truth, int(labels.isna().to_numpy().argmax()))}: no identity; name the person")
    return np.unique(labels.astype(str).to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)


def _values(
    parameters: np.ndarray, people: np.ndarray, references: np.ndarray, who: np.ndarray, weights: np.ndarray
) -> dict[str, float]:
    import torch

    from recface.metrics.functional.recognition import rank1, sir_metric

    distances, apart = (weighted_distances(x, references, weights) for x in (parameters, references))
    of = torch.from_numpy(people), torch.from_numpy(who)
    return {"sir": float(sir_metric(distances, *of, apart)), "rank1": float(rank1(distances, *of))}


class _BosphorusSIR(BenchmarkProtocol):
    unit = ""
    direction = "higher"
    needs = ("parameters", "weights")
    values: ClassVar[dict[str, str]] = {
        "sir": "how much nearer to the own reference than to others', over the distance of references; 1 is perfect",
        "rank1": "share of photos whose nearest reference is their own",
    }


@register
class BosphorusSIR(_BosphorusSIR):
    """Bosphorus, SIR metric against true neutral references.

    Source: formula ours (methods.md, "Metrics"); what goes in as methods.md, "Evaluation protocols": parameters of
        the photos, their labels, the neutral references, the 3DMM's standard deviations.
    Alignment: none.
    Crop: none; all vertices of the face model count, by way of the parameters.
    Similarity: Euclidean distance of weighted parameters. The column identity labels photos, the column reference names
        a `.npy` with the (K,) parameters of the person's neutral scan in the same face model, one file a person.
    Unit: none; 1 is perfect, 0 is chance.
    """

    id = "bosphorus-sir-true/v1"
    source = "ours, on Bosphorus (Savran et al. 2008)"
    columns = ("identity", "reference")

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """The SIR metric and rank-1 against true references; see the class and `base`."""
        parameters, weights = _parameters(self.id, predictions, truth)
        people = _identities(truth)
        files: dict[int, Path] = {}
        references: dict[int, np.ndarray] = {}
        for row, person in enumerate(people.tolist()):
            path = required_path(truth, row, "reference")
            if files.setdefault(person, path) != path:
                raise RecfaceError(f"{row_name(truth, row)}: {path.name} is a second reference of one person; give one")
            if person not in references:
                with named(row_name(truth, row)):
                    references[person] = _read_reference(path, len(weights))
        who = np.array(sorted(references), dtype=np.int64)
        return _values(parameters, people, np.stack([references[person] for person in who]), who, weights)


@register
class BosphorusSIRDecoded(_BosphorusSIR):
    """Bosphorus, SIR metric against what the method predicts from each person's neutral photo.

    Source: as `BosphorusSIR`.
    Alignment: none.
    Crop: none; all vertices of the face model count, by way of the parameters.
    Unit: none; 1 is perfect, 0 is chance.
    Similarity: Euclidean distance of weighted parameters. The column neutral marks (1 or 0) one photo a person, whose
        prediction is the reference and is left out of the probes. What it exceeds `BosphorusSIR` by is consistent for a
        person, but not their shape.
    """

    id = "bosphorus-sir-decoded/v1"
    source = "ours, on Bosphorus (Savran et al. 2008)"
    columns = ("identity", "neutral")

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """The SIR metric and rank-1 against decoded references; see the class and `base`."""
        parameters, weights = _parameters(self.id, predictions, truth)
        people = _identities(truth)
        neutral = np.array([_flag(truth, row) for row in range(len(truth))])
        for person in np.unique(people):
            rows = np.flatnonzero(people == person)
            if (count := int(neutral[rows].sum())) != 1:
                raise RecfaceError(f"{row_name(truth, int(rows[0]))}: this person has {count} neutral photos; mark one")
        if neutral.all():
            raise RecfaceError(f"{truth.where}: every photo is a neutral reference, so none is left to measure")
        return _values(parameters[~neutral], people[~neutral], parameters[neutral], people[neutral], weights)


def _flag(truth: Truth, row: int) -> bool:
    text = str(truth.table["neutral"].iloc[row]).strip().lower().removesuffix(".0")
    if text not in YES + NO:
        raise RecfaceError(f"{row_name(truth, row)}: neutral is {text!r}; write 1 or 0")
    return text in YES


def _read_reference(path: Path, modes: int) -> np.ndarray:
    from recface.metrics.scan import read_array

    values = read_array(path)
    if values.shape != (modes,) or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise RecfaceError(f"{path}: reference of shape {values.shape}, expected {modes} finite parameters")
    return values.astype(np.float64)
