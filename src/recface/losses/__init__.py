"""Loss terms. Each averages over the samples that carry its label, and over none is exactly zero with zero gradient."""

from recface.losses.center import WeightedCenter, center_loss, center_weight
from recface.losses.landmark import landmark_loss
from recface.losses.parameter_prior import prior_loss, tikhonov_loss
from recface.losses.photometric import feature_loss, perceptual_loss, pixel_loss
from recface.losses.prototypes import prototype_loss
from recface.losses.separation import Separation, cosface_loss, cosine_similarity
from recface.losses.total_loss import masked_mean, weighted_sum

__all__ = [
    "Separation",
    "WeightedCenter",
    "center_loss",
    "center_weight",
    "cosface_loss",
    "cosine_similarity",
    "feature_loss",
    "landmark_loss",
    "masked_mean",
    "perceptual_loss",
    "pixel_loss",
    "prior_loss",
    "prototype_loss",
    "tikhonov_loss",
    "weighted_sum",
]
