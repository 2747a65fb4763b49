"""Photos of one's own through a trained network."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from recface.cli.program import main
from recface.data.framing import canonical_landmarks
from recface.data.photos import LANDMARK_COLUMNS, load_photos
from recface.data.sources import embedded_source
from recface.errors import RecfaceError
from recface.face_model import load
from recface.files.meshes import read_mesh
from recface.metrics.protocols.scans import SEVEN_OF_68
from recface.metrics.readers.predictions import read_predictions
from recface.render.camera import to_pixels
from recface.run.experiment import run_experiment
from recface.run.reconstruct import open_faces, open_run, reconstruct_photos
from recface.settings.compose import compose_config


@pytest.fixture(scope="module")
def run(tmp_path_factory, cache_dir):
    """A finished run of SIR, at scale=smoke."""
    runs = tmp_path_factory.mktemp("reconstruct")
    return run_experiment(
        compose_config("+experiment=sir", "scale=smoke", f"paths.runs={runs}", f"paths.cache={cache_dir}")
    ).path


@pytest.fixture(scope="module")
def photos(benchmark, tmp_path_factory):
    """The first test photos of the benchmark, as files that are framed already."""
    folder, source = tmp_path_factory.mktemp("photos"), embedded_source(benchmark, "test")
    for row in range(5):
        Image.fromarray(source.images[row].transpose(1, 2, 0)).save(folder / f"p{row}.png")
    return folder


@pytest.fixture(scope="module")
def out(run, photos, tmp_path_factory):
    """The folder that `recface reconstruct` wrote."""
    out = tmp_path_factory.mktemp("out")
    assert main(["reconstruct", str(photos), "--run", str(run), "--out", str(out), "--meshes", "--framed"]) == 0
    return out


def test_parameters_are_those_that_the_run_stored(run, out):
    with np.load(run / "predictions.npz") as stored:
        expected = stored["test_parameters"][:5]
    found = read_predictions(out)
    assert found.ids == tuple(f"p{row}.png" for row in range(5))
    np.testing.assert_allclose(found.parameters, expected, atol=1e-4)
    assert found.landmarks.shape == (5, 68, 2) and found.weights.shape == (found.parameters.shape[1],)


def test_meshes_and_points_are_the_shapes_of_the_parameters(out):
    model, found = load(out / "face_model.npz"), read_predictions(out)
    shapes = model.shape(torch.from_numpy(np.array(found.parameters)))
    np.testing.assert_allclose(found.vertices, shapes, atol=1e-3)
    np.testing.assert_allclose(found.points, shapes[:, model.landmarks68[list(SEVEN_OF_68)]], atol=1e-3)
    named = pd.read_csv(out / "ids.csv").set_index("id")["mesh"]
    assert named["p3.png"] == "meshes/00003_p3.obj"
    vertices, triangles = read_mesh(out / named["p3.png"])
    np.testing.assert_allclose(vertices, shapes[3], atol=1e-3)
    np.testing.assert_array_equal(triangles, model.triangles)
    with Image.open(out / "picture.png") as picture:
        assert picture.width > 5 * 32 and np.asarray(picture).std() > 20


def test_landmarks_lie_in_the_pixels_of_the_file_that_the_photo_came_from(benchmark, face_model, tmp_path):
    source = embedded_source(benchmark, "test")
    size, place, scale = source.images.shape[-1], np.array([40.0, 25.0]), 3
    marks = to_pixels(torch.from_numpy(source.landmarks[:2]).double(), size).numpy() * scale + place
    for row in range(2):
        photo = Image.fromarray(source.images[row].transpose(1, 2, 0)).resize((scale * size,) * 2)
        whole = Image.new("RGB", (300, 240))
        whole.paste(photo, (40, 25))
        whole.save(tmp_path / f"{row}.png")
    table = pd.DataFrame(marks.reshape(2, -1), columns=LANDMARK_COLUMNS).assign(file=["0.png", "1.png"])
    found = load_photos(table, tmp_path, canonical_landmarks(face_model), size, "photos")
    np.testing.assert_allclose(found.in_pixels(found.landmarks), marks, atol=1e-6)
    # Rendered landmarks are close to where the framing puts them, so that the crop shows the same face.
    assert np.abs(found.images[:].astype(float) - source.images[:2]).mean() < 45
    framed = load_photos(pd.DataFrame({"file": ["0.png"]}), _square(tmp_path), np.zeros((68, 2)), size, "photos", True)
    corners = np.array([[[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]]])
    np.testing.assert_allclose(framed.in_pixels(corners), [[[0, 0], [90, 90], [45, 45]]])


def _square(folder):
    (folder / "square").mkdir()
    Image.new("RGB", (90, 90)).save(folder / "square" / "0.png")
    return folder / "square"


def test_a_table_s_photos_are_taken_by_their_landmarks(run, photos, benchmark, tmp_path, cache_dir):
    bench, variant = open_run(run, cache_dir)
    source = embedded_source(benchmark, "test")
    marks = to_pixels(torch.from_numpy(source.landmarks[:5]).double(), source.images.shape[-1]).numpy()
    table = pd.DataFrame(marks.reshape(5, -1), columns=LANDMARK_COLUMNS)
    table.insert(0, "file", [str(photos / f"p{row}.png") for row in range(5)])
    table.to_csv(tmp_path / "mine.csv", index=False)
    faces = open_faces(tmp_path / "mine.csv", bench)
    written = read_predictions(reconstruct_photos(bench, variant, faces, tmp_path / "out"))
    assert written.vertices is None and written.ids[0].endswith("p0.png")
    size = source.images.shape[-1]
    assert np.linalg.norm(written.landmarks - marks, axis=-1).mean() < size / 3  # in the photo, where the face is


def test_mistakes_are_one_line(run, photos, tmp_path, cache_dir, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, says in (
        ([str(photos), "--framed", "--run", str(tmp_path)], "run.json"),
        ([str(empty), "--framed", "--run", str(run)], f"photos: {empty}: no faces.csv and no photo"),
    ):
        assert main(["reconstruct", *arguments, "--out", "out", "--cache", str(cache_dir)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("recface reconstruct: ") and says in error and error.count("\n") == 1
    Image.new("RGB", (40, 30)).save(empty / "wide.png")
    bench, variant = open_run(run, cache_dir)
    with pytest.raises(RecfaceError, match=r"wide\.png: no landmarks to frame it by"):
        open_faces(empty, bench)
    with pytest.raises(RecfaceError, match=r"wide\.png: 40 x 30 pixels; a framed photo is square"):
        reconstruct_photos(bench, variant, open_faces(empty, bench, framed=True), tmp_path / "wide")
    with pytest.raises(RecfaceError, match="must be a new or empty folder"):
        reconstruct_photos(
            bench, variant, load_photos(pd.DataFrame({"file": ["p0.png"]}), photos, None, 32, "p", True), empty
        )
    none = load_photos(pd.DataFrame({"file": []}), photos, np.zeros((68, 2)), 32, "photos", True)
    with pytest.raises(RecfaceError, match="no photo in the table"):
        reconstruct_photos(bench, variant, none, tmp_path / "out")
    twice = load_photos(pd.DataFrame({"file": ["p0.png", "p0.png"]}), photos, np.zeros((68, 2)), 32, "photos", True)
    with pytest.raises(RecfaceError, match=r"p0\.png is there twice"):
        reconstruct_photos(bench, variant, twice, tmp_path / "out")


def test_only_finished_networks_reconstruct(run, tmp_path):
    weights = run / "checkpoints" / "final.pt"
    away = weights.rename(tmp_path / "final.pt")
    try:
        with pytest.raises(RecfaceError, match=r"final\.pt: no weights here"):
            open_run(run)
    finally:
        away.rename(weights)
    copy = tmp_path / "runs" / "sir" / "0" / "seed=0"
    shutil.copytree(run, copy)
    state = torch.load(copy / "checkpoints" / "final.pt", weights_only=True)
    for changed in (
        {key: state[key] for key in list(state)[1:]},
        {key: value[:1] if value.ndim else value for key, value in state.items()},
    ):
        torch.save(changed, copy / "checkpoints" / "final.pt")  # a part of a network would predict at random
        with pytest.raises(RecfaceError, match=r"final\.pt: .*: the weights are those of another network"):
            open_run(copy)
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(record | {"state": "failed"}))
    with pytest.raises(RecfaceError, match=r"must be a finished run of a network, not sir \(failed\)"):
        open_run(copy)


def test_a_benchmark_gets_what_it_wants_handed_in(run, photos, out, tmp_path):
    for name in ("p0.png", "p1.png"):
        (tmp_path / "photos" / "A" / "selfie").mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / name, tmp_path / "photos" / "A" / "selfie" / name)
    options = ["--run", str(run), "--out", str(tmp_path / "now"), "--framed", "--for", "now"]
    assert main(["reconstruct", str(tmp_path / "photos"), *options]) == 0
    plain, found = read_predictions(out), read_predictions(tmp_path / "now")
    assert found.ids == ("A/selfie/p0", "A/selfie/p1") and not (tmp_path / "now" / "ids.csv").exists()
    np.testing.assert_allclose(found.vertices, plain.vertices[:2], atol=1e-3)
    np.testing.assert_allclose(found.points, plain.points[:2], atol=1e-3)


def test_insightface_gets_the_mirrored_photos_too(run, photos, out, tmp_path):
    for number in range(2):
        with Image.open(photos / f"p{number}.png") as photo:
            (tmp_path / "flipped").mkdir(exist_ok=True)
            photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "flipped" / f"{number}.png")
    for name, folder in (("flipped", tmp_path / "flipped"), ("bin", photos)):
        options = ["--run", str(run), "--out", str(tmp_path / name / "out"), "--framed", "--for", "bin"]
        assert main(["reconstruct", str(folder), *options]) == 0
    found, flipped = read_predictions(tmp_path / "bin" / "out"), read_predictions(tmp_path / "flipped" / "out")
    np.testing.assert_allclose(found.parameters, read_predictions(out).parameters, atol=1e-4)
    np.testing.assert_allclose(found.mirrored[:2], flipped.parameters, atol=1e-3)
    assert np.abs(found.mirrored - found.parameters).max() > 1e-3


def test_the_photos_of_a_store(run, photos, out, tmp_path):
    from io import BytesIO

    from recface.data.store import StoredPhoto, finish_store, write_shard

    stored = []
    for number in range(3):
        with Image.open(photos / f"p{number}.png") as photo:
            stream, size = BytesIO(), photo.width
            photo.save(stream, "JPEG", quality=100, subsampling=0)
        extra = {"placement": "(0.02+0.01j) (-1+0.5j)"}
        stored.append(StoredPhoto(f"a/p{number}.png", stream.getvalue(), "", None, "test", extra))
    write_shard(tmp_path / "store", 0, stored)
    about = {"name": "mine", "size": size, "framing": "suite", "license": "none", "source": "none"}
    finish_store(tmp_path / "store", about)
    assert main(["reconstruct", str(tmp_path / "store"), "--run", str(run), "--out", str(tmp_path / "out")]) == 0
    found = read_predictions(tmp_path / "out")
    assert found.ids == ("a/p0.png", "a/p1.png", "a/p2.png")
    place = found.landmarks.astype(np.float64) @ [1, -1j]  # a pixel (x, y) lies at turn (x - iy) + shift
    normalized = read_predictions(out).landmarks[:3].astype(np.float64) @ [1, -1j] * 2 / size - 1 + 1j
    assert np.abs((0.02 + 0.01j) * place + (-1 + 0.5j) - normalized).max() < 0.2  # but for what JPEG changed
    same = np.corrcoef(found.parameters.ravel(), read_predictions(out).parameters[:3].ravel())[0, 1]
    assert same > 0.98  # but for what JPEG changed
