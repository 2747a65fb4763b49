"""YAML files with the line of every key, within limits that no honest one comes near."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from recface.errors import RecfaceError
from recface.files.guard import guarded

LARGEST_BYTES = 1_000_000
DEPTH, NODES = 50, 50_000
"""Limits of a YAML file: levels of nesting, and nodes with every alias written out."""
Place = tuple[str, ...]
"""Keys and indices, from the outermost to the innermost."""
DIGITS = 100
"""Longest number of a YAML file."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # in C where it was built
    """The safe loader, with the place of a value that Python does not take, such as the date 2026-02-30."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from None


@dataclass(frozen=True)
class Lines:
    """Where things are in a YAML file: path of keys and list indices to the line it begins on."""

    numbers: Mapping[Place, int] = field(default_factory=dict)

    def of(self, *path: Any) -> int:
        """Line of a path; that of the nearest part above it where it is not in the file itself."""
        names = tuple(str(part) for part in path)
        while names and names not in self.numbers:
            names = names[:-1]
        return self.numbers.get(names, 1)


def read_yaml(path: str | Path) -> tuple[Any, Lines]:
    """Read a YAML file with the line of every key.

    Raises:
        RecfaceError: It cannot be read, is malformed, gives a key twice, or grows beyond `DEPTH` or `NODES`.
    """
    numbers: dict[Place, int] = {}
    count = itertools.count(1)

    def walk(node: yaml.Node, place: Place) -> None:
        line = node.start_mark.line + 1
        if next(count) > NODES:
            raise RecfaceError(f"{path}: line {line}: more than {NODES:,} values, aliases written out; make it smaller")
        if len(place) > DEPTH:
            raise RecfaceError(f"{path}: line {line}: more than {DEPTH} levels; an alias must not hold itself")
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise RecfaceError(f"{path}: line {key.start_mark.line + 1}: a key must be a word")
                inner, line = (*place, str(key.value)), key.start_mark.line + 1
                if inner in numbers and not _merges(key):
                    raise RecfaceError(f"{path}: line {line}: {inner[-1]} is given twice")
                numbers[inner] = line
                walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                numbers[(*place, str(index))] = item.start_mark.line + 1
                walk(item, (*place, str(index)))
        elif node.tag == "tag:yaml.org,2002:int" and len(node.value) > DIGITS:
            raise RecfaceError(
                f"{path}: line {line}: a number of {len(node.value):,} digits; at most {DIGITS} are read"
            )

    content = None
    with guarded(path, "YAML file", limit=LARGEST_BYTES), _with_line():
        text = Path(path).read_bytes().decode("utf-8-sig")
        _require_shallow(text)
        loader = _Loader(text)
        if (root := loader.get_single_node()) is not None:
            walk(root, ())
            content = loader.construct_document(root)
    return content, Lines(numbers)


@contextmanager
def _with_line() -> Iterator[None]:
    """Say in a few words what is wrong with a file, and on which line."""
    try:
        yield
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: it is not in UTF-8: save it so") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{place}{error.problem or error.context}") from None


def _merges(key: yaml.Node) -> bool:
    return key.tag == "tag:yaml.org,2002:merge"


def _require_shallow(text: str) -> None:
    """Look at the nesting without recursion, which the composer would run out of."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise ValueError(f"line {line}: more than {DEPTH} levels of nesting")
