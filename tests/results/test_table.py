import shutil
from dataclasses import replace

import numpy as np
import pytest
import synthetic

from recface.errors import RecfaceError
from recface.results.differences import BOOTSTRAP, STUDENT
from recface.results.records import find_records
from recface.results.selection import config_difference
from recface.results.spec import read_spec
from recface.results.table import build


@pytest.fixture(scope="module")
def spec(table_configs):
    return read_spec(table_configs / "ablation.yaml")


@pytest.fixture(scope="module")
def table(made, spec):
    return build(spec, find_records(made[0], made[1] / "records"))


def test_cells_are_means_over_seeds(table, made):
    values = []
    for seed in range(3):
        arrays = synthetic.predictions(seed, 0.6)
        values.append(synthetic.metrics_of(arrays)["geometry_auc"])
    cell = table.blocks[0].cells["sir", "geometry_auc"]
    assert cell.mean == pytest.approx(np.mean(values))
    assert cell.error == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert list(cell.per_seed) == [0, 1, 2]


def test_best_row_is_marked_by_direction(table):
    best = {metric: row for (row, metric), cell in table.blocks[0].cells.items() if cell.best}
    assert best["shape_error_mm"] == best["geometry_auc"] == best["prior_kl"] == "sir"


def test_blocks_take_their_own_runs_and_metrics(table):
    assert [block.block.name for block in table.blocks] == ["embedded", "ict", "photos"]
    photos = table.blocks[2]
    assert {column.metric for column in photos.columns} == {"geometry_auc", "param_auc"}
    assert photos.cells["sir", "geometry_auc"].per_seed == pytest.approx({0: 0.90, 1: 0.91, 2: 0.92})


def test_differences_say_how_their_interval_was_made(table):
    differences = table.blocks[0].differences
    better = differences["sir", "geometry_auc"]
    assert better.method == BOOTSTRAP
    assert better.low < better.value < better.high
    assert better.excludes_zero
    assert differences["sir", "geometry_acc"].method == STUDENT  # not to be recomputed from predictions
    assert differences["sir", "nme"].method == STUDENT  # recorded in another unit than the stored values
    assert ("baseline", "geometry_auc") not in differences


def test_bootstrap_is_paired(table):
    """The people are the same in both rows, so that the interval is narrower than unpaired errors would make it."""
    difference = table.blocks[0].differences["no_center", "shape_error_mm"]
    assert difference.method == BOOTSTRAP
    assert difference.value == pytest.approx(0.2, abs=0.01)
    assert difference.high - difference.low < 0.02


def test_reference_and_changes_and_provenance(table):
    assert table.blocks[0].reference == {"shape_error_mm": pytest.approx(5.0)}
    assert table.changes["no_kl"] == {"loss.kl": (0.5, 0), "loss.noise": (0.6, 0.7)}
    assert table.provenance.startswith("24 records, hash ")
    assert "commit aaaaaaaa" in table.provenance


def test_missing_rows_and_seeds_leave_holes(made, spec, tmp_path):
    shutil.copytree(made[0] / "sir", tmp_path / "runs/sir")
    shutil.rmtree(tmp_path / "runs/sir/sir-mak/seed=1")
    table = build(spec, find_records(tmp_path / "runs", tmp_path / "none"))
    assert list(table.blocks[0].cells["sir", "geometry_auc"].per_seed) == [0, 2]
    assert ("baseline", "geometry_auc") not in table.blocks[0].cells
    assert table.blocks[0].differences == {}


def test_runs_win_over_the_archive_but_only_finished_ones(made, tmp_path):
    runs, results = tmp_path / "runs", tmp_path / "results"
    path = synthetic.make_run(runs, "sir", 0, 0.6, results=results)
    first = find_records(runs, results / "records")
    assert [entry.path for entry in first] == [path / "run.json"]
    assert first[0].predictions == results / "records" / "sir-sir-mak-seed0.npz"
    shutil.rmtree(runs)
    alone = find_records(runs, results / "records")
    assert alone[0].record == first[0].record
    synthetic.make_run(runs, "sir", 0, 0.9)
    newer = find_records(runs, results / "records")[0]
    assert newer.predictions.parent.name == "seed=0"  # the archive holds another run's predictions
    synthetic.RunFolder.open(path).start(replace(newer.record))
    assert find_records(runs, results / "records")[0].record == alone[0].record


