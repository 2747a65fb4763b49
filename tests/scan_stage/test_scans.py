"""Scan sets: decoded, from folders, split; principal coordinates; batches; and what is refused before training."""

import numpy as np
import pytest
import trimesh
from tests.face_model.toy_face_model import toy_arrays

from recface.errors import RecfaceError
from recface.face_model import FaceModel
from recface.scan_stage.principal import principal_scores
from recface.scan_stage.scans import (
    MappedScans,
    ScanBatches,
    benchmark_scans,
    check_scans,
    draw_scans,
    folder_scans,
    split_people,
)


@pytest.fixture(scope="module")
def toy():
    return FaceModel(**toy_arrays())


def test_decoded_scans_are_the_model_plus_their_own_noise(face_model):
    scans = draw_scans(face_model, 6, 3, 0.5, seed=1, part="train")
    assert len(scans) == 18 and scans.num_people == 6 and scans[3].shape == (face_model.num_vertices, 3)
    basis = face_model.identity_basis.numpy() * face_model.identity_sigma.numpy()
    flat = face_model.mean.numpy().ravel() + basis @ scans.parameters[3]
    flat = flat + face_model.expression_basis.numpy() @ scans.expression[3]
    noise = scans[3].ravel() - flat
    assert noise.std() == pytest.approx(0.5, rel=0.03) and abs(noise.mean()) < 0.02
    np.testing.assert_array_equal(scans[[3, 5]][0], scans[3])  # a scan is the same whenever it is decoded
    assert np.abs(scans[3] - scans[4]).max() > 0.5
    np.testing.assert_array_equal(scans.parameters[0], scans.parameters[2])
    neutral = scans.clean(np.array([0, 2]), expression=False)
    np.testing.assert_array_equal(neutral[0], neutral[1])


def test_seed_and_part_decide_the_people(face_model):
    first = draw_scans(face_model, 4, 2, 0.1, 0, "train").parameters
    np.testing.assert_array_equal(first, draw_scans(face_model, 4, 2, 0.1, 0, "train").parameters)
    for seed, part in ((0, "test"), (1, "train")):
        assert np.abs(first - draw_scans(face_model, 4, 2, 0.1, seed, part).parameters).min(axis=1).max() > 0


def test_benchmark_scans_decode_their_labels(face_model, benchmark):
    scans, labels = benchmark_scans(face_model, benchmark, 0.0), benchmark.labels("scan")
    assert len(scans) == len(labels["identity"])
    np.testing.assert_array_equal(scans.identity, labels["identity"])
    basis = face_model.identity_basis.numpy() * face_model.identity_sigma.numpy()
    flat = face_model.mean.numpy().ravel() + basis @ labels["identity_parameters"][1]
    flat = flat + face_model.expression_basis.numpy() @ labels["expression"][1]
    np.testing.assert_allclose(scans[1].ravel(), flat, atol=1e-3)


def test_blocks_cover_every_row_once(toy):
    scans = draw_scans(toy, 5, 3, 0.1, 0, "train")
    seen = np.concatenate([block for _, block in scans.blocks(4)])
    np.testing.assert_array_equal(seen, scans[:].reshape(15, -1))


def test_split_shares_nobody(toy):
    scans = draw_scans(toy, 12, 2, 0.1, 0, "train")
    parts = split_people(scans, (3, 4), seed=0)
    assert [part.num_people for part in parts] == [5, 3, 4] and sum(map(len, parts)) == 24
    people = [set(scans.identity[part.row]) for part in parts]
    assert not people[0] & people[1] and not people[0] & people[2] and not people[1] & people[2]
    np.testing.assert_array_equal(parts[2][1], scans[parts[2].row[1]])
    with pytest.raises(RecfaceError, match="leave too few to train on"):
        split_people(scans, (6, 6), seed=0)


def test_principal_scores_agree_with_an_svd(toy):
    """Against LAPACK on the whole matrix; the scans have 8 strong modes and weak noise."""
    scans = draw_scans(toy, 20, 3, 0.01, 0, "train")
    principal = principal_scores(scans, 8, seed=0)
    centered = scans[:].reshape(60, -1).astype(np.float64)
    centered = centered - centered.mean(axis=0)
    _, singular, axes = np.linalg.svd(centered, full_matrices=False)
    np.testing.assert_allclose(np.linalg.norm(principal.scores, axis=0), singular[:8], rtol=1e-3)
    np.testing.assert_allclose(np.abs(np.sum(principal.axes * axes[:8].T, axis=0)), 1, atol=1e-3)
    np.testing.assert_allclose(principal.axes.T @ principal.axes, np.eye(8), atol=1e-5)
    rest = (singular[8:] ** 2).sum() / (60 * (centered.shape[1] - 8))
    assert principal.rest == pytest.approx(rest, rel=0.02)
    np.testing.assert_allclose(principal.scores @ principal.axes.T, centered, atol=0.1)


def test_roughness_and_reflection_against_dense_matrices(toy):
    principal = principal_scores(draw_scans(toy, 20, 3, 0.05, 0, "train"), 6, seed=0)
    count, triangles, mirror = toy.num_vertices, toy.triangles.numpy(), toy.mirror.numpy()
    adjacency = np.zeros((count, count))
    for a, b, c in triangles:
        for i, j in ((a, b), (b, c), (c, a)):
            adjacency[i, j] = adjacency[j, i] = 1
    degree = adjacency.sum(axis=1)
    dense = np.diag((degree > 0).astype(float)) - adjacency / np.maximum(degree, 1)[:, None]
    full = np.kron(dense, np.eye(3))
    np.testing.assert_allclose(
        principal.roughness(triangles), principal.axes.T @ full.T @ full @ principal.axes, atol=1e-4
    )
    permutation = np.zeros((3 * count, 3 * count))
    for vertex in range(count):
        for axis, sign in enumerate((-1, 1, 1)):
            permutation[3 * vertex + axis, 3 * mirror[vertex] + axis] = sign
    np.testing.assert_allclose(principal.reflection(mirror), principal.axes.T @ permutation @ principal.axes, atol=1e-5)


