"""Our own benchmark: protocol id, direction and unit of each column, and the protocols that compute them all at once.

Two protocols never share a column. Whoever changes how a number is computed raises its version here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from recface.errors import RecfaceError
from recface.metrics.protocols.protocol import BenchmarkProtocol, Predictions, Truth, register

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Protocol:
    """How a metric is computed and read, by its id (name and version), direction and unit ("mm", "%" or "").

    The direction "neutral" has an ideal that lies inside (1, for the energy).
    """

    id: str
    direction: Literal["lower", "higher", "neutral"]
    unit: str = ""


def _clustering(space: str) -> dict[str, Protocol]:
    return {
        f"nmcd_{space}": Protocol(f"nmcd-{space}/v1", "lower"),
        f"silhouette_{space}": Protocol(f"silhouette-{space}/v1", "higher"),
        f"calinski_harabasz_{space}": Protocol(f"calinski-harabasz-{space}/v1", "higher"),
        f"davies_bouldin_{space}": Protocol(f"davies-bouldin-{space}/v1", "lower"),
    }


PROTOCOLS: dict[str, Protocol] = {
    "shape_error_mm": Protocol("shape-error-similarity/v1", "lower", "mm"),
    "mean_face_error_mm": Protocol("mean-face-error-similarity/v1", "lower", "mm"),
    "nme": Protocol("nme-68-box/v1", "lower", "%"),
    "nme_0_30": Protocol("nme-68-box-yaw-0-30/v1", "lower", "%"),
    "nme_30_60": Protocol("nme-68-box-yaw-30-60/v1", "lower", "%"),
    "nme_60_90": Protocol("nme-68-box-yaw-60-90/v1", "lower", "%"),
    "nme_balanced": Protocol("nme-68-box-yaw-mean/v1", "lower", "%"),
    "param_auc": Protocol("verification-auc-cos-weighted/v1", "higher"),
    "param_acc": Protocol("verification-10fold-cos-weighted/v1", "higher"),
    "param_tar": Protocol("verification-tar-at-far-1pct-cos-weighted/v1", "higher"),
    "geometry_auc": Protocol("verification-auc-vertex-distance/v1", "higher"),
    "geometry_acc": Protocol("verification-10fold-vertex-distance/v1", "higher"),
    "geometry_tar": Protocol("verification-tar-at-far-1pct-vertex-distance/v1", "higher"),
    "sir": Protocol("sir-true-references/v1", "higher"),
    "rank1": Protocol("rank1-true-references/v1", "higher"),
    "sir_decoded": Protocol("sir-decoded-references/v1", "higher"),
    "rank1_decoded": Protocol("rank1-decoded-references/v1", "higher"),
    **_clustering("param"),
    **_clustering("geometry"),
    "prior_kl": Protocol("prior-kl-per-dimension/v1", "lower"),
    "param_energy": Protocol("parameter-energy/v1", "neutral"),
    "truth_cosine": Protocol("truth-cosine-weighted/v1", "higher"),
    "gradient_cosine": Protocol("gradient-cosine-shape-encoder/v1", "higher"),
    "conflict_share": Protocol("gradient-conflict-share/v1", "lower"),
    "recognition_loss": Protocol("separation-last-quarter/v1", "lower"),
    "reconstruction_loss": Protocol("landmark-pixel-last-quarter/v1", "lower"),
    "control_shape_auc": Protocol("control-same-shape-other-albedo/v1", "higher"),
    "control_albedo_auc": Protocol("control-other-shape-same-albedo/v1", "higher"),
}

PHOTO_PROTOCOLS: dict[str, Protocol] = {
    **{
        f"{key}{space}_{metric}": Protocol(f"photos-{pairs}-{rule}-{score}/v1", "higher")
        for key, pairs in (("", "cross"), ("matched_", "cross-matched"))
        for space, score in (("param", "cos-weighted"), ("geometry", "vertex-distance"))
        for metric, rule in (("auc", "auc"), ("tar", "tar-at-far-1pct"))
    },
    "rank1": Protocol("photos-cross-rank1/v1", "higher"),
}
"""Real photographs, whose true shapes nobody knows: every smiling photo against every neutral one. In the
matched ones impostors are of one sex and ethnicity."""


_OF_CONDITIONS: tuple[tuple[str, str, str, Literal["lower", "higher"], str], ...] = (
    ("shape_error_mm", "shape-error-similarity", "v1", "lower", "mm"),
    ("nme", "nme-68-box", "v1", "lower", "%"),
    ("geometry_auc", "verification-auc-mean-vertex-distance", "v2", "higher", ""),
)
CONDITION_PROTOCOLS: dict[str, Protocol] = {
    f"{condition}/{metric}": Protocol(f"{rule}-condition-{condition.replace('_', '-')}/{version}", direction, unit)
    for condition in ("light", "expression", "large_pose", "occlusion", "plain")
    for metric, rule, version, direction, unit in _OF_CONDITIONS
}
"""Test photos under a condition; v1 of the AUC was by root mean square distance."""


def protocol_ids(keys: Iterable[str]) -> dict[str, str]:
    """The protocol ids of metric keys, as run.json stores them; raises RecfaceError for a key without a protocol."""
    keys, known = list(keys), PROTOCOLS | CONDITION_PROTOCOLS
    if unknown := sorted(set(keys) - set(known)):
        raise RecfaceError(f"metric {unknown[0]} has no protocol id; add it to recface.metrics.protocols.PROTOCOLS")
    return {key: known[key].id for key in keys}


# Numbers of other sets, of landmarks, and of training itself.
_ELSEWHERE = ("control_", "nme", "gradient_", "conflict_", "recognition_loss", "reconstruction_loss")
_DECODED = ("yaw_abs", "expression_norm")


def _codes(truth: Truth, column: str) -> Tensor:
    """Names as int64 codes in ascending order; whole numbers sort by value, as when runs drew pairs."""
    import pandas as pd
    import torch

    values = truth.table[column].astype(str)
    if values.str.fullmatch(r"\d{1,18}").all():
        values = values.astype(np.int64)
    return torch.from_numpy(pd.factorize(values, sort=True)[0])


def _floats(predictions: Predictions, *fields: str) -> list[Tensor]:
    """Fields of predictions in single precision."""
    return [predictions.tensor(field).float() for field in fields]


def _numbers(truth: Truth, columns: list[str]) -> Tensor:
    """(N, C) float32 of columns that a manifest may leave out, and that are therefore not checked as it is read."""
    import pandas as pd
    import torch

    values = truth.table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    if (bad := np.argwhere(~np.isfinite(values))).size:
        row, column = bad[0]
        raise RecfaceError(f"{truth.where}: {columns[column]} of {truth.table['id'].iloc[row]} must be a finite number")
    return torch.from_numpy(np.array(values))


class _Benchmark(BenchmarkProtocol):
    source = "ours; docs/methods.md, Metrics"
    direction = "higher"
    needs: ClassVar[tuple[str, ...]] = ("parameters", "weights", "basis", "mean")
    columns: ClassVar[tuple[str, ...]] = ("identity",)


@register
class BenchmarkShapes(_Benchmark):
    """All shape metrics of the embedded benchmark, from whitened parameters of a known face model.

    Source: ours (methods.md, "Metrics"); every number has an id, direction and unit of its own in `PROTOCOLS`.
    Alignment: similarity for the error, none elsewhere. Crop: face region of the face model. Similarity: cosine of
    sigma-weighted parameters, mean vertex distance. Unit: of each number. The manifest's columns true_1, true_2, ...
    hold the true whitened parameters; yaw_abs (radians) and expression_norm (how far from neutral the method finds the
    photo) say which photo of a person is the decoded reference. Numbers that need absent columns are left out.
    """

    id = "benchmark-shapes/v1"
    values = {key: column.id for key, column in PROTOCOLS.items() if not key.startswith(_ELSEWHERE)}

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Hand predictions and truth to `evaluate_shapes`."""
        from recface.metrics.evaluation import evaluate_shapes

        names = sorted(truth.table.filter(regex=r"^true_\d+$"), key=lambda name: int(name[5:]))
        frontal = {name: _numbers(truth, [name])[:, 0] for name in _DECODED if name in truth.table}
        true = _numbers(truth, names) if names else None
        parameters, basis, mean, weights = _floats(predictions, "parameters", "basis", "mean", "weights")
        return evaluate_shapes(parameters, _codes(truth, "identity"), basis, mean, weights, true, **frontal)


