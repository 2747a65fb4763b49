"""Pick the runs of a table's blocks among all records, and tell which config keys a row changes against its parent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from recface.results.records import Entry
from recface.results.spec import Block, Row, TableSpec
from recface.settings.overrides import own_overrides
from recface.tracking import RunRecord
from recface.tracking.config_hash import ADDED, IGNORED, lookup, normalized, without

TRAINING_KEYS = {"name", "batch_size", "stage1_steps", "stage2_steps"}
"""Keys of `scale` that do not determine the benchmark."""


@dataclass
class BlockRuns:
    """The runs of one block."""

    finished: dict[str, dict[int, Entry]] = field(default_factory=dict)  # experiment to seed to entry
    notes: list[str] = field(default_factory=list)
    """Remarks for a reader: runs that failed, other configs left out, outdated records."""
    outdated: set[tuple[str, int]] = field(default_factory=set)
    """(experiment, seed) of records whose version keys are behind."""

    def entries(self) -> list[Entry]:
        """All finished entries, in a fixed order."""
        return [self.finished[name][seed] for name in self.finished for seed in sorted(self.finished[name])]


def select_runs(
    spec: TableSpec, entries: Iterable[Entry], current: Mapping[str, Any] | None = None
) -> list[tuple[Block, BlockRuns]]:
    """Every block of a table with its runs; see `select_block`.

    A block that is split comes once for each configuration, that of the embedded head first.
    """
    entries = _renamed(spec.rows, entries) if spec.experiment is None else _rows_of_records(spec.experiment, entries)
    names = [row.experiment for row in spec.rows]
    found: list[tuple[Block, BlockRuns]] = []
    for block in spec.blocks:
        if not block.split:
            found.append((block, select_block(entries, block, names, current)))
            continue
        groups: dict[str, list[Entry]] = {}
        for entry in entries:
            shown = entry.record.experiment in names and _fits(entry, block.select)
            if shown and _has_metrics(entry, block) and not is_behind(entry, current or {}):
                groups.setdefault(entry.record.hash, []).append(entry)
        split = [(_filled(block, group[0]), group) for group in groups.values()]
        split.sort(key=lambda part: (not part[0].name.startswith("makehuman"), part[0].name))
        found += [(part, select_block(group, part, names, current)) for part, group in split]
    return found


def _renamed(rows: Iterable[Row], entries: Iterable[Entry]) -> list[Entry]:
    """All records but those named like a row with `of`; and, under the name of such a row, the runs that it takes."""
    entries, named = list(entries), [row for row in rows if row.of is not None]
    taken = [
        replace(entry, record=replace(entry.record, experiment=row.experiment))
        for row in named
        for entry in entries
        if entry.record.experiment == row.of and (not entry.record.config or _fits(entry, row.select))
    ]
    names = {row.experiment for row in named}
    return [entry for entry in entries if entry.record.experiment not in names] + taken


def _rows_of_records(experiment: str, entries: Iterable[Entry]) -> list[Entry]:
    """Each block of metrics of an experiment's records as an entry of its own, whose experiment is the block's name.

    Its metrics are in the block "rows". METRIC@N is a metric with N modes; that of most modes is METRIC, too.
    """
    found = []
    for entry in entries:
        if entry.record.experiment == experiment:
            for name, metrics in entry.record.metrics.items():
                sized = sorted((int(key.partition("@")[2]), key) for key in metrics if "@" in key)
                whole = {key.partition("@")[0]: metrics[key] for _, key in sized}
                record = replace(entry.record, experiment=name, metrics={"rows": {**whole, **metrics}})
                found.append(replace(entry, record=record))
    return found


def _fits(entry: Entry, select: Mapping[str, Any]) -> bool:
    """Whether a run's configuration has the values that a block or row selects."""
    config = entry.record.config
    return all(lookup(config, k) in (v if isinstance(v, list) else [v]) for k, v in select.items())


def _filled(block: Block, entry: Entry) -> Block:
    """A split block with the name and title of one configuration."""

    def fill(match: re.Match[str]) -> str:
        value = entry.record.hash if match[1] == "hash" else lookup(entry.record.config, match[1])
        return "all" if value is None else str(value)

    return block.model_copy(update={key: re.sub(r"{([\w.]+)}", fill, getattr(block, key)) for key in ("name", "title")})


