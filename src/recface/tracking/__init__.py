"""The traces of a run: its folder, its record, and the small archived copy from which tables are rebuilt.

Nothing here imports torch, so that tables and sweeps start at once.
"""

from recface.tracking.archive import archive, record_stem
from recface.tracking.config_hash import config_hash, run_path
from recface.tracking.folder import RunFolder
from recface.tracking.record import RunRecord, git_state, new_record, package_versions, read_record, write_record

__all__ = [
    "RunFolder",
    "RunRecord",
    "archive",
    "config_hash",
    "git_state",
    "new_record",
    "package_versions",
    "read_record",
    "record_stem",
    "run_path",
    "write_record",
]
