"""Registered scans with identity labels, for the first stage of SFM."""

from recface.data.scans.batches import ScanBatches
from recface.data.scans.checks import check_scans
from recface.data.scans.folder import MappedScans, folder_scans
from recface.data.scans.scan_set import PeopleSubset, ScanSet, split_people
from recface.data.scans.synthetic import DecodedScans, benchmark_scans, draw_scans

__all__ = [
    "DecodedScans",
    "MappedScans",
    "PeopleSubset",
    "ScanBatches",
    "ScanSet",
    "benchmark_scans",
    "check_scans",
    "draw_scans",
    "folder_scans",
    "split_people",
]
