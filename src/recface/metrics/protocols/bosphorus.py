"""Bosphorus with the SIR metric: does a photo's shape come nearer to its own person than to others?"""

from __future__ import annotations

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register
from recface.metrics.protocols.scans import of_each_row, row_name

YES, NO = ("1", "true", "yes", "neutral"), ("0", "false", "no", "nan", "")


class _BosphorusSIR(BenchmarkProtocol):
    source = "ours, on Bosphorus (Savran et al. 2008)"
    direction = "higher"
    needs = ("parameters", "weights")
    values = {
        "sir": "how much nearer to the own reference than to others', over the distance of references; 1 is perfect",
        "rank1": "share of photos whose nearest reference is their own",
    }

    def read(self, predictions: Predictions, truth: Truth) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Parameters (N, K), people (N,) int64, and weights (K,)."""
        self.require_needs(predictions)
        people = np.unique(truth.table["identity"].astype(str).to_numpy(dtype=str), return_inverse=True)[1]
        return predictions.array("parameters"), people.astype(np.int64), predictions.array("weights").astype(np.float64)


def _measured(
    parameters: np.ndarray, people: np.ndarray, references: np.ndarray, who: np.ndarray, weights: np.ndarray
) -> dict[str, float]:
    """SIR and rank-1 by distances of weighted parameters: all vertices of an orthonormal basis count.

    Such a distance is `rms_distances` times the square root of the number of vertices, which both metrics divide out
    (methods.md, "SIR": why parameters and geometry are linked).
    """
    import torch

    from recface.metrics.functional.recognition import rank1, sir_metric

    shapes, known = (torch.from_numpy(np.asarray(x, dtype=np.float64) * weights) for x in (parameters, references))
    distances, apart = (torch.cdist(x, known, compute_mode="donot_use_mm_for_euclid_dist") for x in (shapes, known))
    of = torch.from_numpy(people), torch.from_numpy(who)
    return {"sir": float(sir_metric(distances, *of, apart)), "rank1": float(rank1(distances, *of))}


@register
class BosphorusSIR(_BosphorusSIR):
    """Bosphorus, SIR metric against true neutral references.

    Source: formula ours (methods.md, "Metrics"); what goes in as methods.md, "Evaluation protocols": parameters of
        the photos, their labels, the neutral references, the 3DMM's standard deviations.
    Alignment: none. Crop: none; all vertices of the face model count, by way of the parameters.
    Similarity: Euclidean distance of weighted parameters. Unit: none; 1 is perfect, 0 is chance.
    The column identity labels photos, the column reference names a `.npy` with the (K,) parameters of the person's
        neutral scan in the same face model, one file a person.
    """

    id = "bosphorus-sir-true/v1"
    columns = ("identity", "reference")

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Read one reference a person, and measure every photo."""
        from recface.metrics.scan import read_numbers

        parameters, people, weights = self.read(predictions, truth)
        who, first = np.unique(people, return_index=True)
        files = truth.table["reference"].to_numpy()
        if (other := files != files[first[people]]).any():
            row = int(other.argmax())
            raise RecfaceError(f"{row_name(truth, row)}: {files[row]} is a second reference of one person; give one")

        def read(row: int) -> np.ndarray:
            values = read_numbers(truth.folder / files[row])
            if values.shape != weights.shape or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
                raise RecfaceError(
                    f"{files[row]}: reference of shape {values.shape}, expected {len(weights)} finite parameters"
                )
            return values

        references = np.stack(of_each_row(predictions, truth, read, first.tolist()))
        return _measured(parameters, people, references, who, weights)


@register
class BosphorusSIRDecoded(_BosphorusSIR):
    """Bosphorus, SIR metric against what the method predicts from each person's neutral photo.

    Source: as `BosphorusSIR`.
    Alignment: none. Crop: none; all vertices of the face model count, by way of the parameters.
    Similarity: Euclidean distance of weighted parameters. Unit: none; 1 is perfect, 0 is chance.
    The column neutral marks (1 or 0) one photo a person, whose prediction is the reference and is left out of the
        probes. What it exceeds `BosphorusSIR` by is consistent for a person, but not their shape.
    """

    id = "bosphorus-sir-decoded/v1"
    columns = ("identity", "neutral")

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Take one neutral photo a person as reference, and measure the others."""
        parameters, people, weights = self.read(predictions, truth)

        def is_neutral(row: int) -> bool:
            text = str(truth.table["neutral"].iloc[row]).strip().lower().removesuffix(".0")
            if text not in YES + NO:
                raise RecfaceError(f"neutral is {text!r}; write 1 or 0")
            return text in YES

        neutral = np.array(of_each_row(predictions, truth, is_neutral))
        counts = np.bincount(people, weights=neutral).astype(int)
        if (bad := counts[people] != 1).any():
            row = int(bad.argmax())
            count = counts[people[row]]
            raise RecfaceError(f"{row_name(truth, row)}: this person has {count} neutral photos; mark one")
        if neutral.all():
            raise RecfaceError(f"{truth.where}: every photo is a neutral reference, so none is left to measure")
        return _measured(parameters[~neutral], people[~neutral], parameters[neutral], people[neutral], weights)
