"""Measure predictions of any method under a protocol of the field, or every run's again from its predictions."""

from __future__ import annotations

import os
import sys

# Small matrices: more threads would only wait for one another, and for runs that train meanwhile.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from recface.output import quiet_pipe
from recface.results.evaluate_command import main

if __name__ == "__main__":
    sys.exit(quiet_pipe(main))
