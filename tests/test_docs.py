"""What code and pages refer to is there."""

import re

import pytest

from tests.conftest import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "external" / "README.md", *(ROOT / "docs").glob("*.md")])


def test_sections_that_docstrings_cite_are_on_the_page():
    headings = set(re.findall(r"^## (.+)$", (ROOT / "docs" / "methods.md").read_text(), re.MULTILINE))
    bold = set(re.findall(r"\*\*(Network|Training|Comparison)", (ROOT / "docs" / "methods.md").read_text()))
    cited = {}
    for path in (ROOT / "src").rglob("*.py"):
        text = " ".join(path.read_text().split())
        for section in re.findall(r'methods\.md, "([^"]+)"', text):
            cited.setdefault(section, path.name)
    assert len(cited) >= 4
    assert set(cited) <= headings | bold, {name: cited[name] for name in set(cited) - headings - bold}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target
