"""Door to `recface tables`: python src/tables.py."""

import sys

from recface.cli.program import main

if __name__ == "__main__":
    sys.exit(main(["tables", *sys.argv[1:]]))
