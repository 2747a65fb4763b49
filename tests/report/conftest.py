from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.results import synthetic

from recface.report.comparison import rendered_comparison
from recface.report.page import render_page
from recface.results.build import build_tables
from recface.results.records import find_records
from recface.results.spec import read_spec
from recface.tracking import RunFolder, new_record

FLAGS = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """The ablation's tables of made runs, and the runs: two rows, two seeds, a log of one run."""
    folder = tmp_path_factory.mktemp("reported")
    for experiment, noise in {"baseline": 1.2, "sir": 0.6}.items():
        for seed in range(2):
            path = synthetic.make_run(folder / "runs", experiment, seed, noise, digest="h", parent="baseline")
    rows = "".join(f'{{"stage": 2, "step": {step}, "loss/pixel": {1 / step}}}\n' for step in (50, 100, 150))
    (path / "metrics.jsonl").write_text(rows)
    entries = find_records(folder / "runs", folder / "none")
    return build_tables([read_spec(ROOT / "configs" / "table" / "ablation.yaml")], entries, {}), entries


@pytest.fixture(scope="session")
def drawn(tmp_path_factory, smoke_config, benchmark, face_model):
    """A method's run on the smoke benchmark, and the faces of one person."""
    folder = RunFolder.open(tmp_path_factory.mktemp("drawn") / "sir" / "h" / "seed=0")
    folder.start(new_record("sir", "h", 0, smoke_config, data_manifest=benchmark.manifest_hash))
    count = len(benchmark.labels("test")["identity"])
    parameters = np.random.default_rng(0).normal(size=(count, face_model.num_identity - 1))  # one mode fewer
    np.savez(folder.path / "predictions.npz", test_parameters=parameters.astype(np.float16))
    folder.finish({"benchmark": {"nme": 1.0}})
    entry = find_records(folder.path.parents[2], folder.path / "none")[0]
    return entry, rendered_comparison("Faces", {"SIR": entry}, people=1)


@pytest.fixture(scope="session")
def page_file(reported, drawn, tmp_path_factory) -> Path:
    """A whole page on disk."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(render_page("Results", *reported, [drawn[1]]))
    return path


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Debian's Chromium with an empty profile."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).is_file():
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as started:
        context = started.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, headless=True, args=FLAGS.split()
        )
        context.set_default_timeout(10_000)
        yield context
        context.close()


@pytest.fixture
def page(browser, page_file):
    """The page, opened; afterwards no console error and no request may have happened."""
    opened, wrong = browser.new_page(), []
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else wrong.append(r.url))
    opened.goto(page_file.as_uri())
    yield opened
    opened.close()
    assert wrong == []
