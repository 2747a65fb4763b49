"""Faces of photos, with a stand-in for the detector: what is written, where it lies, and what is told of bad files."""

import contextlib
import io
import json
import os
import re
import struct
import sys
from dataclasses import replace
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from recface.cli.program import main
from recface.data import found_faces
from recface.data.detection import Face
from recface.data.found_faces import find_faces
from recface.data.framing import five_of
from recface.data.sources import embedded_source
from recface.errors import RecfaceError
from recface.face_model import load
from recface.figures.faces_page import Shown, faces_page
from recface.files.meshes import read_mesh
from recface.metrics.readers.predictions import read_predictions
from recface.render import euler_to_matrix
from recface.run import reconstruct
from recface.run.face_files import Predicted, draw_face, folder_names, picture_of_faces
from recface.run.reconstruct import predict, reframe
from recface.run.shipped import open_shipped

PLACES = {"cut": [(210, 20, 160)], "none": [], "one": [(40, 30, 160)], "two": [(150, 20, 120), (10, 60, 64)]}
"""Left, top and side in pixels of rendered faces in a photo, by its name; its number is the photo's background."""
STRAIGHT_AND_TURNED = (1, 0, 0, 0, 1, 0), (0, 1, 0, -1, 0, 0)
"""The first two rows of an MP4 track's matrix: as stored, and turned by 90 degrees clockwise."""


@pytest.fixture(scope="module")
def network():
    return open_shipped()


@pytest.fixture(scope="module")
def folder(benchmark, tmp_path_factory):
    """Photos of 300 x 240 pixels with faces of the benchmark pasted in."""
    folder, faces = tmp_path_factory.mktemp("raw"), embedded_source(benchmark, "test").images
    for number, (name, places) in enumerate(PLACES.items()):
        photo = Image.new("RGB", (300, 240), (number, 0, 0))
        for row, (left, top, side) in enumerate(places):
            photo.paste(Image.fromarray(faces[row].transpose(1, 2, 0)).resize((side, side)), (left, top))
        photo.save(folder / f"{name}.png")
    return folder


@pytest.fixture(autouse=True, scope="module")
def detector(network):
    """In place of the real one, which tests may lack: it knows where the faces were pasted."""
    canonical = five_of(network.canonical)

    def find(photo):
        places = list(PLACES.values())[photo.getpixel((0, 0))[0]]
        boxes = [(np.array([x, y, x + s, y + s], float), s / 2, [x, y]) for x, y, s in places]
        return [Face(box, (canonical * [1, -1] + 1) * half + corner, 0.99) for box, half, corner in boxes]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(found_faces, "detect_turned", find)
        patch.setattr(reconstruct, "open_shipped", lambda: network)  # once, not once a test
        yield


def found(network, *paths, **options):
    return find_faces(paths, network.canonical, network.image_size, **options)


