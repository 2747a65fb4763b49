"""Predicted meshes against raw scans: files, exact distances, alignment, and a non-rigid step."""

from recface.metrics.scan.alignment import Fit, Similarity, icp, procrustes, sphere_crop, thin
from recface.metrics.scan.distance import Nearest, SearchMesh, scan_to_mesh
from recface.metrics.scan.files import (
    Scan,
    read_landmarks,
    read_numbers,
    read_points,
    read_rows,
    read_scan,
    require_face,
    require_points,
)

__all__ = [
    "Fit",
    "Nearest",
    "Scan",
    "SearchMesh",
    "Similarity",
    "icp",
    "procrustes",
    "read_numbers",
    "read_landmarks",
    "read_points",
    "read_rows",
    "read_scan",
    "require_face",
    "require_points",
    "scan_to_mesh",
    "sphere_crop",
    "thin",
]
