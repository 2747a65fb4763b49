"""The scan stage: shared under its hash, resumed, exported, evaluated; and its command line."""

import json
import shutil

import numpy as np
import pytest
import torch

from recface.data.workbench import Workbench
from recface.errors import RecfaceError
from recface.face_model import load
from recface.scan_stage import decoder as scan_decoder
from recface.scan_stage import stage as scan_stage
from recface.scan_stage.shape_model_table import evaluate_scan_models
from recface.scan_stage.stage import open_scans, scan_hash, scan_model, shared_scan_model
from recface.settings.compose import compose_config
from recface.settings.run_settings import check_config
from recface.tracking import RunFolder

SMALL = ("sfm.scan.people=24", "sfm.scan.scans_each=3", "sfm.scan.modes=6", "sfm.scan.steps=150", "scale=smoke")

ROWS = {"pca", "pca_mm", "factor_analysis", "pca_whitened", "pca_lda", "two_part_pca", "sfm_no_sphere", "sfm"}


def settings(folder, *overrides):
    return compose_config("+sfm=default", "+sfm_model=default", f"paths.runs={folder}/runs", *SMALL, *overrides)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, face_model):
    config = settings(tmp_path_factory.mktemp("scans"))
    return config, scan_model(config, face_model, open_scans(config, face_model, None))


def test_export_reloads_and_decodes_what_was_trained(trained, face_model):
    _, model = trained
    read = load(model.path / "sfm.npz")
    assert (read.name, read.num_identity, read.num_vertices) == ("sfm", 6, face_model.num_vertices)
    assert read.latent_radius == pytest.approx(6**0.5) and read.expression_names == face_model.expression_names
    for field in ("triangles", "landmarks68", "mirror", "face_mask", "expression_basis"):
        np.testing.assert_array_equal(getattr(read, field), getattr(face_model, field))
    assert model.latents.shape == (72, 6) and model.expression.shape == (72, face_model.num_expressions)
    with torch.no_grad():
        rebuilt = read.shape(torch.from_numpy(model.latents), torch.from_numpy(model.expression)).numpy()
    spread = np.linalg.norm(model.scans[:] - model.scans[:].mean(axis=0), axis=2).mean()
    assert np.linalg.norm(rebuilt - model.scans[:], axis=2).mean() < 0.6 * spread


def test_the_sphere_term_puts_latents_on_the_sphere(trained, face_model, tmp_path):
    _, soft = trained
    config = settings(tmp_path, "sfm.scan.weights.sphere=100")
    hard = scan_model(config, face_model, soft.scans)
    off = [np.abs(np.linalg.norm(model.latents, axis=1) / 6**0.5 - 1).mean() for model in (soft, hard)]
    assert off[1] < 0.03 and off[1] < off[0]


def test_trained_once_and_shared(trained, face_model, benchmark, monkeypatch):
    config, model = trained
    monkeypatch.setattr(scan_stage, "train_scan_model", lambda *a: pytest.fail("trained again"))
    bench = Workbench(config | {"name": "other", "loss": {}}, face_model, benchmark, {})
    again = shared_scan_model(bench, RunFolder(model.path.parent / "asks"))
    assert again.path == model.path and again.face_model.checksum == model.face_model.checksum
    np.testing.assert_array_equal(again.latents, model.latents)


def test_hash_sees_what_matters(trained, face_model):
    config, _ = trained
    digest = scan_hash(config, face_model)
    assert digest == scan_hash({**config, "loss": None, "seed": 9}, face_model)

    def changed(**scan):
        return scan_hash({**config, "sfm": {"scan": config["sfm"]["scan"] | scan}}, face_model)

    for key, value in (("people", 25), ("sphere", False), ("steps", 151)):
        assert digest != changed(**{key: value})
    assert digest == changed(path="where nothing is read")