@pytest.fixture(scope="module")
def written(folder, detector, tmp_path_factory):
    """The folder that the command wrote of all photos, beside files that are none, and what it said."""
    tmp_path, out, error = tmp_path_factory.mktemp("written"), io.StringIO(), io.StringIO()
    (tmp_path / "in").mkdir()
    for path in folder.iterdir():
        os.link(path, tmp_path / "in" / path.name)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    (tmp_path / "in" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(tmp_path / "in" / "deep.png")
    arguments = [str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--all-faces", "--same-person"]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        assert main(["reconstruct", *arguments]) == 1
    return tmp_path / "out", SimpleNamespace(out=out.getvalue(), err=error.getvalue())


def test_faces_are_written_and_bad_files_are_listed(written, network, folder):
    out, said = written
    assert said.out == f"{out / 'index.html'}\n"
    for text in ("none.png: no face found", "broken.jpg: not a readable image", "deep.png: more than 8 bits"):
        assert any(line.startswith("skipped: ") and text in line for line in said.err.splitlines())
    assert "heif-convert" in said.err and "cut.png: the face is cut by the border" in said.err
    predictions, model = read_predictions(out), load(out / "face_model.npz")
    np.testing.assert_allclose(predictions.vertices, model.shape(torch.tensor(predictions.parameters)), atol=1e-3)
    assert predictions.ids == ("cut.png", "one.png", "two.png", "two.png#2")
    faces = reframe(network.variant, found(network, folder, all_faces=True), network.canonical)
    expected = network.variant(torch.from_numpy(faces.images).float() / 255)
    np.testing.assert_allclose(predictions.parameters, expected.identity.detach(), atol=1e-5)

    row, place = 1, out / "one"
    numbers, stored = json.loads((place / "parameters.json").read_text()), np.load(place / "parameters.npz")
    np.testing.assert_allclose(stored["identity"], predictions.parameters[row], atol=1e-6)
    np.testing.assert_allclose(stored["landmarks"], predictions.landmarks[row], atol=1e-3)
    assert list(numbers["expression"]) == model.expression_names and numbers["file"] == "one.png"
    np.testing.assert_allclose(list(numbers["expression"].values()), stored["expression"], atol=1e-6)
    neutral = model.shape(torch.from_numpy(stored["identity"])[None])[0].numpy()
    moving = model.shape(*(torch.from_numpy(stored[name])[None] for name in ("identity", "expression")))[0].numpy()
    shapes = {"neutral": neutral, "posed": moving @ stored["rotation"].T}
    photo = np.asarray(Image.open(folder / "one.png").convert("RGB")) / 255
    one = predict(network.variant, faces.images).one(row)
    for name, shape in shapes.items():
        vertices, triangles = read_mesh(place / f"{name}.obj")
        np.testing.assert_allclose(vertices, shape, atol=1e-3)
        np.testing.assert_array_equal(triangles, model.triangles)
        scene = trimesh.load(place / f"{name}.glb", process=False)
        (mesh,) = scene.geometry.values()
        np.testing.assert_allclose(mesh.vertices * 1000, shape, atol=1e-2)
        linear = mesh.visual.vertex_colors[:, :3] / 255
        shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        np.testing.assert_allclose(shown, draw_face(faces, row, one).colors, atol=0.03)
        # The tip of the nose, seen face-on, has the color that the photo has there.
        column, line = stored["landmarks"][30].astype(int)
        around = photo[line - 3 : line + 4, column - 3 : column + 4].reshape(-1, 3)
        tip = shown[model.landmarks68[30]]
        assert (tip > around.min(0) - 0.05).all() and (tip < around.max(0) + 0.05).all()
    # The landmarks in the photo's pixels are the posed mesh's, under its camera, back from the framing.
    marks = model.landmarks(*(torch.from_numpy(stored[name])[None] for name in ("identity", "expression")))[0].numpy()
    flat = stored["scale"] * (marks @ stored["rotation"].T)[:, :2] + stored["translation"]
    turn, shift = (complex(*stored[name]) for name in ("turn", "shift"))
    back = (flat[:, 0] + 1j * flat[:, 1] - shift) / turn
    np.testing.assert_allclose(stored["landmarks"], np.stack([back.real, -back.imag], 1), atol=1e-2)


def test_faces_are_framed_anew_by_the_landmarks_seen_in_them(network, folder):
    faces = found(network, folder / "one.png")
    marks = np.tile(network.canonical, (1, 1, 1))
    same = faces.reframed(marks, network.canonical)  # where they belong already
    np.testing.assert_allclose([same.turn, same.shift], [faces.turn, faces.shift], atol=1e-9)
    assert np.abs(same.images.astype(int) - faces.images).mean() < 1
    # Seen 0.1 to the right and 10% larger: the new frame moves there and shows more.
    moved = faces.reframed(1.1 * marks + [0.1, 0.0], network.canonical)
    np.testing.assert_allclose(moved.turn, faces.turn / 1.1)
    np.testing.assert_allclose(moved.in_pixels(marks), faces.in_pixels(1.1 * marks + [0.1, 0.0]), atol=1e-6)
    assert np.abs(moved.images.astype(int) - faces.images).mean() > 1
    assert np.array_equal(faces.reframed(2 * marks, network.canonical).turn, faces.turn)  # one of the two is wrong


def test_the_overlay_changes_the_face_alone(written, folder):
    drawn = np.asarray(Image.open(written[0] / "one" / "overlay.jpg"), float)
    photo = np.asarray(Image.open(folder / "one.png"), float)
    assert drawn.shape == photo.shape
    changed = np.abs(drawn - photo).mean(-1)
    assert changed[70:160, 80:160].mean() > 15  # the middle of the face
    assert changed[:, 230:].max() < 12  # but for what JPEG changes


def test_one_person_s_shape_is_the_mean_weighted_by_pose_and_expression(written):
    out, _ = written
    each = [np.load(path) for path in sorted(out.glob("*/parameters.npz")) if path.parent.name != "person"]
    weights = []
    for face in each:  # max(0, cos) of each angle, times exp(-|expression| / 3)
        angles = Rotation.from_matrix(face["rotation"]).as_euler("ZYX")
        weights.append(np.clip(np.cos(angles), 0, None).prod() * np.exp(-np.linalg.norm(face["expression"]) / 3))
    mean = np.average([face["identity"] for face in each], axis=0, weights=weights)
    np.testing.assert_allclose(np.load(out / "person" / "parameters.npz")["identity"], mean, atol=1e-5)
    assert not np.allclose(mean, np.mean([face["identity"] for face in each], axis=0), atol=1e-5)
    assert (out / "person" / "neutral.glb").is_file()


def test_the_page_is_complete_and_needs_no_network(written):
    out, _ = written
    page = (out / "index.html").read_text()
    links = re.findall(r'href="([^"]+)"', page)
    assert links and all((out / link).is_file() for link in links)
    assert {str(path.relative_to(out)) for path in out.glob("*/*")} <= set(links)
    images = re.findall(r"<img ([^>]*)>", page)
    assert len(images) == 4 * 3 + 1 and all('alt="' in image and 'src="data:image/' in image for image in images)
    assert "http" not in page and "<script" not in page and "broken.jpg: not a readable image" in page
    hostile = faces_page([Shown("<script>alert(1)</script>", 'a"b', "<b>")])
    assert "<script" not in hostile and 'a"b' not in hostile


def test_the_largest_face_is_taken(network, folder):
    faces = found(network, folder / "two.png")
    assert faces.table["file"].tolist() == ["two.png"] and "2 faces, the largest is taken" in faces.remarks[0]
    expected = Image.open(folder / "two.png").crop((150, 20, 270, 140)).resize((network.image_size,) * 2)
    assert np.abs(faces.images[0].transpose(1, 2, 0) - np.asarray(expected, float)).mean() < 4


def test_people_are_compared(folder, network, tmp_path, capsys):
    one, two, out = str(folder / "one.png"), str(folder / "two.png"), tmp_path / "out"
    assert main(["reconstruct", "--compare", one, one]) == 0
    assert capsys.readouterr().out.startswith("0.00 mm apart on average: the same face")
    assert main(["reconstruct", "--compare", one, two, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    faces = reframe(network.variant, found(network, folder / "one.png", folder / "two.png"), network.canonical)
    identity = predict(network.variant, faces.images).coefficients
    first, second = network.face_model.shape(identity.identity)[:, network.face_model.face_mask].numpy()
    distance = np.linalg.norm(first - second, axis=1).mean()
    assert said.startswith(f"{distance:.2f} mm") and f"{network.threshold_mm:.2f} mm" in said
    with Image.open(out / "error_map.png") as picture:
        assert np.asarray(picture).std() > 20


def test_mistakes_are_one_line(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "file").touch()
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    one, out = str(folder / "one.png"), str(tmp_path / "out")
    for arguments, says in (
        ([one], "--out names the new folder"),
        ([one, "--out", str(tmp_path / "full")], "must be a new or empty folder"),
        ([one, "--out", str(tmp_path / "file" / "below")], "file/below: cannot be written (not a directory)"),
        ([str(tmp_path / "empty"), "--out", out], "no photo or video"),
        ([str(tmp_path / "absent.jpg"), "--out", out], "absent.jpg: no such file"),
        ([str(folder / "none.png"), "--out", out], "none.png: no face found"),
        ([str(tmp_path / "clip.mp4"), "--out", out], "clip.mp4: "),
        ([one, "--compare"], "--compare takes two PATHs"),
        ([str(folder), one, "--framed", "--out", out], "give one PATH"),
    ):
        assert main(["reconstruct", *arguments]) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("recface reconstruct: ") and says in last and "RECFACE_DEBUG" not in last, last


def test_videos_without_pyav_say_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(RecfaceError, match="videos need PyAV"):
        next(found_faces.frames_of(tmp_path / "clip.mp4", 1.0))


@pytest.fixture
def clip(folder, tmp_path):
    """26 frames of one photo, ten a second."""
    photo, path = Image.open(folder / "one.png").convert("RGB"), tmp_path / "clip.mp4"
    with av.open(str(path), "w") as video:
        stream = video.add_stream("mpeg4", rate=10, width=photo.width, height=photo.height, pix_fmt="yuv420p")
        for _ in range(26):
            video.mux(stream.encode(av.VideoFrame.from_image(photo)))
        video.mux(stream.encode())
    return path


def test_frames_of_a_video_are_taken_by_time(monkeypatch, clip, folder, network):
    there = found_faces.detect_turned(Image.open(folder / "one.png"))
    monkeypatch.setattr(found_faces, "detect_turned", lambda photo: there)
    faces = found(network, clip, every=1.0)
    assert faces.table["file"].tolist() == [f"clip.mp4@{second}.00s" for second in range(3)]
    difference = np.asarray(faces.photo(2), float) - np.asarray(Image.open(folder / "one.png"), float)
    assert np.abs(difference).mean() < 6


def test_a_telephone_held_upright_gives_upright_frames(clip):
    """Its file holds frames on their side, and in the track's header how a player turns them."""
    straight, turned = (struct.pack(">9i", *(65536 * n for n in m), 0, 0, 1 << 30) for m in STRAIGHT_AND_TURNED)
    plain, _ = next(found_faces.frames_of(clip, 1.0))
    content = clip.read_bytes()
    start = content.index(straight, content.index(b"tkhd"))
    clip.write_bytes(content[:start] + turned + content[start + len(turned) :])
    upright, _ = next(found_faces.frames_of(clip, 1.0))
    np.testing.assert_array_equal(np.asarray(upright), np.asarray(plain.transpose(Image.Transpose.ROTATE_270)))


def test_a_video_of_sound_alone_has_no_frame(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as video:
        stream = video.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.int16), format="s16", layout="mono")
        silence.rate = 44100
        video.mux([*stream.encode(silence), *stream.encode()])
    with pytest.raises(RecfaceError, match="no frame in this video"):
        next(found_faces.frames_of(tmp_path / "sound.mp4", 1.0))


@settings(max_examples=40)
@given(st.lists(st.text(max_size=12), max_size=8))
def test_folders_have_plain_names_and_no_two_the_same(names):
    folders = folder_names(names)
    assert len({name.lower() for name in [*folders, "person"]}) == len(names) + 1
    assert all(re.fullmatch(r"[\w.=+-]+", name) and name.strip(".") for name in folders)


def test_a_profile_alone_still_gives_a_shape(network):
    model, coefficients = network.face_model, network.variant(torch.zeros(2, 3, *(network.image_size,) * 2))
    away = euler_to_matrix(torch.tensor([[0.0, 0.0, 1.7]] * 2))  # which has no weight at all
    coefficients = replace(coefficients, rotation=away)
    fused, _ = Predicted(model, network.variant.albedo_model, coefficients).fused()
    torch.testing.assert_close(fused[0], coefficients.identity.mean(0))


def test_a_picture_has_a_row_for_each_face_that_begins_with_its_photo(network, folder):
    faces = found(network, folder, all_faces=True)
    page = picture_of_faces(faces, predict(network.variant, faces.images))
    assert page.size == (2 * 512 + 3 * 256, 512 * len(faces.table))
    for row in range(len(faces.table)):
        drawn = draw_face(faces, row, predict(network.variant, faces.images[row : row + 1]))
        first = np.asarray(page.crop((0, 512 * row, 512, 512 * (row + 1))).resize((64, 64))).astype(int)
        assert np.abs(first - np.asarray(drawn.photo.convert("RGB").resize((64, 64)))).mean() < 6
        assert drawn.over.size == drawn.photo.size
