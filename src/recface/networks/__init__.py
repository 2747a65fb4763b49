"""Networks: photos to coefficients of a face model, and to confidence maps."""

from recface.networks.backbone import split_backbone
from recface.networks.confidence import MIRRORED, NORMAL, ConfidenceMaps, ConfidenceNet
from recface.networks.encoders import Coefficients, Encoders
from recface.networks.matmul_convolution import MatmulConv2d, use_matmul

__all__ = [
    "MIRRORED",
    "NORMAL",
    "Coefficients",
    "ConfidenceMaps",
    "ConfidenceNet",
    "Encoders",
    "MatmulConv2d",
    "split_backbone",
    "use_matmul",
]
