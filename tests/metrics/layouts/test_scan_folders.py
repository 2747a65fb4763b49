"""NoW, REALY and MICC from their official folders: known distances, and one line for whatever is missing."""

import shutil

import numpy as np
import pandas as pd
import pytest
from tests.official.benchmarks import (
    NAMED,
    NOSE_TIP,
    SEVEN,
    SUBJECTS,
    write_mesh,
    write_micc,
    write_now,
    write_now_predictions,
    write_realy,
    write_realy_predictions,
)

from recface.errors import RecfaceError
from recface.metrics.layouts import LAYOUTS, find_layout
from recface.metrics.protocols import BENCHMARKS
from recface.results.evaluate import evaluate

FLAT = 0.08  # mm between a sphere of 100 mm and its triangles


@pytest.fixture(scope="module")
def now(tmp_path_factory):
    folder = tmp_path_factory.mktemp("now")
    write_now(folder / "NoW", radii=(90.0, 80.0))
    write_now_predictions(folder / "predicted", radius=84.0)
    return folder


@pytest.fixture(scope="module")
def realy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("realy")
    write_realy(folder / "REALY")
    write_realy_predictions(folder / "predicted")
    return folder


def measured(protocol=None, **options):
    predictions, data = options.pop("predictions"), options.pop("data")
    return evaluate(predictions, protocol, data, **options)


def test_now_finds_the_radii_of_its_scans(now) -> None:
    found = measured(layout="now", predictions=now / "predicted", data=now / "NoW")
    assert found["protocol"] == "now-scan-to-mesh/v1" and found["samples"] == 4
    assert found["values"]["mean"] == pytest.approx(0, abs=FLAT)  # the size is free
    metrical = "now-metrical-scan-to-mesh/v1"
    found = measured(metrical, layout="now", predictions=now / "predicted", data=now / "NoW")
    assert found["values"]["mean"] == pytest.approx((6 + 4) / 2, abs=FLAT)
    assert found["values"]["median"] == pytest.approx(5, abs=1 + FLAT)


def test_now_takes_another_unit_and_a_list_of_one_challenge(now, tmp_path) -> None:
    write_now_predictions(tmp_path / "meters", radius=84.0, unit=1000.0)
    with pytest.raises(RecfaceError, match="these look like meters, multiply by 1000"):
        measured(layout="now", predictions=tmp_path / "meters", data=now / "NoW")
    shutil.copytree(now / "NoW", tmp_path / "NoW")
    lines = (tmp_path / "NoW" / "imagepathsvalidation.txt").read_text().splitlines()
    (tmp_path / "NoW" / "selfie.txt").write_text(next(line for line in lines if "3335_TA/selfie" in line))
    options = {"predictions": tmp_path / "meters", "data": tmp_path / "NoW" / "selfie.txt", "unit": "m"}
    shutil.rmtree(tmp_path / "meters" / SUBJECTS[1])
    shutil.rmtree(tmp_path / "meters" / SUBJECTS[0] / "multiview_neutral")
    found = measured("now-metrical-scan-to-mesh/v1", layout="now", **options)
    assert found["values"]["median"] == pytest.approx(6, abs=FLAT) and found["samples"] == 1


LIST = "imagepathsvalidation.txt"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / LIST).unlink(), f"no {LIST} or imagepathstest.txt; NoW is asked for at"),
        (lambda folder: shutil.rmtree(folder / "scans"), "no scans; NoW is asked for at"),
        (lambda folder: shutil.rmtree(folder / "scans_lmks_onlypp" / SUBJECTS[1]), "3336_TA: no file with .*pp or"),
        (lambda folder: (folder / "scans" / SUBJECTS[0] / "b.obj").touch(), "2 files with the ending .obj or .ply"),
        (lambda folder: (folder / LIST).write_text("\n\na/../../b/c.jpg"), "line 3: .* leads out of"),
        (lambda folder: (folder / LIST).write_text("IMG.jpg"), "line 1: expected SUBJECT/CHALLENGE"),
        (lambda folder: (folder / LIST).write_text(" \n"), "an empty list; NoW is asked for"),
        (shutil.rmtree, "no such file or folder"),
    ],
)
def test_a_half_downloaded_folder_is_one_line(now, tmp_path, change, said) -> None:
    shutil.copytree(now / "NoW", tmp_path / "NoW")
    change(tmp_path / "NoW")
    with pytest.raises(RecfaceError, match=said) as caught:
        LAYOUTS["now"].read(tmp_path / "NoW", BENCHMARKS["now-scan-to-mesh/v1"], [])
    assert "\n" not in str(caught.value)


def test_a_photo_that_was_not_predicted_is_named(now, tmp_path) -> None:
    shutil.copytree(now / "predicted", tmp_path / "predicted")
    lost = tmp_path / "predicted" / SUBJECTS[0] / "selfie" / "IMG_001.obj"
    lost.unlink()
    with pytest.raises(RecfaceError, match=f"no prediction for id {SUBJECTS[0]}/selfie/IMG_001 of"):
        measured(layout="now", predictions=tmp_path / "predicted", data=now / "NoW")
    shutil.rmtree(tmp_path / "predicted" / SUBJECTS[1])
    found = measured(layout="now", predictions=tmp_path / "predicted", data=now / "NoW", missing=True)
    assert found["missing"] == 3 and found["samples"] == 1


