"""Predicted meshes against raw scans: alignment, crops, exact distances."""

from recface.metrics.scan.distance import Nearest, SearchMesh, scan_to_mesh
from recface.metrics.scan.files import Scan, read_array, read_landmarks, read_rows, read_scan
from recface.metrics.scan.icp import Fit, icp, thin
from recface.metrics.scan.similarity_transform import Similarity, procrustes, require_face, require_points, sphere_crop

__all__ = [
    "Fit",
    "Nearest",
    "Scan",
    "SearchMesh",
    "Similarity",
    "icp",
    "procrustes",
    "read_array",
    "read_landmarks",
    "read_rows",
    "read_scan",
    "require_face",
    "require_points",
    "scan_to_mesh",
    "sphere_crop",
    "thin",
]
