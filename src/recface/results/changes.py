"""Which config keys a row of a table changes against its parent row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recface.results.load import Entry
from recface.results.selection import BlockRuns
from recface.results.spec import Row
from recface.tracking.config_hash import IGNORED, normalised, without

Changes = dict[str, tuple[Any, Any]]
"""Dotted key to (parent's value, own value); None stands for a key that is absent."""


def changes_of_rows(rows: Iterable[Row], blocks: Sequence[BlockRuns]) -> dict[str, Changes]:
    """Experiment to what its config changes against its parent's, from the first block that has both."""
    changes: dict[str, Changes] = {}
    for row in rows:
        for runs in blocks:
            own, parent = runs.finished[row.experiment], runs.finished.get(row.parent or "", {})
            if own and parent and row.experiment not in changes:
                changes[row.experiment] = config_difference(_config(parent), _config(own))
    return changes


def _config(found: Mapping[int, Entry]) -> dict[str, Any]:
    return found[min(found)].record.config


def config_difference(parent: Mapping[str, Any], own: Mapping[str, Any]) -> Changes:
    """Dotted keys whose values differ, with (parent's, own); what names or places a run is left out."""
    ignore = (*IGNORED, "name", "title", "parent", "experiment")
    first, second = (flatten(normalised(without(config, ignore))) for config in (parent, own))
    keys = sorted(set(first) | set(second))
    return {key: (first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)}


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested config to dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def value_text(value: Any) -> str:
    """A value of a config key, in words where the key is absent."""
    return "absent" if value is None else f"{value}"
