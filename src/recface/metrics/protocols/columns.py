"""What each metric key means: a protocol id with a version, a direction and a unit.

Two protocols never share a column. Whoever changes how a number is computed raises its version here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from recface.errors import RecfaceError


@dataclass(frozen=True)
class Protocol:
    """How a metric is computed and read.

    Attributes:
        id: name and version, written beside every value.
        direction: whether lower or higher is better; "neutral" has an ideal that lies inside (1, for the energy).
        unit: "mm", "%", or "" for a plain number.
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
    "truth_rank1": Protocol("rank1-true-references/v1", "higher"),
    "gradient_cosine": Protocol("gradient-cosine-shape-encoder/v1", "higher"),
    "conflict_share": Protocol("gradient-conflict-share/v1", "lower"),
    "recognition_loss": Protocol("separation-last-quarter/v1", "lower"),
    "reconstruction_loss": Protocol("landmark-pixel-last-quarter/v1", "lower"),
    "control_shape_auc": Protocol("control-same-shape-other-albedo/v1", "higher"),
    "control_albedo_auc": Protocol("control-other-shape-same-albedo/v1", "higher"),
}

PHOTO_PROTOCOLS: dict[str, Protocol] = {
    "param_auc": Protocol("photos-cross-auc-cos-weighted/v1", "higher"),
    "param_tar": Protocol("photos-cross-tar-at-far-1pct-cos-weighted/v1", "higher"),
    "geometry_auc": Protocol("photos-cross-auc-vertex-distance/v1", "higher"),
    "geometry_tar": Protocol("photos-cross-tar-at-far-1pct-vertex-distance/v1", "higher"),
    "rank1": Protocol("photos-cross-rank1/v1", "higher"),
}
"""Of real photographs, whose true shapes nobody knows: every smiling photo against every neutral one."""


def protocol_ids(keys: Iterable[str]) -> dict[str, str]:
    """The protocol id of each metric key, as run.json stores them.

    Source: ours [O] (methods.md, "Metrics").

    Raises:
        RecfaceError: for a key without a protocol.
    """
    keys = list(keys)
    if unknown := sorted(set(keys) - set(PROTOCOLS)):
        raise RecfaceError(f"metric {unknown[0]} has no protocol id; add it to recface.metrics.protocols.PROTOCOLS")
    return {key: PROTOCOLS[key].id for key in keys}
