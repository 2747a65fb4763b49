"""The diagram of the rooms is true: every import leads to a room before it."""

from __future__ import annotations

import ast
import re

from tests.conftest import ROOT

SOURCE = ROOT / "src" / "recface"
DIAGRAM = (ROOT / "docs" / "rooms.svg").read_text()
# The first box stands for the single modules, which its second line names.
SINGLE = {"errors", "versions"}
ROOMS = [name for name in re.findall(r'class="n"[^>]*>(\w+)<', DIAGRAM) if name not in SINGLE]


def imports(tree: ast.AST) -> set[str]:
    """Names below `recface` that a module imports, also inside of functions and for types alone."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "recface":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("recface."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("recface.")}
    return found


def test_the_diagram_holds_every_room():
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    modules = {path.stem for path in SOURCE.glob("*.py")} - {"__init__", "__main__"}
    assert set(ROOMS) == packages
    assert modules == SINGLE and all(name in DIAGRAM for name in SINGLE)
    table = re.findall(r"^\| \[(\w+)\]", (ROOT / "docs" / "design.md").read_text(), re.MULTILINE)
    assert table == ROOMS


def test_no_room_imports_one_after_it():
    wrong = []
    for number, room in enumerate(ROOMS):
        for path in (SOURCE / room).rglob("*.py"):
            for name in imports(ast.parse(path.read_text())) - SINGLE - set(ROOMS[: number + 1]):
                wrong.append(f"{path.relative_to(SOURCE)} imports {name}")
    for name in SINGLE:
        found = imports(ast.parse((SOURCE / f"{name}.py").read_text())) - SINGLE
        wrong += [f"{name}.py imports {other}" for other in found]
    assert wrong == []
