"""`python -m recface` is the command `recface`."""

import sys

from recface.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
