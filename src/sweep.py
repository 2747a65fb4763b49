"""Door to `recface sweep`: python src/sweep.py sweeps/ablation.yaml --workers 2."""

import sys

from recface.cli.program import main

if __name__ == "__main__":
    sys.exit(main(["sweep", *sys.argv[1:]]))
