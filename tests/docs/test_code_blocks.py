"""The code on the pages runs, in a copy of the repository; commands that take long are checked without running."""

from __future__ import annotations

import json
import re
import shlex
import sys

import pytest
from tests.conftest import ROOT
from tests.docs.pages import BLOCK, Copy, blocks

PAGES = sorted([ROOT / "README.md", ROOT / "external" / "README.md", *(ROOT / "docs").glob("*.md")])
ALIASES = {"sweep run", "scans learn"}
"""Longer forms of `recface sweep` and `recface scans`."""


@pytest.mark.slow
def test_extending_works_as_the_page_says(tmp_path, cache_dir):
    """Files first, then Python blocks of a page in one process, with shell blocks where they stand."""
    copy = Copy(tmp_path, cache_dir)
    page = blocks(ROOT / "docs" / "extend.md")
    for block in page:
        if block.title:
            copy.add(block)
    script = ["import subprocess, sys"]
    for block in page:
        if block.title:
            continue
        if block.language == "python":
            script.append(block.code)
        elif block.language == "bash":
            assert block.marked, block.code
            script.append(f"subprocess.run({copy.shell(block.code)!r}, check=True)")
    printed = copy.run(sys.executable, "-c", "\n".join(script))
    assert "variant: my_package.closer:Closer" in printed

    records = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/*/seed=0/run.json")]
    by_name = {record["experiment"]: record for record in records}
    assert {"gathered", "sir", "baseline", "stage1"} <= set(by_name)
    assert all(record["state"] == "finished" for record in records)
    metrics = by_name["gathered"]["metrics"]["benchmark"]
    assert metrics["shape_rms_mm"] >= metrics["shape_error_mm"] > 0
    # Three runs of three configurations of stage 1: gathered, one more source, another face model.
    assert sum(record["experiment"] == "stage1" for record in records) == 3
    (written,) = tmp_path.glob("runs/gathered/*/*/metrics.jsonl")
    assert any(json.loads(line).get("loss/gathering", 0) > 0 for line in written.read_text().splitlines())


OTHERS = [p for p in PAGES if p.name not in ("extend.md", "protocols.md") and "```python" in p.read_text()]


@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.name)
def test_other_python_blocks_run(page, tmp_path, monkeypatch, cache_dir):
    code = [block for block in blocks(page) if block.language == "python"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECFACE_CACHE", str(cache_dir.resolve()))
    for block in code:
        exec(compile(block.code, str(page), "exec"), {})  # noqa: S102


def test_the_block_of_the_protocols_page_runs(tmp_path, monkeypatch):
    """Its paths are placeholders: a folder of predictions and a list of pairs."""
    import numpy as np

    random = np.random.default_rng(0)
    (tmp_path / "DIR").mkdir()
    people = [f"Person_{letter}" for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"]
    ids = [f"{person}_{photo:04d}" for person in people for photo in (1, 2)]
    np.savez(tmp_path / "DIR" / "predictions.npz", ids=np.array(ids), parameters=random.normal(size=(80, 5)))
    same = [f"{person} 1 2" for person in people] * 75
    other = [f"{a} 1 {b} 2" for a in people for b in people if a != b][:300] * 10
    lines = [line for fold in range(10) for line in same[300 * fold : 300 * fold + 300] + other[300 * fold :][:300]]
    (tmp_path / "pairs.txt").write_text("10 300\n" + "\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in blocks(ROOT / "docs" / "protocols.md") if block.language == "python"]
    exec(compile(block.code, "protocols.md", "exec"), {})  # noqa: S102


@pytest.mark.slow
def test_the_quick_start_runs(tmp_path, cache_dir):
    copy = Copy(tmp_path, cache_dir)
    (block,) = [block for block in blocks(ROOT / "docs" / "index.md") if block.marked]
    path = copy.run(*copy.shell(block.code)).strip().splitlines()[-1]
    assert re.fullmatch(r"runs/no_kl/\w{8}/seed=3/run.json", path)
    assert json.loads((tmp_path / path).read_text())["state"] == "finished"


def commands() -> list[tuple[str, str]]:
    """Every line that calls `recface`, in blocks and in tables, with its page."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")  # a line that goes on in the next
        lines = [line for match in BLOCK.finditer(text) for line in match["code"].splitlines()]
        lines += re.findall(r"`((?:recface|make) [^`]+)`", BLOCK.sub("", text))
        lines += [
            line
            for block in re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
            for line in block.splitlines()
        ]
        found += [(page.name, line.strip()) for line in lines if re.match(r"\s*(recface|make) [a-z]", line)]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda value: value)
def test_commands_exist_and_their_keys_are_known(page, line):
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert [word for word in words[1:] if "=" not in word and word not in targets] == []
        return
    from recface.cli.program import COMMANDS

    if words[1] == "COMMAND" or words[1].startswith("--"):
        return
    command = COMMANDS.get(" ".join(words[1:3])) or COMMANDS[words[1]]
    rest = words[1 + len(command.name.split()) :]
    if "|" in line or not rest:
        return
    command.parser().parse_intermixed_args(rest)
    experiment = [word for word in rest if word.startswith("+experiment=")]
    if command.name == "run" and "gathered" not in line:
        from recface.settings.compose import check_overrides, compose_config

        overrides = [word for word in rest if "=" in word and not word.startswith(("-", "hydra"))]
        check_overrides(overrides)
        choices = [word.split(",")[0] for word in overrides if not word.startswith("+data.sources")]
        assert experiment
        compose_config(*choices, missing=True)


def test_the_page_of_commands_names_each_command():
    from recface.cli.program import COMMANDS

    text = (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in COMMANDS.keys() - ALIASES if f"recface {name}" not in text] == []
