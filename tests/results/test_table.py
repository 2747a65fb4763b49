import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import yaml
from tests.results import synthetic

from recface.errors import RecfaceError
from recface.results.markdown import to_markdown
from recface.results.records import find_records
from recface.results.selection import config_difference, same_data
from recface.results.spec import read_spec
from recface.results.statistics import BOTH, NEITHER, PEOPLE, SEEDS
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


def test_the_page_is_corrected_as_a_whole(table):
    found = [item for block in table.blocks for item in block.differences.values() if item.test.p is not None]
    corrected = scipy.stats.false_discovery_control([item.test.p for item in found])
    assert [item.page for item in found] == pytest.approx(corrected)
    assert len(found) > max(item.family for item in found)
    assert {item.discovery for item in found} == {True, False}


def test_blocks_take_their_own_runs_and_metrics(table):
    assert [block.block.name for block in table.blocks] == ["embedded", "ict", "photos"]
    photos = table.blocks[2]
    assert {column.metric for column in photos.columns} == {"geometry_auc", "param_auc"}
    assert photos.cells["sir", "geometry_auc"].per_seed == pytest.approx({0: 0.90, 1: 0.91, 2: 0.92})


def test_differences_say_how_they_were_tested(table):
    differences = table.blocks[0].differences
    better = differences["sir", "geometry_auc"]
    assert better.test.method == BOTH and better.significant
    assert better.test.low < better.value < better.test.high
    assert better.people == 20 and better.better > 0.5
    accuracy = differences["sir", "geometry_acc"]  # its influences are not stored
    assert accuracy.test.method == SEEDS and accuracy.people == 0
    assert ("baseline", "geometry_auc") not in differences


def test_a_difference_of_means_is_the_test_of_its_values(table):
    """Shape error is a mean over people, so that influences are people's differences less their mean."""
    deltas = []
    for seed in range(3):
        sides = [synthetic.predictions(seed, noise)["test_shape_error"].reshape(20, 5).mean(1) for noise in (0.8, 0.6)]
        deltas.append(sides[0].astype(float) - sides[1])
    values = np.array(deltas)
    covariance = np.cov(values)
    between, shared = values.mean(1).var(ddof=1) / 3, max(covariance[~np.eye(3, dtype=bool)].mean(), 0) / 20
    freedom = (between + shared) ** 2 / (between**2 / 2 + shared**2 / 19)
    low, high = scipy.stats.t(freedom, values.mean(), np.sqrt(between + shared)).interval(0.95)
    found = table.blocks[0].differences["no_center", "shape_error_mm"]
    assert found.value == pytest.approx(values.mean(), abs=1e-6)
    assert (found.test.low, found.test.high) == pytest.approx((low, high), abs=2e-4)  # float16 in the archive
    people = [
        synthetic.predictions(seed, noise)["test_shape_error"].reshape(20, 5).mean(1)
        for noise in (0.8, 0.6)
        for seed in range(3)
    ]
    wins = np.mean([mine < theirs for mine in people[:3] for theirs in people[3:]])
    assert found.better == pytest.approx(wins, abs=0.02)


def test_influences_of_metrics_that_are_no_means_are_used(table):
    """Resampling people of a single seed scatters the AUC's difference as its influences say."""
    generator = np.random.default_rng(4)
    arrays = [synthetic.predictions(0, noise) for noise in (0.8, 0.6)]
    draws = generator.multinomial(20, np.full(20, 1 / 20), size=300).astype(float)
    own, its = ([synthetic.weighted_metrics(a, w)["benchmark/geometry_auc"] for w in draws] for a in arrays)
    key = "influence_test"
    rows = [a[key][list(a[f"{key}_metrics"]).index("benchmark/geometry_auc")] for a in arrays]
    assert np.std(np.subtract(own, its)) == pytest.approx(np.std(rows[0] - rows[1]) / np.sqrt(20), rel=0.15)


