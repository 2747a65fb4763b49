"""What a table is: its YAML, read and checked."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from recface.errors import RecfaceError


@dataclass(frozen=True)
class Block:
    """A section of a table: runs on one benchmark.

    Attributes:
        name: Short name, a value of the CSV's block column.
        metrics: Key of the record's metrics to read.
        title: Heading.
        predictions: Prefix of the block's arrays in predictions.npz, "" for none.
        select: Dotted config key to the value that a run's config must have.
        command: What a user runs to fill the block.
        columns: Metrics shown; None for all that any run of the block has.
    """

    name: str
    metrics: str
    title: str = ""
    predictions: str = ""
    select: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    columns: list[str] | None = None


@dataclass(frozen=True)
class Row:
    """An experiment, and the one it is compared to."""

    experiment: str
    title: str = ""
    parent: str | None = None


@dataclass(frozen=True)
class Column:
    """A metric.

    Attributes:
        metric: Name in the record.
        title: Heading.
        direction: "lower" or "higher" is better, "" for neither.
        digits: Decimals shown.
        target: The ideal value; the nearest is best.
        reference: Record metric that holds the mean face's value of this column.
    """

    metric: str
    title: str = ""
    direction: str = ""
    digits: int = 3
    target: float | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Statistics:
    """Bootstrap settings: replicates, and the seed that makes them the same every time."""

    replicates: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class TableSpec:
    """One table YAML.

    Attributes:
        imported: Parent of the rows that methods of external/ with predictions get; None: they get none.
    """

    name: str
    title: str
    blocks: list[Block]
    rows: list[Row]
    columns: list[Column]
    selection: str = ""
    imported: str | None = None
    statistics: Statistics = Statistics()
    figure: dict[str, str] = field(default_factory=dict)


T = TypeVar("T")


def make(kind: type[T], content: Any, where: str) -> T:
    """Build a dataclass from a mapping; say which key is unknown or missing."""
    if not isinstance(content, dict):
        raise RecfaceError(f"{where}: expected keys and values, got {content!r}")
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise RecfaceError(f"{where}: unknown key {', '.join(map(str, unknown))}; known are {', '.join(known)}")
    required = [name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
    missing = [name for name in required if name not in content]
    if missing:
        raise RecfaceError(f"{where}: lacks {', '.join(missing)}")
    return kind(**content)


def read_spec(path: str | Path) -> TableSpec:
    """Read a table YAML.

    Args:
        path: Such as configs/table/ablation.yaml.

    Returns:
        The checked specification.

    Raises:
        RecfaceError: No YAML, a key unknown or missing, a wrong direction, a parent or column that is no row or metric.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise RecfaceError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    spec = make(TableSpec, content, str(path))
    parts = {
        "blocks": [make(Block, item, f"{path}: block {i + 1}") for i, item in enumerate(content["blocks"])],
        "rows": [make(Row, item, f"{path}: row {i + 1}") for i, item in enumerate(content["rows"])],
        "columns": [make(Column, item, f"{path}: column {i + 1}") for i, item in enumerate(content["columns"])],
        "statistics": make(Statistics, content.get("statistics", {}), f"{path}: statistics"),
    }
    spec = TableSpec(**{**{f.name: getattr(spec, f.name) for f in fields(TableSpec)}, **parts})
    _check(spec, path)
    return spec


def _check(spec: TableSpec, path: Path) -> None:
    experiments = [row.experiment for row in spec.rows]
    metrics = [column.metric for column in spec.columns]
    for row in spec.rows:
        if row.parent is not None and row.parent not in experiments:
            raise RecfaceError(f"{path}: parent {row.parent} of row {row.experiment} is no row; rows are {experiments}")
    if spec.imported is not None and spec.imported not in experiments:
        raise RecfaceError(f"{path}: parent {spec.imported} of imported rows is no row; rows are {experiments}")
    for column in spec.columns:
        if column.direction not in ("", "lower", "higher"):
            raise RecfaceError(f"{path}: direction of {column.metric} is {column.direction!r}, not lower or higher")
    for block in spec.blocks:
        unknown = sorted(set(block.columns or ()) - set(metrics))
        if unknown:
            raise RecfaceError(f"{path}: columns {unknown} of block {block.name} are no columns of the table")
