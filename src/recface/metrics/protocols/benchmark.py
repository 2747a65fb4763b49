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
# Of other sets, of landmarks, and of training itself.
_ELSEWHERE = ("control_", "nme", "gradient_", "conflict_", "recognition_loss", "reconstruction_loss")
_DECODED = ("yaw_abs", "expression_norm")


def _codes(truth: Truth, column: str):
    """Names as int64 codes in ascending order; whole numbers keep the order of their values, as runs drew pairs by."""
    import torch

    values = truth.table[column].astype(str)
    values = values.astype(np.int64) if values.str.fullmatch(r"\d{1,18}").all() else values
    values = values.to_numpy(copy=True)
    values = values if values.dtype == np.int64 else values.astype(str)
    return torch.from_numpy(np.unique(values, return_inverse=True)[1])


def _numbers(truth: Truth, columns: list[str]):
    """(N, C) float32 of columns that a manifest may leave out, and that are therefore not checked as it is read."""
    import pandas as pd
    import torch

    values = truth.table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    if (bad := np.argwhere(~np.isfinite(values))).size:
        row, column = bad[0]
        raise RecfaceError(f"{truth.where}: {columns[column]} of {truth.table['id'].iloc[row]} is not a number")
    return torch.from_numpy(np.array(values))


class _Benchmark(BenchmarkProtocol):
    source = "ours; docs/methods.md, Metrics"
    unit = ""
    direction = "higher"
    needs = ("parameters", "weights", "basis", "mean")
    columns = ("identity",)


@register
class BenchmarkShapes(_Benchmark):
    """All shape metrics of the embedded benchmark, from whitened parameters of a known face model.

    Source: ours (methods.md, "Metrics"); every number has an id, direction and unit of its own in `columns.PROTOCOLS`.
    Alignment: similarity for the error, none elsewhere. Crop: face region of the face model. Similarity: cosine of
    sigma-weighted parameters, mean vertex distance. Unit: of each number. The manifest's columns true_1, true_2, ...
    hold the true whitened parameters; yaw_abs (radians) and expression_norm (how far from neutral the method finds the
    photo) say which photo of a person is the decoded reference. Numbers that need absent columns are left out.
    """

    id = "benchmark-shapes/v1"
    values: ClassVar[dict[str, str]] = {
        key: column.id for key, column in PROTOCOLS.items() if not key.startswith(_ELSEWHERE)
    }

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Measure; see the base class."""
        from recface.metrics.evaluation import evaluate_shapes

        names = sorted((name for name in truth.table if TRUE_COLUMN.fullmatch(name)), key=lambda name: int(name[5:]))
        frontal = {name: _numbers(truth, [name])[:, 0] for name in _DECODED if name in truth.table}
        return evaluate_shapes(
            tensor(predictions.parameters).float(),
            _codes(truth, "identity"),
            tensor(predictions.basis).float(),
            tensor(predictions.mean).float(),
            tensor(predictions.weights).float(),
            _numbers(truth, names) if names else None,
            **frontal,
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

    Source: ours (methods.md, "Metrics": faithfulness). Alignment: none. Crop: face region. Similarity: mean vertex
    distance. Unit: AUC in [0, 1].
    """

    id = "benchmark-control-shape/v1"
    control = "shape"
    values = {"control_shape_auc": PROTOCOLS["control_shape_auc"].id}


@register
class ControlAlbedo(_Control):
    """Geometry verification of different shapes under one albedo: are people told apart by shape at all?

    Source: ours (methods.md, "Metrics": faithfulness). Alignment: none. Crop: face region. Similarity: mean vertex
    distance. Unit: AUC in [0, 1].
    """

    id = "benchmark-control-albedo/v1"
    control = "albedo"
    values = {"control_albedo_auc": PROTOCOLS["control_albedo_auc"].id}


@register
class BenchmarkPhotos(_Benchmark):
    """Verification of real photographs: every photo that is not neutral against every neutral one.

    Source: ours (methods.md, "Metrics": photographs). Alignment: none. Crop: face region. Similarity: cosine of
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
