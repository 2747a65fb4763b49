"""The code blocks of a page, and a copy of the repository in which they run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

BLOCK = re.compile(
    r"(?P<run><!-- run -->\n)?^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


LINKED = ("render",)
"""Rooms of the copy that are those of the repository: their compiled kernels are cached beside the source."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it is, its code, and whether it is marked to be run."""

    language: str
    title: str | None
    code: str
    marked: bool


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page that name a language."""
    return [
        Block(match["language"], match["title"], match["code"], match["run"] is not None)
        for match in BLOCK.finditer(page.read_text())
    ]


class Copy:
    """A copy of the repository's code and configurations; programs run in it import from it."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        for name in ("src", "configs", "sweeps", "external", "pyproject.toml"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(
                    source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", *LINKED)
                )
            else:
                shutil.copy(source, folder / name)
        for name in LINKED:
            (folder / "src" / "recface" / name).symlink_to(ROOT / "src" / "recface" / name)
        self.environment = os.environ | {
            "PYTHONPATH": str(folder / "src"),
            "RECFACE_CACHE": str(cache.resolve()),
            "OMP_NUM_THREADS": "1",
        }

    def add(self, block: Block) -> None:
        """Write a titled block as its file, or apply a diff to its file."""
        path = self.folder / block.title
        if block.language == "diff":
            lines = block.code.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] in " -")
            after = "".join(line[1:] for line in lines if line[0] in " +")
            text = path.read_text()
            assert text.count(before) == 1, f"{block.title} does not hold once:\n{before}"
            path.write_text(text.replace(before, after))
        else:
            assert not path.exists(), f"{block.title} exists already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code)

    def run(self, *command: str) -> str:
        """Run a program in the copy; returns what it prints."""
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600
        )
        assert result.returncode == 0, f"{' '.join(command)[:200]}\n{result.stdout[-2000:]}\n{result.stderr[-3000:]}"
        return result.stdout

    @staticmethod
    def shell(code: str) -> list[str]:
        """A command that runs shell lines; `recface` is the copy's."""
        recface = f'recface() {{ "{sys.executable}" -m recface "$@"; }}\nset -e\n'
        return ["bash", "-c", recface + code.replace("PYTHONPATH=", "PYTHONPATH=$PYTHONPATH:")]
