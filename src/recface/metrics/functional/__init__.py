"""The metrics as pure functions on tensors."""

from recface.metrics.functional.distribution import clustering, nmcd, parameter_energy, prior_kl, warn_collapse
from recface.metrics.functional.errors import landmark_nme, nme_by_yaw, per_vertex_error, rigid_align, similarity_align
from recface.metrics.functional.geometry import geometry_coordinates, geometry_distance_pairs
from recface.metrics.functional.recognition import (
    control_auc,
    cross_verification,
    decoded_recognition,
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
    fold_accuracy,
    geometry_scores,
    tar_at_far,
    verification,
    verification_pairs,
)

__all__ = [
    "Pairs",
    "auc",
    "clustering",
    "control_auc",
    "cosine_scores",
    "cross_verification",
    "decoded_recognition",
    "fold_accuracies",
    "fold_accuracy",
    "geometry_coordinates",
    "geometry_distance_pairs",
    "geometry_scores",
    "landmark_nme",
    "nmcd",
    "nme_by_yaw",
    "parameter_energy",
    "per_vertex_error",
    "prior_kl",
    "rank1",
    "recognition",
    "reference_photos",
    "rigid_align",
    "rms_distances",
    "similarity_align",
    "sir_metric",
    "tar_at_far",
    "true_references",
    "truth_cosine",
    "verification",
    "verification_pairs",
    "warn_collapse",
]
