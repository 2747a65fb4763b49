"""Draw docs/*.png: the face models, and a page of the embedded benchmark."""

from __future__ import annotations

import argparse
from pathlib import Path

from recface.data.page import draw_benchmark_page
from recface.experiment.command_line import compose_config
from recface.experiment.setup import open_workbench
from recface.render.face_model_page import draw_page

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    """Draw the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ict", type=Path, help="ict_face.npz, to draw that face model too")
    options = parser.parse_args()
    bench = open_workbench(compose_config("+experiment=baseline"))
    draw_benchmark_page(bench.benchmark, DOCS / "benchmark.png")