class _Control(_Benchmark):
    needs = ("parameters", "basis")
    columns = ("identity", "albedo")
    control: ClassVar[Literal["shape", "albedo"]]

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        from recface.metrics.functional import control_auc

        parameters, basis = _floats(predictions, "parameters", "basis")
        value = control_auc(parameters, _codes(truth, "identity"), _codes(truth, "albedo"), basis, self.control)
        return {f"control_{self.control}_auc": float(value)}


for _control, _question in {
    "shape": "Geometry verification of one shape under different albedos: do shapes change with appearance?",
    "albedo": "Geometry verification of different shapes under one albedo: are people told apart by shape at all?",
}.items():
    _document = f"""{_question}

    Source: ours (methods.md, "Metrics": faithfulness). Alignment: none. Crop: face region. Similarity: mean vertex
    distance. Unit: AUC in [0, 1].
    """
    _members = {"id": f"benchmark-control-{_control}/v1", "control": _control, "__module__": __name__}
    _values = {f"control_{_control}_auc": PROTOCOLS[f"control_{_control}_auc"].id}
    register(type(f"Control{_control.title()}", (_Control,), _members | {"__doc__": _document, "values": _values}))


@register
class BenchmarkPhotos(_Benchmark):
    """Verification of real photographs: every photo that is not neutral against every neutral one.

    Source: ours (methods.md, "Metrics": photographs). Alignment: none. Crop: face region. Similarity: cosine of
    sigma-weighted parameters, mean vertex distance, RMS vertex distance for rank-1. Unit: rates in [0, 1].
    The manifest's columns gender and ethnicity (empty = unknown) say which impostors are matched; without such a pair
    the matched numbers are left out.
    """

    id = "benchmark-photos/v1"
    needs = ("parameters", "weights", "basis")
    columns = ("identity", "expression")
    values = {key: column.id for key, column in PHOTO_PROTOCOLS.items()}

    def evaluate(self, predictions: Predictions, truth: Truth) -> dict[str, float]:
        """Hand predictions and truth to `cross_verification`."""
        import torch

        from recface.metrics.functional import cross_verification, matched_groups

        neutral = (truth.table["expression"] == "neutral").to_numpy(copy=True)
        identity = _codes(truth, "identity")
        if not len(np.intersect1d(identity[neutral], identity[~neutral])):
            raise RecfaceError(f"{truth.where}: nobody has both a photo whose expression is 'neutral' and another")
        parameters, basis, weights = _floats(predictions, "parameters", "basis", "weights")
        groups = matched_groups(truth.table, len(truth))
        metrics = cross_verification(parameters, identity, torch.from_numpy(neutral), basis, weights, groups=groups)
        return {key: float(value) for key, value in metrics.items()}
