"""What tables show and records hold in another place: the time per image, and metrics of photos under a condition.

Records made before a value was measured simply lack it. Conditions come with the peers' predictions, so that a fresh
clone needs no benchmark: any record of the same data says which of its photos are in which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from recface.results.cache import Cache, identity
from recface.results.pairs import Pairs, pair_distances, rank_auc, verification_pairs
from recface.results.photo_values import factor
from recface.results.records import Entry
from recface.results.spec import Block
from recface.tracking.archive import read_arrays

Array = np.ndarray

CONDITIONS = "conditions"
"""The block of metrics that is computed here; its metrics are named `<condition>/<metric>`."""
TIME = "image_cpu_seconds"
TIME_PROTOCOL = "cpu-seconds-per-image/v1"
PREFIX = "condition_"


def derive(entries: Iterable[Entry], blocks: Iterable[Block], cache: Cache | None = None) -> list[Entry]:
    """Add to records what the blocks of a table may ask for.

    Args:
        entries: All records.
        blocks: Of the table; conditions are computed only if one of them shows them.
        cache: Of what was computed from predictions.

    Returns:
        The entries, in order, those that gain something with a changed copy of their record.
    """
    entries = [_with_time(entry) for entry in entries]
    if not any(block.metrics == CONDITIONS for block in blocks):
        return entries
    cache = Cache() if cache is None else cache
    flagged: dict[str | None, Entry] = {}
    for entry in entries:
        manifest = entry.record.data_manifest
        if manifest not in flagged and _flags(entry, cache):
            flagged[manifest] = entry
    return [_with_conditions(entry, flagged.get(entry.record.data_manifest), cache) for entry in entries]


def condition_flags(entry: Entry) -> dict[str, Array]:
    """Condition to (N,) bool of the test photos, as stored with a peer's predictions; empty for a network's record."""
    if entry.predictions is None:
        return {}
    return {name.removeprefix(PREFIX): flags for name, flags in read_arrays(entry.predictions, PREFIX).items()}


def condition_metrics(arrays: Mapping[str, Array], flags: Mapping[str, Array], pairs: Pairs) -> dict[str, float]:
    """Metrics of the test photos under each condition, from stored predictions alone.

    Source: ours. Shape error and NME are means over the photos under the condition. Verification is on geometry, over
    the pairs of the whole test set of which at least one photo is under the condition, by root mean square vertex
    distance (the table's main value: by mean distance, which stored predictions do not hold).

    Args:
        arrays: Reduced predictions: test_parameters (N, K), test_identity (N,), test_shape_error (N,), test_nme (N,),
            basis_gram (K, K).
        flags: Condition to (N,) bool.
        pairs: Of the test photos, to verify.

    Returns:
        `<condition>/<metric>` to value, without what cannot be computed for too few photos.
    """
    points = arrays["test_parameters"].astype(np.float64) @ factor(arrays["basis_gram"])
    near, far = pair_distances(points, pairs)
    metrics = {}
    for name, chosen in flags.items():
        genuine, impostor = (d[chosen[p].any(axis=1)] for d, p in ((near, pairs.genuine), (far, pairs.impostor)))
        for metric, values in (("shape_error_mm", "test_shape_error"), ("nme", "test_nme")):
            if chosen.any() and values in arrays:
                metrics[f"{name}/{metric}"] = float(arrays[values][chosen].astype(np.float64).mean())
        if len(genuine) and len(impostor):
            metrics[f"{name}/geometry_auc"] = rank_auc(genuine, impostor)
    return metrics


def condition_protocol(metric: str) -> str:
    """Protocol id of a metric of the block, such as `light/nme`: never that of the whole test set."""
    condition, name = metric.split("/")
    rule = {"geometry_auc": "verification-auc-rms-vertex-distance", "nme": "nme-68-box"}
    return f"{rule.get(name, 'shape-error-similarity')}-condition-{condition.replace('_', '-')}/v1"


def _with_time(entry: Entry) -> Entry:
    """A finished record's time per image, beside the benchmark's metrics."""
    record = entry.record
    seconds = record.timings.get(TIME)
    if seconds is None or "benchmark" not in record.metrics:
        return entry
    return _extended(entry, "benchmark", {TIME: seconds}, {TIME: TIME_PROTOCOL})


def _with_conditions(entry: Entry, flagged: Entry | None, cache: Cache) -> Entry:
    """A finished record with the metrics under the conditions that another record's predictions tell."""
    if flagged is None or entry.record.state != "finished" or CONDITIONS in entry.record.metrics:
        return entry
    key = CONDITIONS, identity(entry), identity(flagged)
    metrics = cache.remember(key, lambda: _metrics_of(entry, _flags(flagged, cache), cache))
    if metrics is None:
        return entry
    return _extended(entry, CONDITIONS, metrics, {metric: condition_protocol(metric) for metric in metrics})


def _flags(entry: Entry, cache: Cache) -> dict[str, Array]:
    return cache.remember(("flags", identity(entry)), lambda: condition_flags(entry))


def _metrics_of(entry: Entry, flags: Mapping[str, Array], cache: Cache) -> dict[str, float] | None:
    """Metrics under conditions, None where the predictions do not give them."""
    arrays = entry.arrays()
    needed = ("test_parameters", "test_identity", "basis_gram")
    if any(name not in arrays for name in needed) or len(arrays["test_identity"]) != len(next(iter(flags.values()))):
        return None
    identities = arrays["test_identity"]
    pairs = cache.remember(("pairs", identities.astype("<i8").tobytes()), lambda: verification_pairs(identities))
    return condition_metrics(arrays, flags, pairs)


def _extended(entry: Entry, block: str, metrics: Mapping[str, float], protocols: Mapping[str, str]) -> Entry:
    record = entry.record
    inner = record.protocols.get(block)
    # A record may name protocols for all blocks together; then so are these.
    named = {block: {**inner, **protocols}} if isinstance(inner, Mapping) else {block: dict(protocols)}
    if inner is None and block in record.metrics:
        named = dict(protocols)
    changed = replace(
        record,
        metrics=record.metrics | {block: {**record.metrics.get(block, {}), **metrics}},
        protocols={**record.protocols, **named},
    )
    return replace(entry, record=changed)
