"""Pages hold together: links and anchors lead somewhere, cited sections exist, the README stays short."""

from __future__ import annotations

import re

import pytest
from tests.conftest import ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), ROOT / "external" / "README.md", *(ROOT / "docs").glob("**/*.md")],
    key=lambda path: str(path),
)
README_WORDS = 900
FENCED = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The ids that headings get, on GitHub and on the site alike."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading) for heading in headings)
    return {re.sub(r"[ ]", "-", re.sub(r"[^\w\- ]", "", heading.lower()).strip()) for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = FENCED.sub("", page.read_text())
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", text):
        if target.startswith(("http:", "https:")):
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text()), f"{target}#{anchor}"


def test_sections_that_docstrings_cite_are_on_the_page():
    methods = (ROOT / "docs" / "methods.md").read_text()
    titles = set(re.findall(r"^## (.+)$", methods, re.MULTILINE))
    titles |= set(re.findall(r"\*\*(Network|Training|Comparison)", methods))
    cited = {}
    for path in (ROOT / "src").rglob("*.py"):
        text = " ".join(path.read_text().split())
        for section in re.findall(r'methods\.md, "([^"]+)"', text):
            cited.setdefault(section, path.name)
    assert len(cited) >= 4
    assert set(cited) <= titles, {name: cited[name] for name in set(cited) - titles}


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= README_WORDS


def test_readme_opens_with_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert text.index("make results") < text.index("make test") < text.index("![")


BRITISH = re.compile(
    r"(?i)colour|(?<![a-z])(?:grey|centred?|centres)(?![a-z])|neighbour|(?:milli|centi)metre|(?:label|model)led"
    r"|(?:normal|recogn|regular|optim|raster|minim|maxim|summar|orthogonal|quant)is(?:e|ed|es|er|ing|ation)(?![a-z])"
)


def test_one_word_for_one_thing():
    """Code and prose spell as PyTorch does, so that a search finds every place."""
    folders = ("src", "tests", "docs", "configs", "sweeps", "benchmarks", "examples", "external")
    written = [
        path for folder in folders for ending in ("py", "md", "yaml") for path in (ROOT / folder).rglob(f"*.{ending}")
    ]
    for path in [*ROOT.glob("*.md"), *written]:
        if path.name not in ("CHANGELOG.md", "test_pages.py"):
            assert not (found := BRITISH.search(path.read_text())), f"{path}: {found[0]}"
    for page in PAGES:
        assert "not ours" not in page.read_text(), page.name


FOLDERS = "src|configs|sweeps|tests|benchmarks|examples|results|docs|losses|metrics"
PLACE = re.compile(rf"`((?:{FOLDERS})/[\w/.]+\.(?:py|yaml|md|png|csv))`")


def test_files_that_prose_names_exist():
    missing = []
    for page in PAGES:
        if page.name == "CHANGELOG.md":  # names files that went
            continue
        for name in PLACE.findall(FENCED.sub("", page.read_text())):
            path = ROOT / ("src/recface/" if name.startswith(("losses/", "metrics/")) else "") / name
            if not path.exists() and "/NAME." not in name:
                missing.append(f"{page.name}: {name}")
    assert missing == []
