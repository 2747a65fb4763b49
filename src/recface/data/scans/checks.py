"""What stage 1 of SFM asks of scans before it trains."""

from __future__ import annotations

import numpy as np

from recface.data.scans.scan_set import ScanSet
from recface.errors import RecfaceError


def check_scans(scans: ScanSet, modes: int, expression_modes: int) -> None:
    """Check that identities can be told from expressions, and that there are more scans than modes.

    Args:
        scans: The training scans.
        modes: Identity modes asked for.
        expression_modes: Expression modes asked for.

    Raises:
        RecfaceError: One person only, one scan per person only, or too few people or scans; in one line.
    """
    counts = np.bincount(scans.identity)
    if len(counts) < 2:
        raise RecfaceError(f"sfm.scan: {len(counts)} person in {len(scans)} scans; identities need two or more")
    if counts.max() < 2:
        raise RecfaceError(
            "sfm.scan: one scan per person only, so nothing tells identity from expression; give a second scan of some"
        )
    if len(counts) <= modes:
        raise RecfaceError(
            f"sfm.scan.modes: {modes} identity modes from {len(counts)} people; lower it below the number of people"
        )
    spare = len(scans) - len(counts)
    if spare < expression_modes:
        raise RecfaceError(
            f"sfm.scan.expression_modes: {expression_modes} modes from {spare} repeated scans; lower it or add scans"
        )
