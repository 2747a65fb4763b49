"""Our own benchmark as protocols: many columns at once, each under the id of `columns`."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.base import BenchmarkProtocol, Predictions, Truth, register
from recface.metrics.protocols.columns import PHOTO_PROTOCOLS, PROTOCOLS
from recface.metrics.protocols.similarity import tensor

TRUE_COLUMN = re.compile(r"true_(\d+)")
_ELSEWHERE = ("control_", "nme", "sir_decoded", "rank1_decoded")


def _codes(truth: Truth, column: str):
    """Names as int64 codes in ascending order; whole numbers keep the order of their values, as runs drew pairs by."""
    import torch

    values = truth.table[column].astype(str)
    values = values.astype(np.int64) if values.str.fullmatch(r"\d{1,18}").all() else values
    values = values.to_numpy(copy=True)
    values = values if values.dtype == np.int64 else values.astype(str)
    return torch.from_numpy(np.unique(values, return_inverse=True)[1])


class _Benchmark(BenchmarkProtocol):
    source = "ours; DESIGN.md, Metrics"
    unit = ""
    direction = "higher"
    needs = ("parameters", "weights", "basis", "mean")
    columns = ("identity",)


@register
class BenchmarkShapes(_Benchmark):
    """All shape metrics of the embedded benchmark, from whitened parameters of a known face model.

    Source: ours (DESIGN.md, "Metrics"); every number has an id, direction and unit of its own in `columns.PROTOCOLS`.
    Alignment: similarity for the error, none elsewhere. Crop: face region of the face model. Similarity: cosine of
    sigma-weighted parameters, mean vertex distance. Unit: of each number. The manifest's columns true_1, true_2, ...
    hold the true whitened parameters; without them the numbers that need them are left out.
    """

    id = "benchmark-shapes/v1"
    values: ClassVar[dict[str, str]] = {
        key: column.id for key, column in PROTOCOLS.items() if not key.startswith(_ELSEWHERE)
    }

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Measure; see the base class."""
        import pandas as pd
        import torch

        from recface.metrics.evaluation import evaluate_shapes

        names = sorted((name for name in truth.table if TRUE_COLUMN.fullmatch(name)), key=lambda name: int(name[5:]))
        true = None
        if names:
            values = truth.table[names].apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
            if (bad := np.flatnonzero(~np.isfinite(values).all(axis=1))).size:
                raise RecfaceError(
                    f"{truth.where}: {truth.table['id'].iloc[bad[0]]}: its true parameters are not all numbers"
                )
            true = torch.from_numpy(np.ascontiguousarray(values))
        return evaluate_shapes(
            tensor(predictions.parameters).float(),
            _codes(truth, "identity"),
            tensor(predictions.basis).float(),
            tensor(predictions.mean).float(),
            tensor(predictions.weights).float(),
            true,
        )


class _Control(_Benchmark):
    needs = ("parameters", "basis")
    columns = ("identity", "albedo")
    control: ClassVar[Literal["shape", "albedo"]]

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Measure; see the base class."""
        from recface.metrics.functional import control_auc

        parameters, basis = tensor(predictions.parameters).float(), tensor(predictions.basis).float()
        value = control_auc(parameters, _codes(truth, "identity"), _codes(truth, "albedo"), basis, self.control)
        return {f"control_{self.control}_auc": value}


@register
class ControlShape(_Control):
    """Geometry verification of one shape under different albedos: do shapes change with appearance?

    Source: ours (DESIGN.md, "Metrics": faithfulness). Alignment: none. Crop: face region. Similarity: mean vertex
    distance. Unit: AUC in [0, 1].
    """

    id = "benchmark-control-shape/v1"
    control = "shape"
    values = {"control_shape_auc": PROTOCOLS["control_shape_auc"].id}


@register
class ControlAlbedo(_Control):
    """Geometry verification of different shapes under one albedo: are people told apart by shape at all?

    Source: ours (DESIGN.md, "Metrics": faithfulness). Alignment: none. Crop: face region. Similarity: mean vertex
    distance. Unit: AUC in [0, 1].
    """

    id = "benchmark-control-albedo/v1"
    control = "albedo"
    values = {"control_albedo_auc": PROTOCOLS["control_albedo_auc"].id}


@register
class BenchmarkPhotos(_Benchmark):
    """Verification of real photographs: every photo that is not neutral against every neutral one.

    Source: ours (DESIGN.md, the prototype's photographs). Alignment: none. Crop: face region. Similarity: cosine of
    sigma-weighted parameters, mean vertex distance, RMS vertex distance for rank-1. Unit: rates in [0, 1].
    """

    id = "benchmark-photos/v1"
    needs = ("parameters", "weights", "basis")
    columns = ("identity", "expression")
    values: ClassVar[dict[str, str]] = {key: column.id for key, column in PHOTO_PROTOCOLS.items()}

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Measure; see the base class."""
        from recface.metrics.functional import cross_verification

        neutral = (truth.table["expression"] == "neutral").to_numpy()
        gallery, probes = np.flatnonzero(neutral), np.flatnonzero(~neutral)
        identity, parameters = _codes(truth, "identity"), tensor(predictions.parameters).float()
        if not len(np.intersect1d(identity[gallery], identity[probes])):
            raise RecfaceError(f"{truth.where}: nobody has both a photo whose expression is 'neutral' and another")
        return cross_verification(
            parameters[gallery],
            identity[gallery],
            parameters[probes],
            identity[probes],
            tensor(predictions.basis).float(),
            tensor(predictions.weights).float(),
        )