def test_statistics_are_the_same_from_runs_and_from_the_archive(made, spec, table):
    archived = build(spec, find_records("nowhere", made[1] / "records"))
    fresh = build(spec, find_records(made[0], "nowhere"))
    for other in (archived, fresh):
        assert other.blocks[0].differences == table.blocks[0].differences
        assert other.provenance == table.provenance


def test_the_plainest_then_newest_config_is_the_row(spec, tmp_path):
    runs = tmp_path / "runs"
    synthetic.make_run(runs, "sir", 0, 0.6, digest="plain", overrides=["+experiment=sir"])
    synthetic.make_run(runs, "sir", 0, 0.9, digest="varied", overrides=["+experiment=sir", "loss.kl=9"])
    block = build(spec, find_records(runs, "nowhere")).blocks[0]
    assert [entry.record.hash for entry in block.runs.entries()] == ["plain"]
    assert any("left out: varied" in note for note in block.runs.notes)


def test_failed_runs_are_told(spec, tmp_path):
    path = synthetic.make_run(tmp_path, "sir", 0, 0.6)
    synthetic.make_run(tmp_path, "sir", 1, 0.6)
    synthetic.RunFolder.open(path).fail("loss pixel is NaN")
    block = build(spec, find_records(tmp_path, "nowhere")).blocks[0]
    assert list(block.cells["sir", "geometry_auc"].per_seed) == [1]
    assert "sir seed 0 failed: loss pixel is NaN" in block.runs.notes


def test_outdated_records_are_marked(spec, tmp_path):
    synthetic.make_run(tmp_path, "baseline", 0, 1.2)
    path = synthetic.make_run(tmp_path, "sir", 0, 0.6, versions={"benchmark": 2, "variant": 7})
    entries = find_records(tmp_path, "nowhere")
    newest = replace(entries[1].record, updated="2999-01-01T00:00:00+00:00")
    entries = [entries[0], replace(entries[1], record=newest)]
    assert entries[1].path.parent == path
    runs = build(spec, entries).blocks[0].runs
    assert runs.outdated == {("baseline", 0)}  # the variant's version counts within one experiment alone
    assert any("benchmark 1, now 2" in note for note in runs.notes)
    assert build(spec, entries, current={"benchmark": 3}).blocks[0].runs.outdated == {("baseline", 0), ("sir", 0)}


def test_different_data_are_told(spec, tmp_path):
    synthetic.make_run(tmp_path, "baseline", 0, 1.2, data_manifest="cafe")
    synthetic.make_run(tmp_path, "sir", 0, 0.6, data_manifest="beef")
    notes = build(spec, find_records(tmp_path, "nowhere")).blocks[0].runs.notes
    assert any("different data" in note for note in notes)


def test_two_protocols_never_share_a_column(spec, tmp_path):
    synthetic.make_run(tmp_path, "baseline", 0, 1.2)
    path = synthetic.make_run(tmp_path, "sir", 0, 0.6)
    folder = synthetic.RunFolder.open(path)
    folder.finish(folder.record.metrics, {"geometry_auc": "geometry-auc/v2"})
    with pytest.raises(RecfaceError, match=r"geometry_auc mixes protocols geometry-auc/v1 .* geometry-auc/v2"):
        build(
            replace(spec, columns=[c for c in spec.columns if c.metric == "geometry_auc"]), find_records(tmp_path, "")
        )


def test_config_difference_leaves_out_names_and_places():
    parent = {"name": "a", "parent": None, "seed": 0, "paths": {"runs": "x"}, "loss": {"kl": 1, "pixel": 2}}
    own = {"name": "b", "parent": "a", "seed": 1, "paths": {"runs": "y"}, "loss": {"kl": 1.0}, "new": {}}
    assert config_difference(parent, own) == {"loss.pixel": (2, None), "new": (None, {})}