def test_realy_finds_the_depth_of_its_regions_in_the_scale_of_each_subject(realy) -> None:
    options = {"predictions": realy / "predicted" / "meshes", "template": realy / "predicted" / "template.txt"}
    found = measured(layout="realy", data=realy / "REALY", **options)["values"]
    mean = (8.0 + 8.02) / 2  # scales of the first two subjects
    for region, depth in {"nose": 0.0, "mouth": 0.1, "forehead": 0.2, "cheek": 0.3}.items():
        assert found[region] == pytest.approx(mean * depth, abs=0.05), region
    with pytest.raises(RecfaceError, match="realy-regions/v1 needs points"):
        measured(layout="realy", data=realy / "REALY", predictions=realy / "predicted" / "meshes")


def test_realy_s_views_are_rows_of_their_subject(realy, tmp_path) -> None:
    ids = ["views/1_2.obj", "1_3", "2"]
    truth = LAYOUTS["realy"].read(realy / "REALY", BENCHMARKS["realy-regions/v1"], ids)
    assert truth.table["id"].tolist() == ids
    assert truth.table["scale"].tolist() == pytest.approx([8.0, 8.0, 8.02])
    truth = LAYOUTS["realy"].read(realy / "REALY", BENCHMARKS["realy-regions/v1"], ["2_1"])
    assert truth.table["id"].tolist() == ["2_1", "1"]  # the second has no prediction
    for stray in ("3", "face", "1a"):
        with pytest.raises(RecfaceError, match=f"prediction {stray} is of no subject"):
            LAYOUTS["realy"].read(realy / "REALY", BENCHMARKS["realy-regions/v1"], ["1", stray])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "metrical_scale.txt").unlink(), "no metrical_scale.txt; REALY is asked for"),
        (lambda folder: (folder / "metrical_scale.txt").write_text("8\n"), "1 scales for subjects 1 to 2"),
        (lambda folder: (folder / "metrical_scale.txt").write_text("a\nb\n"), "not a readable list of scales"),
        (
            lambda folder: (folder / "REALY_scan_region" / "2" / "cheek.obj").unlink(),
            "cheek.obj: no such file; REALY",
        ),
        (lambda folder: shutil.rmtree(folder / "REALY_scan_region"), "no REALY_scan_region; REALY is asked"),
        (lambda folder: [f.unlink() for f in (folder / "REALY_HIFI3D_keypoints").iterdir()], "keypoints: no N.obj"),
    ],
)
def test_what_realy_lacks_is_one_line(realy, tmp_path, change, said) -> None:
    shutil.copytree(realy / "REALY", tmp_path / "REALY")
    change(tmp_path / "REALY")
    with pytest.raises(RecfaceError, match=said) as caught:
        LAYOUTS["realy"].read(tmp_path / "REALY", BENCHMARKS["realy-regions/v1"], ["1", "2"])
    assert "\n" not in str(caught.value)


def test_micc_is_measured_as_under_a_manifest(tmp_path) -> None:
    write_micc(tmp_path / "MICC")
    manifest, axes = [], np.array([0.8, 1.0, 0.9])
    for number, radius in enumerate((60.0, 50.0), 1):
        scan = next((tmp_path / "MICC" / f"subject_{number:02d}").rglob("*.obj"))
        mesh = tmp_path / "predicted" / f"subject_{number:02d}" / "indoor_7.obj"
        vertices, faces = _ball()
        write_mesh(mesh, radius * vertices, faces)
        np.save(mesh.with_suffix(".npy"), radius * SEVEN)
        marks = pd.DataFrame(radius * axes * np.concatenate([SEVEN, NOSE_TIP]), columns=list("xyz"))
        marks.assign(name=NAMED).to_csv(tmp_path / f"{number}.csv", index=False)
        manifest.append({"id": f"subject_{number:02d}/indoor_7", "scan": str(scan), "landmarks": f"{number}.csv"})
    pd.DataFrame(manifest).to_csv(tmp_path / "manifest.csv", index=False)
    for protocol in LAYOUTS["micc"].protocols:
        options = {"predictions": tmp_path / "predicted"}
        found = measured(protocol, layout="micc", data=tmp_path / "MICC", **options)["values"]
        assert found == pytest.approx(measured(protocol, data=tmp_path / "manifest.csv", **options)["values"], abs=5e-3)
        assert next(iter(found.values())) > 1  # an ellipsoid is no sphere
    next((tmp_path / "MICC" / "subject_01").rglob("*.pp")).unlink()
    with pytest.raises(RecfaceError, match="no 110920150451.pp or .csv beside it: .* no landmarks, pick right_eye"):
        measured(layout="micc", data=tmp_path / "MICC", predictions=tmp_path / "predicted")
    with pytest.raises(RecfaceError, match="prediction subject_03/a is of no subject"):
        LAYOUTS["micc"].read(tmp_path / "MICC", BENCHMARKS["micc-deng-rmse/v1"], ["subject_03/a"])
    with pytest.raises(RecfaceError, match="no subject_NN; MICC Florence is asked for"):
        LAYOUTS["micc"].read(tmp_path / "predicted" / "subject_01", BENCHMARKS["micc-deng-rmse/v1"], [])


def _ball():
    import trimesh

    ball = trimesh.creation.icosphere(2)
    return np.asarray(ball.vertices), np.asarray(ball.faces)


def test_layouts_and_protocols_that_do_not_fit_are_named() -> None:
    assert [find_layout(name, None)[1].id for name in LAYOUTS] == [
        *("now-scan-to-mesh/v1", "realy-regions/v1", "micc-deng-rmse/v1", "lfw-10fold-cos/v1"),
        *("insightface-flip-10fold/v1", "aflw2000-nme-68-original-pose/v2"),
    ]
    with pytest.raises(RecfaceError, match="--layout must be one of now, realy"):
        find_layout("bosphorus", None)
    with pytest.raises(RecfaceError, match="--layout now has no protocol realy-regions/v1; it has now-scan-to-mesh/v1"):
        find_layout("now", "realy-regions/v1")