def select_block(
    entries: Iterable[Entry],
    block: Block,
    experiments: Iterable[str],
    current: Mapping[str, Any] | None = None,
) -> BlockRuns:
    """Pick the runs of a block: one config an experiment, its finished seeds.

    Where several configs of an experiment fit the selectors, the one with the fewest command-line overrides of hashed
    keys is taken (a sweep over a weight must not replace the row), and of those the newest.

    Args:
        entries: All records.
        block: With the selectors.
        experiments: Rows of the table, in order.
        current: Version keys of the code; without them the newest record of the block decides what is current.
    """
    result = BlockRuns()
    # A damaged record has lost its configuration; it may have been one of this block.
    matching = [entry for entry in entries if not entry.record.config or _fits(entry, block.select)]
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
            if entry.record.state in ("failed", "interrupted"):
                state = "" if entry.record.state == "interrupted" else "failed: "
                result.notes.append(f"{experiment} seed {entry.record.seed} {state}{entry.record.reason}")
        others = sorted(set(usable) - {chosen})
        if others:
            result.notes.append(f"{experiment}: config {chosen} is shown; left out: {', '.join(others)}")
    _mark_outdated(result, current or {})
    seen = [e for e in result.entries() if e.record.data_manifest]
    manifests = ", ".join(sorted({str(e.record.data_manifest) for e in seen}))
    if not same_data(seen, block.metrics):
        result.notes.append(f"rows do not compare: the runs saw different data ({manifests})")
    elif "," in manifests and not same_photographs(seen, block.metrics):
        result.notes.append(
            f"photos were drawn on machines that round differently ({manifests}): some pixels differ by a level"
        )
    return result


def same_photographs(entries: Iterable[Entry], metrics: str) -> bool | None:
    """Whether runs saw the same photographs; None for metrics of other photos, or where an old record does not tell."""
    if metrics != "photos":
        return None
    digests = {entry.record.photos_digest for entry in entries}
    if len(digests - {None}) > 1:
        return False
    return None if None in digests else True


def same_data(entries: Iterable[Entry], metrics: str = "benchmark") -> bool:
    """Whether runs were measured on the same photos, up to what two processors round differently.

    That is so where the hashes of their data agree; or where all that determines the benchmark does, for the face
    models whose name tells which they are. Metrics of photographs need the same photographs alone, where records tell.
    """
    entries = list(entries)
    if (same := same_photographs(entries, metrics)) is not None:
        return same
    records = [entry.record for entry in entries]
    if len({record.data_manifest for record in records}) <= 1:
        return True
    found = [_benchmark_settings(record) for record in records]
    return None not in found and len(set(found)) == 1


def _benchmark_settings(record: RunRecord) -> tuple[Any, ...] | None:
    """What determines the embedded benchmark of a run, as its record tells; None where that is not enough."""
    model, scale, data = (record.config.get(key) or {} for key in ("face_model", "scale", "data"))
    if model.get("name") not in ("makehuman", "ict") or not scale or "seed" not in data:
        return None
    before = {key.removeprefix("scale."): value for key, value in ADDED.items() if key.startswith("scale.")}
    sizes = before | {key: value for key, value in scale.items() if key not in TRAINING_KEYS}
    settings = {**sizes, "seed": data["seed"], "albedo_modes": data.get("albedo_modes")}
    return (
        record.versions.get("benchmark"),
        model["name"],
        *sorted((key, str(value)) for key, value in settings.items()),
    )


def _has_metrics(entry: Entry, block: Block) -> bool:
    return entry.record.state == "finished" and bool(entry.record.metrics.get(block.metrics))


def _preference(group: list[Entry]) -> tuple[int, str, str]:
    fewest = min(len(own_overrides(entry.record.overrides, IGNORED)) for entry in group)
    return -fewest, max(entry.record.updated for entry in group), group[0].record.hash


def is_behind(entry: Entry, current: Mapping[str, Any]) -> bool:
    """Whether one of a record's version keys differs from the current one."""
    return any(current.get(key, value) != value for key, value in entry.record.versions.items())


def _mark_outdated(runs: BlockRuns, current: Mapping[str, Any]) -> None:
    """Compare version keys; that of the variant only within an experiment, the others over the whole block."""
    entries = runs.entries()
    newest: dict[tuple[str, str], Any] = {}
    for entry in sorted(entries, key=lambda entry: entry.record.updated):
        newest |= {_scope(entry, key): value for key, value in entry.record.versions.items()}
    for entry in entries:
        record = entry.record
        expected = {key: current.get(key, newest[_scope(entry, key)]) for key in record.versions}
        behind = [
            f"{key} {value}, now {expected[key]}" for key, value in record.versions.items() if expected[key] != value
        ]
        if behind:
            runs.outdated.add((record.experiment, record.seed))
            runs.notes.append(f"{record.experiment} seed {record.seed} is outdated ({'; '.join(behind)}): run it again")


def _scope(entry: Entry, key: str) -> tuple[str, str]:
    return key, entry.record.experiment if key == "variant" else ""


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
    first, second = (ADDED | flatten(normalized(without(config, ignore))) for config in (parent, own))
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
