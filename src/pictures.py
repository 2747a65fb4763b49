"""Draw docs/*.png again: the face models, a page of the embedded benchmark, and methods side by side on its photos."""

from __future__ import annotations

import argparse
from pathlib import Path

from recface.data.workbench import open_workbench
from recface.figures import face_model_page
from recface.figures.benchmark_page import draw_benchmark_page
from recface.figures.comparison_page import draw_comparison_page, page_methods
from recface.settings.compose import compose_config

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def main() -> None:
    """Draw the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder that holds ict_face/, to draw that face model too")
    options = parser.parse_args()
    bench = open_workbench(compose_config("+experiment=baseline"))
    draw_benchmark_page(bench.benchmark, DOCS / "benchmark.png")
    methods = page_methods(ROOT / "runs", ROOT / "results" / "records", bench.benchmark.manifest_hash)
    draw_comparison_page(bench, methods, DOCS / "comparison.png")
    face_model_page.main(["--out", str(DOCS / "face_models.png"), *(["--data", options.data] if options.data else [])])


if __name__ == "__main__":
    main()