def test_hash_of_a_folder_is_of_its_scans_not_of_its_place(trained, face_model, tmp_path):
    scan = trained[0]["sfm"]["scan"] | {"source": "folder"}

    def digest(folder):
        paths = {"cache": str(tmp_path / "cache")}
        return scan_hash({"sfm": {"scan": scan | {"path": str(folder)}}, "paths": paths}, face_model)

    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "scans.csv").write_text("file,identity\na.obj,one\n")
    (tmp_path / "here" / "a.obj").write_text("v 0 0 0")
    here = digest(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert digest(tmp_path / "there") == here
    (tmp_path / "there" / "a.obj").touch()
    assert digest(tmp_path / "there") == here
    (tmp_path / "there" / "scans.csv").write_text("file,identity\na.obj,two\n")
    assert digest(tmp_path / "there") != here
    (tmp_path / "here" / "a.obj").write_text("v 0 0 0\nv 0 0 1")
    assert digest(tmp_path / "here") != here


def test_records_name_no_path(trained):
    record = json.loads((trained[1].path / "run.json").read_text())
    assert record["config"]["face_model"]["path"] is None and record["config"]["sfm"]["scan"]["path"] is None


def test_a_killed_stage_goes_on_to_the_same_end(trained, face_model, tmp_path, monkeypatch):
    _, whole = trained
    config = settings(tmp_path)

    def stop(self, trainer, module, outputs, *rest):
        real(self, trainer, module, outputs, *rest)
        if module.step == 120:
            raise KeyboardInterrupt

    real = scan_decoder.ScanProgress.on_train_batch_end
    scans = open_scans(config, face_model, None)
    with monkeypatch.context() as patch:
        patch.setattr(scan_decoder.ScanProgress, "on_train_batch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            scan_model(config, face_model, scans)
    folder = next((tmp_path / "runs" / "scans").glob("*/seed=0"))
    assert json.loads((folder / "run.json").read_text())["reason"] == "interrupted"
    assert torch.load(folder / "checkpoints" / "scans-last.ckpt", weights_only=True)["step"] == 100
    model = scan_model(config, face_model, scans)
    np.testing.assert_allclose(model.latents, whole.latents, atol=1e-4)
    assert not (folder / "checkpoints" / "scans-last.ckpt").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sfm.scan.modes=24", "24 identity modes from 24 people"),
        ("sfm.scan.scans_each=1", "one scan per person only"),
        ("sfm.scan.source=disk", "sfm.scan.source must be 'model', 'benchmark' or 'folder', not 'disk'"),
        ("sfm.scan.expression=guess", "sfm.scan.expression must be 'model' or 'learned', not 'guess'"),
        ("sfm.scan.source=folder", "needs the folder with scans.csv"),
    ],
)
def test_bad_input_is_one_line_before_training(override, message, face_model, tmp_path):
    config = settings(tmp_path, override)
    with pytest.raises(RecfaceError, match=message) as error:
        check_config(config)
        scan_model(config, face_model, open_scans(config, face_model, None))
    assert "\n" not in str(error.value)


def test_evaluation_measures_every_row_and_is_kept(face_model, tmp_path):
    overrides = ("sfm.scan.expression=learned", "sfm.scan.expression_modes=5", "sfm.scan.steps=20")
    sizes = ("sfm_model.test_people=8", "sfm_model.validation_people=8", "sfm_model.sizes=[4,8]")
    config = settings(tmp_path, *overrides, *sizes, "sfm_model.samples=5")
    folder = evaluate_scan_models(config, face_model)
    metrics = folder.record.metrics
    assert set(metrics) == ROWS
    assert all(np.isfinite(value) for row in metrics.values() for value in row.values())
    for row in metrics.values():
        assert row["generalisation_mm@4"] >= row["generalisation_mm@8"] >= row["generalisation_mm@11"]
    # PCA is the best linear fit of the training scans.
    assert max(metrics, key=lambda name: round(metrics[name]["compactness@11"], 6)) == "pca"
    written = folder.record_path.stat().st_mtime_ns
    assert evaluate_scan_models(config, face_model).record_path.stat().st_mtime_ns == written
