"""Output of the command lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def quiet_pipe(main: Callable[[], int]) -> int:
    """Run an entry point whose reader may close the pipe early, as `| head -1` does.

    Args:
        main: Returns the exit code.

    Returns:
        Its exit code; 141, as a shell has it for a closed pipe, if nobody read to the end.
    """
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter would try to write the rest once more when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code
