"""Times and metrics by condition in tables, and published numbers that stay out of them."""

import csv
import io

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.results import synthetic

from recface.errors import RecfaceError
from recface.metrics import PHOTO_PROTOCOLS, PROTOCOLS
from recface.metrics.protocols import BENCHMARKS
from recface.results import derived
from recface.results.build import render, write_tables
from recface.results.cache import Cache
from recface.results.derived import TIME_PROTOCOL, condition_metrics, condition_protocol
from recface.results.pairs import verification_pairs
from recface.results.published import columns, read_card, read_cards, to_markdown
from recface.results.records import find_records
from recface.results.spec import read_spec
from recface.results.table import build
from recface.tracking import RunFolder

TABLE = """
name: small
title: Small
blocks:
  - {name: embedded, metrics: benchmark, predictions: test}
  - {name: conditions, metrics: conditions}
rows:
  - {experiment: peer}
  - {experiment: baseline}
columns:
  - {metric: shape_error_mm, direction: lower}
  - {metric: image_cpu_seconds, direction: lower}
  - {metric: light/shape_error_mm, direction: lower}
  - {metric: light/geometry_auc, direction: higher}
"""
CARD = """
name: A method
paper: Its paper
code: null
face_model: FLAME
licence: unknown
numbers:
  - {protocol: "published:bench/one", metric: mean, unit: mm, direction: lower, value: 1.5, source: its page}
"""


@pytest.fixture
def runs(tmp_path):
    """A peer, whose record tells conditions and time, and a network of the same data, whose record tells neither."""
    for experiment, noise in (("peer", 0.5), ("baseline", 1.0)):
        path = synthetic.make_run(tmp_path / "runs", experiment, 0, noise, data_manifest="same")
        if experiment == "peer":
            folder = RunFolder.open(path)
            folder.finish(folder.record.metrics, timings={"image_cpu_seconds": 0.25})
            with np.load(path / "predictions.npz") as stored:
                arrays = dict(stored)
            arrays["condition_light"] = np.arange(100) % 5 < 2
            np.savez(path / "predictions.npz", **arrays)
    (tmp_path / "configs" / "table").mkdir(parents=True)
    (tmp_path / "configs" / "table" / "small.yaml").write_text(TABLE)
    return tmp_path


def table_of(folder):
    entries = find_records(folder / "runs", folder / "results" / "records")
    return build(read_spec(folder / "configs" / "table" / "small.yaml"), entries)


def test_time_is_shown_where_it_was_measured(runs):
    embedded = table_of(runs).blocks[0]
    assert embedded.cells["peer", "image_cpu_seconds"].mean == 0.25
    assert ("baseline", "image_cpu_seconds") not in embedded.cells and ("baseline", "shape_error_mm") in embedded.cells
    assert embedded.protocols["image_cpu_seconds"] == TIME_PROTOCOL
    assert embedded.protocols["shape_error_mm"] == synthetic.PROTOCOLS["shape_error_mm"]


def test_conditions_of_one_record_serve_all_of_the_same_data(runs):
    block = table_of(runs).blocks[1]
    chosen = np.arange(100) % 5 < 2
    for experiment, noise in (("peer", 0.5), ("baseline", 1.0)):
        expected = synthetic.predictions(0, noise)["test_shape_error"][chosen].mean()
        assert block.cells[experiment, "light/shape_error_mm"].mean == pytest.approx(expected, rel=1e-3)  # float16
    assert block.protocols["light/geometry_auc"] == condition_protocol("light/geometry_auc")


def test_conditions_are_computed_once_by_record(runs, monkeypatch):
    computed = []
    monkeypatch.setattr(
        derived, "condition_metrics", lambda *given: computed.append(given) or condition_metrics(*given)
    )
    folders, cache = [runs / name for name in ("configs/table", "runs", "results")], Cache()
    first = render(*folders, False, cache=cache)
    assert len(computed) == 2 and render(*folders, False, cache=cache) == first and len(computed) == 2
    path = runs / "runs" / "peer" / "peer-mak" / "seed=0" / "predictions.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **arrays | {"condition_light": np.arange(100) % 5 < 3})
    assert render(*folders, False, cache=cache) != first
    assert len(computed) == 4  # other flags change the metrics of both


