"""Draw docs/*.png again: the face models, and a page of the embedded benchmark."""

from __future__ import annotations

import argparse
from pathlib import Path

from recface.data.page import draw_benchmark_page
from recface.experiment.command_line import compose_config
from recface.experiment.setup import open_workbench
from recface.render import face_model_page

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    """Draw the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder that holds ict_face/, to draw that face model too")
    options = parser.parse_args()
    draw_benchmark_page(open_workbench(compose_config("+experiment=baseline")).benchmark, DOCS / "benchmark.png")
    face_model_page.main(["--out", str(DOCS / "face_models.png"), *(["--data", options.data] if options.data else [])])


if __name__ == "__main__":
    main()
