"""Hooks of mkdocs.yml: pages from outside of docs/, a page of the API for each room, and each command's help.

The pages of results/, external/ and the repository's top level keep links that work in the repository. In the site the
folder docs/ is the top level, so links are rewritten on the way: those to a room of the code lead to its page of the
API, those to other files that the site does not hold become plain text.
"""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markdown import Extension
from markdown.preprocessors import Preprocessor
from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "external/README.md", "results/*.*", "examples/*.py")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
HELP = re.compile(r"<!-- help: ([\w ]+) -->")
FENCED = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)


def rooms() -> list[str]:
    """Packages and modules of recface that have a page, in alphabetical order."""
    source = ROOT / "src" / "recface"
    found = [path.parent.name for path in source.glob("*/__init__.py")]
    return sorted([*found, *(path.stem for path in source.glob("[!_]*.py"))])


class Marks(Preprocessor):
    """Keeps [A][C], our marks of sources, from being read as links."""

    def run(self, lines: list[str]) -> list[str]:
        """Part two marks that touch by a space of no width."""
        return [re.sub(r"(\[[ACO]\])(?=\[[ACO]\])", r"\1&#8203;", line) for line in lines]


class MarksExtension(Extension):
    """`Marks`, after fenced code has been taken out."""

    def extendMarkdown(self, md: Any) -> None:  # noqa: N802 (Markdown's name)
        """Register the preprocessor."""
        md.preprocessors.register(Marks(md), "marks_of_sources", 15)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the pages of the tables and of the API to the navigation."""
    config.markdown_extensions.append(MarksExtension())  # type: ignore[arg-type]
    for section in config.nav or []:
        if "API" in section:
            section["API"] = [{room: f"api/{room}.md"} for room in rooms()]
        if "Results" in section:
            pages = sorted(path.name for path in (ROOT / "results").glob("*.md") if path.name != "README.md")
            section["Results"] += [f"results/{name}" for name in pages]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/, and those of the API."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    for room in rooms():
        files.append(File.generated(config, f"api/{room}.md", content=api_page(room)))
    return files


def reading_order(path: Path) -> tuple[str, ...]:
    """Modules of a folder before its subfolders, each subfolder's own docstring first."""
    return (*path.parts[:-1], "" if path.stem == "__init__" else path.stem)


def api_page(room: str) -> str:
    """The page of a room: its docstring, then every public module with its classes and functions."""
    folder = ROOT / "src" / "recface" / room
    if not folder.is_dir():
        return f"# {room}\n\n::: recface.{room}\n    options:\n      show_root_heading: false\n"
    parts = [f"# {room}\n", f"::: recface.{room}\n    options:\n      show_root_heading: false\n      members: []\n"]
    for path in sorted(folder.rglob("*.py"), key=reading_order):
        module = ".".join(path.relative_to(folder).with_suffix("").parts)
        if module.endswith(".__init__"):  # names that it imports are told where they are defined
            parts.append(f"::: recface.{room}.{module.removesuffix('.__init__')}\n    options:\n      members: []\n")
        elif not path.stem.startswith("_"):
            parts.append(f"::: recface.{room}.{module}\n")
    return "\n".join(parts)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page, and fill in help texts."""
    uri = page.file.src_uri
    if uri.startswith(("results/", "api/")):
        page.meta["search"] = {"boost": 0.3}  # words come before columns of numbers
    outside = (ROOT / uri).exists() and not (ROOT / "docs" / uri).exists()
    here = posixpath.dirname(uri if outside else f"docs/{uri}")

    def link(match: re.Match[str]) -> str:
        image, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        if re.match(r"\w+:", target):
            return match[0]
        there = posixpath.normpath(posixpath.join(here, target)).removeprefix("docs/")
        there = "index.md" if there == "README.md" else there
        if room := re.match(r"src/recface/(\w+)", there):
            there = f"api/{room[1]}.md"
        if files.get_file_from_path(there) is None:
            return f"`{text.strip('`')}`" if (ROOT / there).exists() else match[0]
        start = posixpath.dirname(uri)
        return f"{image}[{text}]({posixpath.relpath(there, start or '.')}{anchor})"

    parts = FENCED.split(markdown)
    text = "".join(part if part.lstrip().startswith("```") else LINK.sub(link, part) for part in parts)
    return HELP.sub(lambda match: f"```text\n{help_text(match[1])}\n```", text)


def help_text(command: str) -> str:
    """The output of `recface COMMAND --help`.

    Raises:
        RuntimeError: The command does not know --help.
    """
    call = [sys.executable, "-m", "recface"]
    wide = os.environ | {"COLUMNS": "100"}
    result = subprocess.run([*call, *command.split(), "--help"], capture_output=True, text=True, cwd=ROOT, env=wide)
    if result.returncode:
        raise RuntimeError(f"recface {command} --help: {result.stderr}")
    return result.stdout.strip()
