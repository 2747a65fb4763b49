"""A second build in one process computes what has changed, and nothing else."""

from collections import Counter

import numpy as np
import pytest
import synthetic

from recface.errors import RecfaceError
from recface.results import build, cache
from recface.results import curves as figure
from recface.results.build import render, write_tables
from recface.results.cache import Cache
from recface.results.records import Entry
from recface.results.replicates import Replicator

NOISES = {"baseline": 1.2, "sir": 0.6}


@pytest.fixture
def runs(tmp_path):
    for experiment, noise in NOISES.items():
        for seed in (0, 1):
            synthetic.make_run(tmp_path / "runs", experiment, seed, noise)
    return tmp_path / "runs"


@pytest.fixture
def calls(monkeypatch):
    """Counts of what a build has computed since the last `clear`."""
    counts = Counter()

    def count(owner, name, key):
        original = getattr(owner, name)

        def counted(*arguments):
            counts[key] += 1
            return original(*arguments)

        monkeypatch.setattr(owner, name, counted)

    count(Replicator, "__call__", "replicates")
    count(cache, "values_of_people", "people")
    count(Entry, "arrays", "read")
    count(figure, "draw", "drawn")
    count(build, "archive", "archived")
    return counts


def contents(results):
    return {path.name: path.read_bytes() for path in results.iterdir() if path.is_file()}


def test_second_build_computes_only_what_is_new(runs, tmp_path, table_configs, calls):
    results, held = tmp_path / "results", Cache()
    write_tables(table_configs, runs, results, held)
    assert calls == {"replicates": 4, "people": 4, "read": 4, "drawn": 1, "archived": 4}
    calls.clear()
    before = contents(results)
    write_tables(table_configs, runs, results, held)
    assert not calls and contents(results) == before
    synthetic.make_run(runs, "no_kl", 0, 0.7)
    write_tables(table_configs, runs, results, held)
    assert calls == {"replicates": 1, "people": 1, "read": 1, "drawn": 1, "archived": 1}
    assert contents(results) == render(table_configs, runs, results)


def test_changed_record_is_computed_again(runs, tmp_path, table_configs, calls):
    results, held = tmp_path / "results", Cache()
    write_tables(table_configs, runs, results, held)
    calls.clear()
    before = contents(results)
    synthetic.make_run(runs, "sir", 1, 0.9)
    write_tables(table_configs, runs, results, held)
    assert calls == {"replicates": 1, "people": 1, "read": 1, "drawn": 1, "archived": 1}
    after = contents(results)
    assert after["ablation.differences.csv"] != before["ablation.differences.csv"]
    assert after == render(table_configs, runs, results)


def test_changed_predictions_are_computed_again(runs, tmp_path, table_configs, calls):
    """Though the record is the same."""
    results, held = tmp_path / "results", Cache()
    render(table_configs, runs, results, False, cache=held)
    calls.clear()
    path = runs / "sir" / "sir-mak" / "seed=0" / "predictions.npz"
    np.savez(path, **synthetic.predictions(7, 0.61))
    files = render(table_configs, runs, results, False, cache=held)
    assert calls["replicates"] == calls["people"] == calls["read"] == 1
    assert files == render(table_configs, runs, results, False)


def test_predictions_that_cannot_be_read_are_named_in_one_line(runs, tmp_path, table_configs):
    path = runs / "sir" / "sir-mak" / "seed=0" / "predictions.npz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RecfaceError, match=r"seed=0/predictions\.npz: not readable \([^\n]*\); run it again$"):
        render(table_configs, runs, tmp_path / "results", False)


def test_cache_holds_what_the_last_build_needed(runs, tmp_path, table_configs):
    held = Cache()
    render(table_configs, runs, tmp_path / "results", cache=held)
    size = len(held)
    synthetic.make_run(runs, "sir", 1, 0.9)
    render(table_configs, runs, tmp_path / "results", cache=held)
    assert len(held) == size
    render(table_configs, tmp_path / "none", tmp_path / "results", False, cache=held)
    assert len(held) == 0
    assert not any(replicator._draws for replicator in held._replicators.values())
