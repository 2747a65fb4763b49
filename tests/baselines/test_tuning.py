"""Settings of baselines are chosen on validation people."""

import numpy as np
import pytest

from recface.baselines import tuning
from recface.baselines.configuration import baseline_config
from recface.baselines.tuning import every, search
from recface.data.sources import embedded_source
from recface.errors import RecfaceError


def test_the_first_try_is_the_configuration_and_the_best_comes_first(cache_dir, monkeypatch):
    opened = []
    monkeypatch.setattr(
        tuning, "embedded_source", lambda bench, split: opened.append(split) or embedded_source(bench, split)
    )
    overrides, seen = ["scale=smoke", f"paths.cache={cache_dir}", "baselines.iterations=3"], []
    found = search("eos", overrides, trials=4, photos=10, watch=seen.append)
    own = baseline_config("eos", overrides)["baselines"]
    numbers = ("identity_weight", "expression_weight")  # not the whole number, not the noise
    assert seen[0].settings == pytest.approx({key: own[key] for key in numbers})
    for trial in seen:
        assert all(own[key] / 10 <= trial.settings[key] <= own[key] * 10 for key in numbers)
    assert [trial.error_mm for trial in found] == sorted(trial.error_mm for trial in seen)
    assert set(opened) == {"validation"}
    again = search("eos", overrides, trials=4, photos=10)
    assert again == found  # nothing in it is left to chance


def test_photos_are_taken_evenly(benchmark):
    source = embedded_source(benchmark, "validation")
    few = every(source, 7)
    rows = np.linspace(0, len(source) - 1, 7).round().astype(int)
    np.testing.assert_array_equal(few.images, source.images[rows])
    np.testing.assert_array_equal(few.identity, source.identity[rows])
    np.testing.assert_array_equal(few.extra["angles"], source.extra["angles"][rows])
    assert every(source, 10**6) is source


def test_mistakes_are_named(cache_dir):
    with pytest.raises(RecfaceError, match="mean_face has no numbers to choose"):
        search("mean_face", ["scale=smoke"])
    with pytest.raises(RecfaceError, match="--search must be a whole number >= 1, not 0"):
        search("eos", ["scale=smoke"], trials=0)
