"""YAML with the line of every key and item, so that a mistake can be pointed at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str, ...]


@dataclass(frozen=True)
class Mistake:
    """A mistake in a file.

    Attributes:
        line: Line in the file, from 1; None for what came from the command line.
        text: The mistake and its remedy, without the place.
    """

    line: int | None
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else f"override: {self.text}"


@dataclass(frozen=True)
class Lines:
    """Where things are in a YAML file.

    Attributes:
        numbers: Path of keys and list indices to the line it begins on.
        doubled: Path of each key that is given twice, with the line of the second.
    """

    numbers: Mapping[Path, int] = field(default_factory=dict)
    doubled: Mapping[Path, int] = field(default_factory=dict)

    def of(self, *path: Any) -> int:
        """Line of a path; that of the nearest part above it where it is not in the file itself."""
        names = tuple(str(part) for part in path)
        while names and names not in self.numbers:
            names = names[:-1]
        return self.numbers.get(names, 1)


def read_lines(text: str) -> tuple[Any, Lines]:
    """Parse YAML.

    Args:
        text: One document.

    Returns:
        Its content as `yaml.safe_load` gives it, and where everything is.

    Raises:
        yaml.YAMLError: No YAML.
    """
    numbers: dict[Path, int] = {}
    doubled: dict[Path, int] = {}

    def walk(node: yaml.Node | None, path: Path) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner, line = (*path, str(key.value)), key.start_mark.line + 1
                if inner in numbers:
                    doubled[inner] = line
                    for below in [known for known in numbers if known[: len(inner)] == inner]:
                        del numbers[below]  # only the last one counts
                numbers[inner] = line
                walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                numbers[(*path, str(index))] = item.start_mark.line + 1
                walk(item, (*path, str(index)))

    walk(yaml.compose(text, Loader=yaml.SafeLoader), ())
    return yaml.safe_load(text), Lines(numbers, doubled)