def test_other_data_has_no_conditions(runs):
    synthetic.make_run(runs / "runs", "baseline", 1, 1.0, data_manifest="other")
    assert set(table_of(runs).blocks[1].cells["baseline", "light/shape_error_mm"].per_seed) == {0}


def test_records_round_trip_into_tables_without_the_runs(runs):
    write_tables(runs / "configs" / "table", runs / "runs", runs / "results")
    before = (runs / "results" / "small.long.csv").read_text()
    write_tables(runs / "configs" / "table", runs / "nothing", runs / "results")
    assert (runs / "results" / "small.long.csv").read_text() == before
    lines = list(csv.DictReader(io.StringIO(before)))
    found = {(line["experiment"], line["block"], line["metric"]) for line in lines}
    assert ("baseline", "conditions", "light/geometry_auc") in found and (
        "peer",
        "embedded",
        "image_cpu_seconds",
    ) in found
    assert all(path.stat().st_size <= 200_000 for path in (runs / "results" / "records").iterdir())


def test_auc_of_a_condition_counts_pairs_with_one_photo_in_it():
    """Four photos of two people on a line, by hand: only the third is under the condition."""
    arrays = {
        "test_parameters": np.array([[0.0], [1.0], [3.0], [7.0]]),
        "test_identity": np.array([0, 0, 1, 1]),
        "basis_gram": np.eye(1),
        "test_shape_error": np.array([1.0, 2.0, 5.0, 9.0]),
        "test_nme": np.array([1.0, 2.0, 4.0, 8.0]),
    }
    flags = {"third": np.array([False, False, True, False]), "none": np.zeros(4, bool)}
    pairs = verification_pairs(arrays["test_identity"], 1)
    values = condition_metrics(arrays, flags, pairs)
    assert values["third/shape_error_mm"] == 5 and values["third/nme"] == 4
    assert not any(key.startswith("none/") for key in values)
    photos = [tuple(pair) for pair in pairs.impostor if 2 in pair]
    # The one genuine pair of the third photo is 4 apart; impostor pairs with it are 3 (photo 0) and 2 (photo 1) apart.
    assert photos and values["third/geometry_auc"] == 0


def test_cards_of_the_project_are_in_order_and_in_no_column_of_ours():
    cards = read_cards(ROOT / "external")
    ours = {protocol.id for protocol in (*PROTOCOLS.values(), *PHOTO_PROTOCOLS.values())} | set(BENCHMARKS)
    found = columns(cards)
    assert cards and not ours & set(found) and not any(name.startswith("published:") for name in ours)
    page = to_markdown(cards)
    for protocol, metrics in found.items():
        section = page.split(f"## `{protocol}`")[1].split("\n## ")[0]
        elsewhere = {number.protocol for by in metrics.values() for number in by.values()}
        assert elsewhere == {protocol}
        for metric, by in metrics.items():
            assert metric in section and all(f"| {name}" in section for name in by)


def test_a_published_number_in_a_measured_column_is_an_error(runs):
    """Whoever puts one into a record names its protocol, and the table refuses the mixture."""
    folder = RunFolder.open(runs / "runs" / "baseline" / "base-mak" / "seed=0")
    protocols = dict(folder.record.protocols) | {"shape_error_mm": "published:bench/one"}
    folder.finish(folder.record.metrics, protocols)
    with pytest.raises(RecfaceError, match="column shape_error_mm mixes protocols"):
        table_of(runs)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("published:bench/one", "nme-68-box/v1", "must begin with 'published:'"),
        ("value: 1.5", "value: many", "value 'many' is no number"),
        ("direction: lower", "direction: up", "direction is 'up'"),
        ("licence: unknown\n", "", "lacks licence"),
        ("unit: mm", "units: mm", "unknown key units"),
        ("name: A method", "name: [", "cannot be read"),
    ],
)
def test_a_wrong_card_is_named(tmp_path, old, new, says):
    path = tmp_path / "card.yaml"
    path.write_text(CARD.replace(old, new))
    with pytest.raises(RecfaceError, match=says) as raised:
        read_card(path)
    assert str(path) in str(raised.value)


def test_two_units_under_one_protocol_are_an_error(tmp_path):
    for name, unit in (("one", "mm"), ("two", "cm")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.yaml").write_text(CARD.replace("unit: mm", f"unit: {unit}"))
    with pytest.raises(RecfaceError, match="published:bench/one mean is in"):
        read_cards(tmp_path)
