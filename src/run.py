"""Door to `recface run`: python src/run.py +experiment=sir seed=1 [key=value ...]."""

import sys

from recface.cli.program import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
