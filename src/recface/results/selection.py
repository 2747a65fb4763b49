"""Pick the runs of a table's block among all records.

Which config keys a row of a table changes against its parent row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recface.results.records import Entry
from recface.results.spec import Block, Row
from recface.tracking.config_hash import IGNORED, normalised, without


@dataclass
class BlockRuns:
    """The runs of one block.

    Attributes:
        finished: Experiment to seed to entry.
        notes: What a reader should know: runs that failed, other configs left out, outdated records.
        outdated: (experiment, seed) of records whose version keys are behind.
    """

    finished: dict[str, dict[int, Entry]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    outdated: set[tuple[str, int]] = field(default_factory=set)

    def entries(self) -> list[Entry]:
        """All finished entries, in a fixed order."""
        return [self.finished[name][seed] for name in self.finished for seed in sorted(self.finished[name])]


def lookup(config: Mapping[str, Any], key: str) -> Any:
    """Value of a dotted key in a nested config, None where it is absent."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def select_block(
    entries: Iterable[Entry],
    block: Block,
    experiments: Iterable[str],
    current: Mapping[str, Any] | None = None,
) -> BlockRuns:
    """Pick the runs of a block: one config an experiment, its finished seeds.

    Where several configs of an experiment fit the selectors, the one with the fewest command-line overrides is taken
    (a sweep over a weight must not replace the row), and of those the newest.

    Args:
        entries: All records.
        block: With the selectors.
        experiments: Rows of the table, in order.
        current: Version keys of the code; without them the newest record of the block decides what is current.

    Returns:
        The runs, with notes.
    """
    result = BlockRuns()
    matching = [e for e in entries if all(lookup(e.record.config, k) == v for k, v in block.select.items())]
    for experiment in experiments:
        groups: dict[str, list[Entry]] = {}
        for entry in matching:
            if entry.record.experiment == experiment:
                groups.setdefault(entry.record.hash, []).append(entry)
        usable = {h: [e for e in g if _has_metrics(e, block)] for h, g in groups.items()}
        usable = {h: g for h, g in usable.items() if g}
        chosen = max(usable, key=lambda h: _preference(usable[h]), default=None)
        result.finished[experiment] = {e.record.seed: e for e in usable.get(chosen, [])} if chosen else {}
        for entry in groups.get(chosen, []) if chosen else [e for g in groups.values() for e in g]:
            if entry.record.state == "failed":
                result.notes.append(f"{experiment} seed {entry.record.seed} failed: {entry.record.reason}")
        others = sorted(set(usable) - {chosen})
        if others:
            result.notes.append(f"{experiment}: config {chosen} is shown; left out: {', '.join(others)}")
    _mark_outdated(result, current or {})
    manifests = {e.record.data_manifest for e in result.entries() if e.record.data_manifest}
    if len(manifests) > 1:
        result.notes.append(f"rows do not compare: the runs saw different data ({', '.join(sorted(manifests))})")
    return result


def _has_metrics(entry: Entry, block: Block) -> bool:
    return entry.record.state == "finished" and bool(entry.record.metrics.get(block.metrics))


def _preference(group: list[Entry]) -> tuple[int, str, str]:
    fewest = min(len(entry.record.overrides) for entry in group)
    return -fewest, max(entry.record.updated for entry in group), group[0].record.hash


def _mark_outdated(runs: BlockRuns, current: Mapping[str, Any]) -> None:
    """Compare version keys; that of the variant only within an experiment, the others over the whole block."""
    entries = runs.entries()
    if not entries:
        return
    for entry in entries:
        record = entry.record
        behind = []
        for key, value in record.versions.items():
            peers = [e for e in entries if key != "variant" or e.record.experiment == record.experiment]
            newest = max(peers, key=lambda e: e.record.updated).record
            expected = current.get(key, newest.versions.get(key))
            if expected is not None and expected != value:
                behind.append(f"{key} {value}, now {expected}")
        if behind:
            runs.outdated.add((record.experiment, record.seed))
            runs.notes.append(f"{record.experiment} seed {record.seed} is outdated ({'; '.join(behind)}): run it again")


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
    ignore = (*IGNORED, "name", "title", "tables", "parent", "experiment")
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
