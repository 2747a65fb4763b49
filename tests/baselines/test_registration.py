"""Registration of meshes in another topology, made from shapes that are known."""

import numpy as np
import pytest
import torch
import trimesh

from recface.baselines.registration import (
    Registered,
    Registration,
    doubtful,
    read_landmark_rows,
    register_predictions,
    write_registered,
)
from recface.errors import RecfaceError
from recface.metrics.functional import per_vertex_error
from recface.metrics.protocols.protocol import Predictions
from recface.metrics.readers.predictions import read_predictions


@pytest.fixture(scope="module")
def meshes(face_model):
    """Three shapes, finer, reordered, without the back of the head: parameters, vertices, triangles, landmarks."""
    rng = np.random.default_rng(1)
    parameters = torch.from_numpy(rng.normal(size=(3, face_model.num_identity))).float()
    shapes = face_model.shape(parameters).double().numpy()
    triangles = face_model.triangles.numpy()
    front = shapes.mean(axis=0)[:, 2] > np.quantile(shapes.mean(axis=0)[:, 2], 0.15)
    triangles = triangles[front[triangles].all(axis=1)]
    finer = [trimesh.remesh.subdivide(shape, triangles) for shape in shapes]
    used = np.unique(finer[0][1])
    order = rng.permutation(used)
    place = np.full(len(finer[0][0]), -1)
    place[order] = np.arange(len(order))
    vertices = np.stack([found[0][order] for found in finer])
    return parameters, vertices, place[finer[0][1]], place[face_model.landmarks68.numpy()]


def errors(face_model, found, true):
    mask = face_model.face_mask
    return per_vertex_error(found[:, mask], face_model.shape(true)[:, mask]).numpy()


def turned(vertices, scale):
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    return scale * vertices @ rotation.T + [10, 20, 30]


@pytest.mark.slow
def test_shapes_come_back_whatever_their_pose_size_and_topology(face_model, meshes):
    parameters, vertices, triangles, landmarks = meshes
    assert vertices.shape[1] != face_model.num_vertices
    predictions = Predictions(("a", "b", "c"), vertices=turned(vertices, 1.3), triangles=triangles)
    found, registered = register_predictions(predictions, face_model, landmarks)
    error = errors(face_model, torch.from_numpy(found), parameters)
    mean = errors(face_model, face_model.shape(torch.zeros_like(parameters)), parameters)
    assert (error < 0.12 * mean).all()
    assert all(one.rms_mm < 0.1 and one.share > 0.9 for one in registered) and doubtful(registered) == 0


@pytest.mark.slow
def test_unknown_landmarks_are_left_out(face_model, meshes):
    parameters, vertices, triangles, landmarks = meshes
    inner = landmarks.copy()
    inner[:17] = -1  # such as FLAME's 51
    found = Registration(face_model, inner)(vertices[1], triangles)
    shape = face_model.shape(torch.from_numpy(found.parameters)[None].float())
    assert errors(face_model, shape, parameters[1:2])[0] < 0.3


@pytest.mark.slow
def test_landmarks_in_wrong_order_and_partial_meshes_are_doubted(face_model, meshes):
    _, vertices, triangles, landmarks = meshes
    reversed_ones = Registration(face_model, landmarks[::-1].copy())(vertices[0], triangles)
    low = triangles[(vertices[0][triangles][:, :, 1] < np.median(vertices[0][landmarks, 1])).all(axis=1)]
    partial = Registration(face_model, landmarks)(vertices[0], low)
    assert [doubtful([one]) for one in (reversed_ones, partial)] == [1, 1]
    assert partial.rms_mm < 0.2 and partial.share < 0.7  # the distance alone would not tell


def test_mistakes_are_named(face_model, meshes, tmp_path):
    _, vertices, triangles, landmarks = meshes
    with pytest.raises(RecfaceError, match="expected 68 whole numbers"):
        Registration(face_model, landmarks[:5])
    with pytest.raises(RecfaceError, match="5 of 68 are known"):
        Registration(face_model, np.where(np.arange(68) < 5, landmarks, -1))
    predictions = Predictions(("ann",), vertices=vertices[:1], triangles=triangles, where="here")
    far = np.where(np.arange(68) == 3, 10**6, landmarks)
    with pytest.raises(RecfaceError, match=f"here: id ann: landmarks: rows .* to 1000000 of {vertices.shape[1]}"):
        register_predictions(predictions, face_model, far)
    with pytest.raises(RecfaceError, match="needs vertices and triangles"):
        register_predictions(Predictions(("ann",), parameters=np.zeros((1, 3))), face_model, landmarks)
    path = tmp_path / "landmarks.txt"
    path.write_text("1, 2, x")
    with pytest.raises(RecfaceError, match="not a readable list of 68 whole numbers"):
        read_landmark_rows(path)
    path.write_text("1 2 3")
    with pytest.raises(RecfaceError, match="holds 3 numbers"):
        read_landmark_rows(path)
    path.write_text("\n".join(map(str, landmarks)))
    np.testing.assert_array_equal(read_landmark_rows(path), landmarks)


def test_what_is_written_is_read_as_predictions(tmp_path):
    rng = np.random.default_rng(0)
    marks = rng.uniform(0, 64, (2, 68, 2))
    shapes = (60 * rng.normal(size=(2, 50, 3))).astype(np.float32)
    registered = [Registered(np.full(4, 5.0), 0.5, 0.9), Registered(np.ones(4), 0.25, 1.0)]
    predictions = Predictions(("b", "a"), landmarks=marks)
    report = write_registered(tmp_path / "out", predictions, shapes, registered)
    assert report.read_text() == "id,rms_mm,share,parameter_rms\nb,0.5,0.9,5.0\na,0.25,1.0,1.0\n"
    assert doubtful(registered) == 1
    found = read_predictions(tmp_path / "out")
    with pytest.raises(RecfaceError, match="must be a new or empty folder"):
        write_registered(tmp_path / "out", predictions, shapes, registered)
    assert found.ids == ("b", "a")
    np.testing.assert_array_equal(found.vertices, shapes)
    np.testing.assert_array_equal(found.landmarks, marks)