def test_one_seed_is_tested_over_people_alone(spec, tmp_path):
    synthetic.make_run(tmp_path, "baseline", 0, 1.2)
    synthetic.make_run(tmp_path, "sir", 0, 0.6)
    differences = build(spec, find_records(tmp_path, "none")).blocks[0].differences
    assert differences["sir", "geometry_auc"].test.method == PEOPLE
    accuracy = differences["sir", "geometry_acc"]
    assert accuracy.test.method == NEITHER and accuracy.better is None and accuracy.holm is None


def drop(arrays):
    for name in [name for name in arrays if name.startswith("influence_")]:
        del arrays[name]


def renumber(arrays):
    arrays["influence_test_people"] = arrays["influence_test_people"] + 1


@pytest.mark.parametrize(
    "changed", [{"change": drop}, {"change": renumber}, {"data_manifest": "other"}], ids=["older", "people", "data"]
)
def test_without_influences_of_the_same_people_seeds_alone_vary(spec, tmp_path, changed):
    for seed in range(2):
        synthetic.make_run(tmp_path, "baseline", seed, 1.2)
        synthetic.make_run(tmp_path, "sir", seed, 0.6, **(changed if seed else {}))
    found = build(spec, find_records(tmp_path, "none")).blocks[0].differences["sir", "geometry_auc"]
    assert found.test.method == SEEDS and found.people == 0


def test_relative_differences_are_in_percent_of_the_parent(spec, made):
    column = next(c for c in spec.columns if c.metric == "shape_error_mm").model_copy(update={"relative": True})
    relative = build(spec.model_copy(update={"columns": [column]}), find_records(*made))
    found, cells = relative.blocks[0].differences["sir", "shape_error_mm"], relative.blocks[0].cells
    own, its = (cells[name, "shape_error_mm"].per_seed for name in ("sir", "baseline"))
    assert found.per_seed == pytest.approx({seed: 100 * (own[seed] / its[seed] - 1) for seed in range(3)})
    assert found.test.method == BOTH and found.test.high < 0


def test_the_time_per_image_stands_beside_the_metrics(spec, tmp_path):
    path = synthetic.make_run(tmp_path, "sir", 0, 0.6)
    folder = synthetic.RunFolder.open(path)
    folder.finish(folder.record.metrics, folder.record.protocols, timings={"image_cpu_seconds": 0.25})
    column = spec.columns[0].model_copy(update={"metric": "image_cpu_seconds"})
    blocks = [block.model_copy(update={"select": {}}) for block in spec.blocks]
    table = build(spec.model_copy(update={"columns": [column], "blocks": blocks}), find_records(tmp_path, "none"))
    assert table.blocks[0].cells["sir", "image_cpu_seconds"].mean == 0.25
    assert table.blocks[0].protocols["image_cpu_seconds"] == "cpu-seconds-per-image/v1"
    assert not table.blocks[2].cells  # of photographs, it was not measured


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
    synthetic.make_run(
        runs, "sir", 0, 0.6, digest="plain", overrides=["+experiment=sir", "seed=0", "trainer.conflict=5"]
    )
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
        columns = [column for column in spec.columns if column.metric == "geometry_auc"]
        build(spec.model_copy(update={"columns": columns}), find_records(tmp_path, ""))


def test_config_difference_leaves_out_names_and_places():
    parent = {"name": "a", "parent": None, "seed": 0, "paths": {"runs": "x"}, "loss": {"kl": 1, "pixel": 2}}
    own = {"name": "b", "parent": "a", "seed": 1, "paths": {"runs": "y"}, "loss": {"kl": 1.0}, "new": {}}
    assert config_difference(parent, own) == {"loss.pixel": (2, None), "new": (None, {})}


def test_marks_are_held_against_those_of_another_table(table):
    """The table agrees with itself in every mark, with one without marks in none; of negated values, in none either."""
    marked = [d for block in table.blocks for d in block.differences.values() if d.significant]
    start = f"Of {len(marked)} differences marked on this page, "

    def held_against(**changed):
        blocks = [replace(block, **{key: change(block) for key, change in changed.items()}) for block in table.blocks]
        return to_markdown(replace(table, agreement=replace(table, blocks=blocks)))

    assert f"{start}{len(marked)} have the same mark in [Ablation of SIR](ablation.md).\n" in held_against()
    unmarked = held_against(differences=lambda block: {k: replace(d, holm=1.0) for k, d in block.differences.items()})
    assert f"{start}0 have" in unmarked and "Not marked there: SIR in shape error (mm)" in unmarked

    def negated(block):
        return {k: replace(c, per_seed={s: -v for s, v in c.per_seed.items()}) for k, c in block.cells.items()}

    assert "Marked the other way there: SIR in shape error (mm)" in held_against(cells=negated)