def test_batches_depend_on_seed_and_step_alone(tmp_path):
    np.save(tmp_path / "scores.npy", np.arange(70, dtype=np.float32).reshape(10, 7))
    scores, identity = np.load(tmp_path / "scores.npy", mmap_mode="r"), np.arange(10) // 2
    whole = list(ScanBatches(scores, identity, 3, seed=0, start=0, stop=6))
    late = list(ScanBatches(scores, identity, 3, seed=0, start=4, stop=6))
    assert len(whole) == 6 and [b["row"].tolist() for b in whole[4:]] == [b["row"].tolist() for b in late]
    epoch = np.concatenate([batch["row"] for batch in whole[:3]])
    assert len(set(epoch.tolist())) == 9
    batch = whole[1]
    np.testing.assert_array_equal(batch["scores"], scores[batch["row"].numpy()])
    np.testing.assert_array_equal(batch["identity"], identity[batch["row"].numpy()])
    other = next(iter(ScanBatches(scores, identity, 3, seed=1, start=0, stop=1)))
    assert other["row"].tolist() != whole[0]["row"].tolist()


def write_folder(folder, model, names=("a.obj", "b.ply", "c.npz", "d.obj"), people=("x", "x", "y", "y"), edit=None):
    folder.mkdir(exist_ok=True)
    meshes = []
    for row, name in enumerate(names):
        vertices = model.mean.numpy().astype(np.float64) + row
        triangles = model.triangles.numpy()
        if edit is not None and row == 1:
            vertices, triangles = edit(vertices, triangles)
        if name.endswith("npz"):
            np.savez(folder / name, vertices=vertices)
        else:
            trimesh.Trimesh(vertices, triangles, process=False).export(folder / name)
        meshes.append(vertices)
    rows = "".join(f"{name},{person}\n" for name, person in zip(names, people, strict=True))
    (folder / "scans.csv").write_text("file,identity\n" + rows)
    return meshes


def test_folder_of_meshes_is_mapped_in_the_order_of_its_csv(toy, tmp_path):
    meshes = write_folder(tmp_path / "meshes", toy)
    scans = folder_scans(toy, tmp_path / "meshes", tmp_path / "cache")
    assert isinstance(scans, MappedScans) and isinstance(scans.vertices, np.memmap)
    np.testing.assert_array_equal(scans.identity, [0, 0, 1, 1])
    for row, vertices in enumerate(meshes):
        np.testing.assert_allclose(scans[row], vertices, atol=1e-3)
    (tmp_path / "meshes" / "a.obj").write_text("no mesh")  # of another size: seen, and read again
    with pytest.raises(RecfaceError):
        folder_scans(toy, tmp_path / "meshes", tmp_path / "cache")


def hole(vertices, triangles):
    vertices = vertices.copy()
    vertices[7] = np.nan
    return vertices, triangles


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda v, t: (v[:-1], t[(t < len(v) - 1).all(axis=1)]), "139 vertices, the face model has 140"),
        (lambda v, t: (v, t[::-1]), "other triangles than the face model's"),
        (lambda v, t: (v / 1000, t), "a face must measure .* look like meters, multiply by 1000"),
        (hole, "vertex 7 is not finite"),
    ],
)
def test_unusable_meshes_are_named(toy, tmp_path, edit, message):
    write_folder(tmp_path / "meshes", toy, edit=edit)
    with pytest.raises(RecfaceError, match=message) as error:
        folder_scans(toy, tmp_path / "meshes", tmp_path / "cache")
    assert "b.ply" in str(error.value) and "\n" not in str(error.value)


def test_unusable_folders_are_named(toy, tmp_path):
    with pytest.raises(RecfaceError, match=r"sfm\.scan\.path"):
        folder_scans(toy, None, tmp_path)
    with pytest.raises(RecfaceError, match=r"scans\.csv: no such file"):
        folder_scans(toy, tmp_path, tmp_path)
    for text, message in (
        ("file,person\na.obj,x\n", "no column identity"),
        ("file,identity\n", "no rows"),
        ("file,identity\na.obj,\n", "line 2: identity is empty"),
        ("file,identity\nabsent.obj,x\n", "absent.obj does not exist"),
    ):
        (tmp_path / "scans.csv").write_text(text)
        with pytest.raises(RecfaceError, match=message):
            folder_scans(toy, tmp_path, tmp_path / "cache")


@pytest.mark.parametrize(
    ("identity", "modes", "units", "message"),
    [
        ([0, 0, 0], 1, 0, "1 person in 3 scans"),
        ([0, 1, 2], 1, 0, "one scan per person only"),
        ([0, 0, 1, 1, 2, 2], 3, 0, "3 identity modes from 3 people"),
        ([0, 0, 1, 1, 2, 2], 2, 4, "4 modes from 3 repeated scans"),
    ],
)
def test_scans_that_cannot_be_learned_from(identity, modes, units, message):
    scans = MappedScans(np.zeros((len(identity), 4, 3), np.float32), identity)
    with pytest.raises(RecfaceError, match=message) as error:
        check_scans(scans, modes, units)
    assert "\n" not in str(error.value)
