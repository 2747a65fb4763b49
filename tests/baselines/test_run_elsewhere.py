"""A method that did not run here: photos out, predictions in, a row of the comparison."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from recface.baselines.configuration import baseline_config
from recface.baselines.run_baseline import run_baseline
from recface.baselines.run_elsewhere import EXPORTED, export_benchmark
from recface.data.sources import embedded_source
from recface.errors import RecfaceError
from recface.face_model import load
from recface.render.camera import from_pixels
from recface.results.recompute import compare_runs
from recface.results.records import Entry, find_records
from recface.results.selection import config_difference
from recface.results.spec import Row, read_spec, with_imported
from recface.settings.compose import compose_config
from recface.tracking import archive

CARD = {"name": "A method", "paper": "none", "code": None, "face_model": "the suite's", "licence": "MIT", "numbers": []}


@pytest.fixture(scope="module")
def photos(benchmark, face_model, tmp_path_factory):
    """The exported photos."""
    folder = tmp_path_factory.mktemp("photos")
    export_benchmark(benchmark, face_model, folder)
    with pytest.raises(RecfaceError, match="must be a new or empty folder"):
        export_benchmark(benchmark, face_model, folder)
    return folder


@pytest.fixture(scope="module")
def truth(benchmark):
    """Ids and true parameters of all exported photos, which no method sees."""
    sources = [embedded_source(benchmark, split) for split in EXPORTED]
    return sum((s.ids for s in sources), []), np.concatenate([s.identity_parameters for s in sources])


def method(folder, name, ids, card=CARD, **arrays):
    """Write external/NAME as a user would."""
    path = folder / "external" / name
    (path / "predictions").mkdir(parents=True)
    (path / "card.yaml").write_text(json.dumps(card))
    for key, array in arrays.items():
        np.save(path / "predictions" / f"{key}.npy", array)
    pd.DataFrame({"id": ids}).to_csv(path / "predictions" / "ids.csv", index=False)
    return str(path)


def evaluated(folder, tmp_path, cache_dir, *overrides):
    config = baseline_config(
        folder, ["scale=smoke", f"paths.runs={tmp_path}/runs", f"paths.cache={cache_dir}", *overrides]
    )
    return run_baseline(config)


def test_exported_photos_are_the_benchmark_s_without_its_truth(photos, benchmark, face_model, truth):
    table = pd.read_csv(photos / "photos.csv")
    assert table["id"].tolist() == truth[0] and set(table["split"]) == set(EXPORTED)
    assert not {"identity", "person"} & set(table) and len(table.columns) == 3 + 136
    source = embedded_source(benchmark, "test")
    row = table[table["id"] == source.ids[3]].iloc[0]
    assert row["id"] == f"test_{benchmark.manifest_hash[:8]}_00003"
    np.testing.assert_array_equal(np.asarray(Image.open(photos / row["file"])), source.images[3].transpose(1, 2, 0))
    pixels = torch.tensor(row.iloc[3:].to_numpy(float).reshape(68, 2))
    np.testing.assert_allclose(from_pixels(pixels, source.images.shape[-1]), source.landmarks[3], atol=1e-4)
    assert load(photos / "face_model.npz").checksum == face_model.checksum
    lines = (photos / "mean_face.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    np.testing.assert_allclose(vertices, face_model.mean, atol=1e-4)


def test_true_parameters_are_a_perfect_row_and_so_are_the_same_shapes_as_vertices(
    truth, face_model, tmp_path, cache_dir
):
    ids, parameters = truth
    order = np.random.default_rng(0).permutation(len(ids))  # predictions are found by id, not by place
    named = np.array(ids)[order]
    vertices = face_model.shape(torch.from_numpy(parameters[order]).float()).numpy()
    by_parameters = evaluated(method(tmp_path, "one", named, parameters=parameters[order]), tmp_path, cache_dir)
    by_vertices = evaluated(method(tmp_path, "two", named, vertices=vertices), tmp_path, cache_dir)
    first, second = (folder.record.metrics["benchmark"] for folder in (by_parameters, by_vertices))
    for metrics in (first, second):
        assert metrics["shape_error_mm"] < 2e-3 and metrics["geometry_auc"] == metrics["rank1"] == 1
        assert metrics["control_albedo_auc"] > 0.99 and "nme" not in metrics
    assert first["param_auc"] == 1 and first["prior_kl"] >= 0
    # Numbers that span vertices are no parameters of the method.
    assert not any(key.startswith(("param_", "prior_")) or key.endswith("_param") for key in second)
    for key in ("mean_face_error_mm", "truth_cosine", "silhouette_geometry", "sir"):
        assert second[key] == pytest.approx(first[key], abs=2e-3), key
    assert by_parameters.record.timings.keys() == {"evaluation_seconds"}
    recomputed = compare_runs(find_records(tmp_path / "runs", tmp_path / "none"), None)
    assert len(recomputed.values) == 2 and not any(item.off for item in recomputed.comparisons.values())


def test_landmarks_are_pixels_and_give_the_nme(truth, benchmark, tmp_path, cache_dir, photos):
    ids, parameters = truth
    marks = pd.read_csv(photos / "photos.csv").iloc[:, 3:].to_numpy().reshape(-1, 68, 2)
    folder = evaluated(method(tmp_path, "marks", ids, parameters=parameters, landmarks=marks), tmp_path, cache_dir)
    assert folder.record.metrics["benchmark"]["nme"] < 0.01


def test_other_predictions_are_another_record_and_the_same_ones_are_not_measured_again(
    truth, tmp_path, cache_dir, monkeypatch
):
    ids, parameters = truth
    path = method(tmp_path, "mine", ids, parameters=parameters)
    first = evaluated(path, tmp_path, cache_dir)
    moved = str(tmp_path / "elsewhere" / "mine")
    shutil.copytree(path, moved)
    with monkeypatch.context() as patch:
        patch.setattr("recface.baselines.run_baseline.open_workbench", lambda config: pytest.fail("measured again"))
        assert evaluated(moved, tmp_path, cache_dir).path == first.path
    np.save(tmp_path / "external" / "mine" / "predictions" / "parameters.npy", parameters + 0.1)
    assert evaluated(path, tmp_path, cache_dir).record.hash != first.record.hash


def test_the_test_photos_alone_are_enough_but_all_of_them(truth, benchmark, tmp_path, cache_dir):
    ids, parameters = truth
    chosen = np.array([name.startswith("test_") for name in ids])
    path = method(tmp_path, "some", np.array(ids)[chosen], parameters=parameters[chosen])
    metrics = evaluated(path, tmp_path, cache_dir).record.metrics
    assert set(metrics) == {"benchmark", "conditions"} and "control_shape_auc" not in metrics["benchmark"]
    gone = embedded_source(benchmark, "test").ids[7]
    chosen &= np.array(ids) != gone
    path = method(tmp_path, "fewer", np.array(ids)[chosen], parameters=parameters[chosen])
    with pytest.raises(RecfaceError, match=rf"no prediction for photo {gone} \(1 of the \d+ of 'test' are missing"):
        evaluated(path, tmp_path, cache_dir)


def test_mistakes_are_named(truth, face_model, tmp_path, cache_dir):
    ids, parameters = truth
    wrong = method(tmp_path, "wrong", ids, parameters=parameters[:, :7])
    with pytest.raises(RecfaceError, match="7 parameters, the face model makehuman has 40"):
        evaluated(wrong, tmp_path, cache_dir)
    rng = np.random.default_rng(0)
    topology = method(tmp_path, "flame", ids[:2], vertices=rng.normal(size=(2, 50, 3)) * 60)
    with pytest.raises(RecfaceError, match="50 vertices, the face model makehuman has 4,386; `recface baselines"):
        evaluated(topology, tmp_path, cache_dir)
    marks = method(tmp_path, "marks", ids[:2], landmarks=rng.normal(size=(2, 68, 2)))
    with pytest.raises(RecfaceError, match="holds neither vertices nor parameters"):
        evaluated(marks, tmp_path, cache_dir)
    with pytest.raises(RecfaceError, match="sir is the name of a row of this suite"):
        baseline_config(method(tmp_path, "sir", ids, parameters=parameters))
    with pytest.raises(RecfaceError, match="card.yaml: no such file"):
        baseline_config(f"{tmp_path}/nowhere")
    with pytest.raises(RecfaceError, match="licence is missing"):
        baseline_config(method(tmp_path, "bare", ids, {key: CARD[key] for key in CARD if key != "licence"}))


def test_the_comparison_gets_a_row_named_by_the_card_and_the_archive_keeps_it(truth, tmp_path, cache_dir):
    ids, parameters = truth
    folder = evaluated(method(tmp_path, "mine", ids, parameters=parameters), tmp_path, cache_dir)
    archive(folder.path, tmp_path / "records")
    entries = find_records(tmp_path / "none", tmp_path / "records")
    assert "folder" not in entries[0].record.config["baselines"]  # records name no places
    mean_face = baseline_config("mean_face", ["scale=smoke"])
    assert set(config_difference(mean_face, entries[0].record.config)) == {"baselines.method"}
    spec = read_spec("configs/table/comparison.yaml")
    assert with_imported(spec, entries).rows == [
        *spec.rows,
        Row(experiment="mine", title="A method", parent="mean_face"),
    ]
    ablation = read_spec("configs/table/ablation.yaml")
    assert with_imported(ablation, entries) == ablation  # it wants none
    failed = Entry(folder.record.__class__(**{**vars(folder.record), "state": "failed"}), folder.record_path)
    assert with_imported(spec, [failed]) == spec


def test_the_configuration_alone_does_not_run():
    with pytest.raises(RecfaceError, match="no baseline 'imported'"):
        baseline_config("imported")
    assert compose_config("+baselines=mean_face")["baselines"]["method"] == "mean_face"


def test_photographs_are_found_by_their_file_and_left_out_where_none_was_predicted(
    photos, truth, benchmark, tmp_path, cache_dir
):
    ids, parameters = truth
    table = pd.read_csv(photos / "photos.csv")
    source = embedded_source(benchmark, "test")
    people = np.unique(source.identity)
    rows = np.array([np.flatnonzero(source.identity == person)[:2] for person in people])
    faces = table[table["split"] == "test"].iloc[rows.ravel()].drop(columns=["id", "split"]).copy()
    faces["identity"] = [f"p{person}" for person in people for _ in range(2)]
    faces["expression"] = ["neutral", "smiling"] * len(people)
    real = tmp_path / "real"
    real.mkdir()
    shutil.copytree(photos / "images", real / "images")
    faces["file"] = [file.removeprefix("images/") for file in faces["file"]]
    faces.to_csv(real / "faces.csv", index=False)
    wish = f"data.photos={real}"
    plain = evaluated(method(tmp_path, "plain", ids, parameters=parameters), tmp_path, cache_dir, wish)
    assert set(plain.record.metrics) == {"validation", "benchmark", "conditions"}
    both = np.concatenate([parameters, source.identity_parameters[rows.ravel()]])
    folder = method(tmp_path, "both", [*ids, *faces["file"]], parameters=both)
    metrics = evaluated(folder, tmp_path, cache_dir, wish).record.metrics
    assert metrics["photos"]["geometry_auc"] == metrics["photos"]["rank1"] == 1


def test_predictions_for_another_face_model_have_a_folder_of_their_own(truth, tmp_path):
    ids, parameters = truth
    path = method(tmp_path, "mine = my own", ids, parameters=parameters)
    assert baseline_config(path)["name"] == "mine = my own"
    assert baseline_config(path)["baselines"]["folder"] == f"{path}/predictions"
    (tmp_path / "external" / "mine = my own" / "predictions_ict").mkdir()
    (tmp_path / "external" / "none").mkdir()
    (tmp_path / "external" / "none" / "card.yaml").write_text(json.dumps(CARD))
    with pytest.raises(RecfaceError, match="none/predictions: no such folder"):
        baseline_config(str(tmp_path / "external" / "none"))
    chosen = baseline_config(path, ["face_model=ict", "face_model.path=x"])["baselines"]["folder"]
    assert chosen == f"{path}/predictions_ict"
    assert baseline_config(path)["baselines"]["folder"] == f"{path}/predictions"


def test_ids_of_another_benchmark_or_mistyped_ones_are_refused(truth, tmp_path, cache_dir):
    ids, parameters = truth
    other = [name.replace("_", "-") if name.startswith("control_shape") else name for name in ids]
    mistyped = method(tmp_path, "mistyped", other, parameters=parameters)
    with pytest.raises(RecfaceError, match=r"id control-shape-\w+-00000 is not a photo of this benchmark \(\d+ of \d+"):
        evaluated(mistyped, tmp_path, cache_dir)
    mine = method(tmp_path, "mine", ids, parameters=parameters)
    with pytest.raises(RecfaceError, match="no prediction for photo|is not a photo of this benchmark"):
        evaluated(mine, tmp_path, cache_dir, "data.seed=7")