def test_rows_may_be_runs_of_one_experiment(tmp_path):
    """Here with and without the prior, by its weight in their configurations; and a record by the name of a row."""
    for name, noise in (("sir", 1.2), ("no_kl", 0.6), ("without", 5.0)):
        path = synthetic.make_run(tmp_path / "runs", name, 0, noise)
        if name == "no_kl":
            record = json.loads((path / "run.json").read_text())
            (path / "run.json").write_text(json.dumps(record | {"experiment": "sir"}))
    rows = [
        {"experiment": "with", "of": "sir", "select": {"loss.kl": 0.5}},
        {"experiment": "without", "of": "sir", "select": {"loss.kl": 0.0}, "parent": "with"},
    ]
    content = {"name": "t", "title": "T", "blocks": [{"name": "x", "metrics": "benchmark"}], "rows": rows}
    content["columns"] = [{"metric": "shape_error_mm", "direction": "lower"}]
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(content))
    table = build(read_spec(tmp_path / "t.yaml"), find_records(tmp_path / "runs", "none"))
    (block,) = table.blocks
    expected = [synthetic.metrics_of(synthetic.predictions(0, noise))["shape_error_mm"] for noise in (1.2, 0.6)]
    assert [block.cells[name, "shape_error_mm"].mean for name in ("with", "without")] == pytest.approx(expected)
    assert block.differences["without", "shape_error_mm"].test.method == PEOPLE
    assert table.changes["without"]["loss.kl"] == (0.5, 0.0)
    assert "- without against with: `loss.kl`: 0.5 → 0, `loss.noise`: 1.2 → 0.6" in to_markdown(table)
    for path in (tmp_path / "runs" / "no_kl").glob("*/seed=0/predictions.npz"):
        path.write_bytes(b"damaged")
    (block,) = build(read_spec(tmp_path / "t.yaml"), find_records(tmp_path / "runs", "none")).blocks
    assert any("without seed 0 failed" in note for note in block.runs.notes)


def test_metrics_of_the_same_photographs_compare_whatever_was_trained_on(tmp_path):
    for name, manifest in (("baseline", "cafe"), ("sir", "beef")):
        synthetic.make_run(tmp_path, name, 0, 1.2, data_manifest=manifest, photos_digest="d")
    one, other = find_records(tmp_path, "nowhere")
    assert same_data([one, other], "photos") and not same_data([one, other])
    for digest, manifest, same in (
        ("e", "beef", False),
        ("e", "cafe", False),
        (None, "beef", False),
        (None, "cafe", True),
    ):
        record = replace(other.record, photos_digest=digest, data_manifest=manifest)
        assert same_data([one, replace(other, record=record)], "photos") == same


def test_photos_that_machines_round_differently_are_the_same_data(spec, tmp_path):
    for name, manifest in (("baseline", "cafe"), ("sir", "beef")):
        synthetic.make_run(tmp_path, name, 0, 1.2, data_manifest=manifest)
    one, other = find_records(tmp_path, "nowhere")

    def told(entry, **changes):
        scale = entry.record.config["scale"] | {"image_size": 64, "test_people": 9} | changes
        config = entry.record.config | {"data": {"seed": 0, "albedo_modes": 4}, "scale": scale}
        return replace(entry, record=replace(entry.record, config=config))

    assert same_data([told(one), told(other, batch_size=7, appearance="plain")])
    assert not same_data([told(one), told(other, appearance="lifelike")])
    assert not same_data([told(one), told(other, test_people=10)])
    assert not same_data([told(one), other])  # a record that does not tell
    assert same_data([one, one])
    notes = build(spec, [told(one), told(other)]).blocks[0].runs.notes
    assert any("round differently (beef, cafe)" in note for note in notes)
    assert not any("different data" in note for note in notes)
