"""The site builds without a warning, holds what it should, and fetches nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_every_page_and_fetches_nothing(site):
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    rooms = {path.parent.name for path in (ROOT / "src" / "recface").glob("*/__init__.py")}
    assert {"index.html", "findings.html", "results/index.html", "CHANGELOG.html", "CONTRIBUTING.html"} <= pages
    assert {f"api/{room}.html" for room in rooms} <= pages
    for page in pages:
        text = (site / page).read_text()
        fetched = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"?(https?:[^\s\">]+)", text)
        assert [address for address in fetched if "canonical" not in address] == [], page
        here = (site / page).parent
        for target in re.findall(r"(?:href|src)=\"([^\"#:]+)(?:#[^\"]*)?\"", text):
            if target != "/" and not target.startswith("/"):  # 404.html alone has absolute addresses
                assert (here / unescape(target)).exists(), f"{page}: {target}"


@pytest.mark.slow
def test_the_page_of_commands_prints_their_help(site):
    text = unescape((site / "commands.html").read_text())
    assert "usage: recface run" in text and "usage: recface baselines register" in text


@pytest.mark.slow
def test_pages_of_the_api_hold_docstrings(site):
    text = unescape((site / "api" / "losses.html").read_text())
    assert 'id="recface.losses.separation.cosface_loss"' in text
    assert "Large-margin cosine loss" in text
