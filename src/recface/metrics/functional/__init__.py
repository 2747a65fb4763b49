"""The metrics as pure functions on tensors."""

from recface.metrics.functional.distribution import clustering, nmcd, parameter_energy, prior_kl, warn_collapse
from recface.metrics.functional.errors import align, landmark_nme, nme_by_yaw, per_vertex_error
from recface.metrics.functional.geometry import geometry_coordinates, geometry_distance_pairs
from recface.metrics.functional.recognition import (
    MATCHED_BY,
    control_auc,
    cross_verification,
    decoded_recognition,
    matched_groups,
    rank1,
    recognition,
    reference_photos,
    rms_distances,
    sir_metric,
    true_references,
    truth_cosine,
)
from recface.metrics.functional.verification import (
    Pairs,
    auc,
    cosine_scores,
    fold_accuracies,
    mesh_scores,
    tar_at_far,
    verification,
    verification_pairs,
)

__all__ = [
    "MATCHED_BY",
    "Pairs",
    "align",
    "auc",
    "clustering",
    "control_auc",
    "cosine_scores",
    "cross_verification",
    "decoded_recognition",
    "fold_accuracies",
    "geometry_coordinates",
    "geometry_distance_pairs",
    "mesh_scores",
    "landmark_nme",
    "matched_groups",
    "nmcd",
    "nme_by_yaw",
    "parameter_energy",
    "per_vertex_error",
    "prior_kl",
    "rank1",
    "recognition",
    "reference_photos",
    "rms_distances",
    "sir_metric",
    "tar_at_far",
    "true_references",
    "truth_cosine",
    "verification",
    "verification_pairs",
    "warn_collapse",
]
