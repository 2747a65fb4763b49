"""Readers: every form of predictions, manifest and pair list comes out as it went in."""

import numpy as np
import pandas as pd
import pytest
import trimesh

from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS
from recface.metrics.readers import match, read_predictions, read_truth
from recface.metrics.readers.pairs import read_pairs
from recface.metrics.readers.region import Region, with_region


@pytest.fixture
def shapes() -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(3, 50, 3)) * 40).astype(np.float32)


def write_obj(path, vertices: np.ndarray, seams: bool = False) -> None:
    """With `seams`, faces use several texture coordinates a vertex, at which some readers split it."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    if seams:
        lines += [f"vt {i / 10} {i / 20}" for i in range(10)]
        lines += [f"f {i + 1}/{i % 10 + 1} {i + 2}/{(i + 3) % 10 + 1} {i + 3}/{(i + 5) % 10 + 1}" for i in range(40)]
    else:
        lines += [f"f {i + 1} {i + 2} {i + 3}" for i in range(40)]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("seams", [False, True])
def test_obj_folder_with_ids(tmp_path, shapes, seams) -> None:
    for name, vertices in zip("cab", shapes, strict=True):
        write_obj(tmp_path / f"{name}.obj", vertices, seams)
    (tmp_path / "ids.csv").write_text("id,file\nzoe,c.obj\nann,a.obj\nbob,b.obj\n")
    found = read_predictions(tmp_path)
    assert found.ids == ("zoe", "ann", "bob")
    np.testing.assert_allclose(found.vertices, shapes, atol=1e-5)
    assert found.triangles.shape == (40, 3) and found.triangles[0].tolist() == [0, 1, 2]


def test_meshes_may_bring_points(tmp_path, shapes) -> None:
    for name, vertices in zip("abc", shapes, strict=True):
        write_obj(tmp_path / f"{name}.obj", vertices)
    np.save(tmp_path / "points.npy", shapes[:, :7])
    np.testing.assert_array_equal(read_predictions(tmp_path).points, shapes[:, :7])
    np.save(tmp_path / "points.npy", shapes[:2, :7])
    with pytest.raises(RecfaceError, match="points has shape .2, 7, 3., expected"):
        read_predictions(tmp_path)


@pytest.mark.parametrize("listed", [True, False])
def test_meshes_in_folders_beside_points(tmp_path, shapes, listed) -> None:
    for name, vertices in zip("abc", shapes, strict=True):
        (tmp_path / f"of_{name}").mkdir()
        write_obj(tmp_path / f"of_{name}" / f"{name}.obj", vertices)
    np.save(tmp_path / "points.npy", shapes[:, :7])
    np.save(tmp_path / "parameters.npy", np.eye(3, 5))
    if listed:
        (tmp_path / "ids.csv").write_text("id,file\nx,of_a/a.obj\ny,of_b/b.obj\nz,of_c/c.obj\n")
    found = read_predictions(tmp_path)
    assert found.ids == (("x", "y", "z") if listed else ("of_a/a", "of_b/b", "of_c/c"))
    np.testing.assert_allclose(found.vertices, shapes, atol=1e-5)
    np.testing.assert_array_equal(found.points, shapes[:, :7])
    np.testing.assert_array_equal(found.parameters, np.eye(3, 5))


def test_points_may_lie_beside_each_mesh(tmp_path, shapes) -> None:
    for name, vertices in zip("abc", shapes, strict=True):
        write_obj(tmp_path / f"{name}.obj", vertices)
    np.save(tmp_path / "a.npy", shapes[0, :7])
    np.savetxt(tmp_path / "b.txt", shapes[1, :7])
    with pytest.raises(RecfaceError, match=r"c.obj: no c.npy or .txt with its points beside it, as other meshes have"):
        read_predictions(tmp_path)
    np.save(tmp_path / "c.npy", shapes[2, :6])
    with pytest.raises(RecfaceError, match=r"c.npy: 6 points, but 7 in .*a.npy"):
        read_predictions(tmp_path)
    np.save(tmp_path / "c.npy", shapes[2, :7])
    np.testing.assert_allclose(read_predictions(tmp_path).points, shapes[:, :7], atol=1e-5)


def test_another_unit_becomes_millimeters(tmp_path, shapes) -> None:
    (tmp_path / "meshes").mkdir()
    np.savez(tmp_path / "p.npz", ids=list("abc"), vertices=shapes / 1000, points=shapes[:, :7] / 1000)
    for name, vertices in zip("abc", shapes, strict=True):
        write_obj(tmp_path / "meshes" / f"{name}.obj", vertices / 1000)
    np.save(tmp_path / "meshes" / "points.npy", shapes[:, :7] / 1000)
    for path in (tmp_path / "p.npz", tmp_path / "meshes"):
        found = read_predictions(path, millimeters=1000)
        np.testing.assert_allclose(found.vertices, shapes, atol=1e-3)
        np.testing.assert_allclose(found.points, shapes[:, :7], atol=1e-3)


def test_vertices_without_a_face_keep_their_place(tmp_path, shapes) -> None:
    write_obj(tmp_path / "a.obj", shapes[0])  # faces use 42 of its 50 vertices
    assert read_predictions(tmp_path).vertices.shape == (1, 50, 3)


def test_ply_folder_without_ids_takes_file_names(tmp_path, shapes) -> None:
    triangles = np.array([[i, i + 1, i + 2] for i in range(48)])
    for name, vertices in zip(("b", "a", "c"), shapes, strict=True):
        trimesh.Trimesh(vertices, triangles, process=False).export(tmp_path / f"{name}.ply")
    found = read_predictions(tmp_path)
    assert found.ids == ("a", "b", "c")
    np.testing.assert_allclose(found.vertices, shapes[[1, 0, 2]], atol=1e-5)


def test_npz_in_a_folder_and_alone(tmp_path, shapes) -> None:
    arrays = {
        "parameters": np.eye(3, 5),
        "vertices": shapes,
        "weights": np.arange(1, 6),
        "landmarks": np.ones((3, 68, 2)),
    }
    np.savez(tmp_path / "predictions.npz", **arrays)
    (tmp_path / "ids.csv").write_text("id\nann\nbob\nzoe\n")
    for path in (tmp_path, tmp_path / "predictions.npz"):
        found = read_predictions(path)
        assert found.ids == ("ann", "bob", "zoe")
        for name, array in arrays.items():
            np.testing.assert_array_equal(getattr(found, name), array)
    np.savez(tmp_path / "own.npz", ids=np.array(["x", "y", "z"]), parameters=np.eye(3))
    assert read_predictions(tmp_path / "own.npz").ids == ("x", "y", "z")


def test_npy_files_are_memory_mapped(tmp_path, shapes) -> None:
    np.save(tmp_path / "vertices.npy", shapes)
    (tmp_path / "ids.csv").write_text("id\nann\nbob\nzoe\n")
    found = read_predictions(tmp_path)
    assert isinstance(found.vertices, np.memmap)
    np.testing.assert_array_equal(found.vertices, shapes)


def lfw_list(folds: int = 10, each: int = 2) -> str:
    lines = [f"{folds}\t{each}"]
    for fold in range(folds):
        lines += [f"Ann_Lee\t{fold + 1}\t{fold + 2 + i}" for i in range(each)]
        lines += [f"Ann_Lee\t{fold + 1}\tBob_Ray\t{i + 1}" for i in range(each)]
    return "\n".join(lines) + "\n"


def test_pair_list_of_lfw(tmp_path) -> None:
    (tmp_path / "pairs.txt").write_text(lfw_list())
    found = read_pairs(tmp_path / "pairs.txt")
    assert len(found) == 40 and found["fold"].tolist() == np.repeat(np.arange(10), 4).tolist()
    assert found["same"].tolist() == [True, True, False, False] * 10
    assert found.iloc[4][["first", "second"]].tolist() == ["Ann_Lee_0002", "Ann_Lee_0003"]
    assert found.iloc[7][["first", "second"]].tolist() == ["Ann_Lee_0002", "Bob_Ray_0002"]
    assert found.iloc[7]["line"] == 9


def test_plain_pair_list_is_cut_into_ten_parts_in_order(tmp_path) -> None:
    lines = [f"{i}.jpg {i + 100}.jpg {int(i % 2 == 0)}" for i in range(40)]
    (tmp_path / "pairs.txt").write_text("\n".join(lines[:20]) + "\n\n" + "\n".join(lines[20:]))
    found = read_pairs(tmp_path / "pairs.txt")
    assert found["fold"].tolist() == np.repeat(np.arange(10), 4).tolist()
    assert found["first"].tolist() == [f"{i}.jpg" for i in range(40)]
    assert found["same"].tolist() == [True, False] * 20
    assert found["line"].tolist() == [*range(1, 21), *range(22, 42)]


def test_pair_list_as_csv(tmp_path) -> None:
    table = pd.DataFrame({"first": [f"a{i}" for i in range(40)], "second": "b", "same": ["True", "0"] * 20})
    table.to_csv(tmp_path / "pairs.csv", index=False)
    assert read_pairs(tmp_path / "pairs.csv")["fold"].tolist() == np.repeat(np.arange(10), 4).tolist()
    table.assign(fold=np.tile(np.arange(10), 4)).to_csv(tmp_path / "pairs.csv", index=False)
    found = read_pairs(tmp_path / "pairs.csv")
    assert found["fold"].tolist() == np.tile(np.arange(10), 4).tolist()
    assert found["same"].tolist() == [True, False] * 20 and found["line"].tolist() == list(range(2, 42))


def test_a_list_without_folds_may_be_short(tmp_path) -> None:
    (tmp_path / "pairs.txt").write_text("1 2 1\n1 3 0\n")
    assert read_pairs(tmp_path / "pairs.txt", folds=False)["fold"].tolist() == [0, 0]


def test_match_orders_predictions_and_pairs(tmp_path) -> None:
    (tmp_path / "pairs.txt").write_text("\n".join(f"p{i} p{i + 1} {i % 2}" for i in range(40)))
    protocol = BENCHMARKS["pairs-10fold-cos/v1"]
    truth = read_truth(tmp_path / "pairs.txt", protocol)
    ids = np.array([f"p{i}" for i in range(45)])[::-1]
    np.savez(tmp_path / "p.npz", ids=ids, parameters=np.arange(45)[::-1, None].astype(float))
    found = match(read_predictions(tmp_path / "p.npz"), truth, protocol)
    assert found.unused == 4 and found.missing == 0 and len(found.predictions) == 41
    assert found.predictions.ids == tuple(found.truth.table["id"])
    first, second = (found.predictions.parameters[found.truth.pairs[name], 0] for name in ("first", "second"))
    assert first.tolist() == list(range(40)) and second.tolist() == list(range(1, 41))


def test_missing_predictions_are_counted_with_their_pairs(tmp_path) -> None:
    (tmp_path / "pairs.txt").write_text("\n".join(f"p{i} p{i + 1} {i % 2}" for i in range(40)))
    protocol = BENCHMARKS["pairs-10fold-cos/v1"]
    np.savez(tmp_path / "p.npz", ids=[f"p{i}" for i in range(41) if i not in (7, 40)], parameters=np.ones((39, 2)))
    truth = read_truth(tmp_path / "pairs.txt", protocol)
    found = match(read_predictions(tmp_path / "p.npz"), truth, protocol, allow_missing=True)
    assert (found.missing, found.missing_pairs, len(found.truth.pairs)) == (2, 3, 37)


def test_templates_stay_names_and_are_dropped_when_empty(tmp_path) -> None:
    rows = "".join(f"f{i},t{i // 2},m\n" for i in range(6))
    (tmp_path / "manifest.csv").write_text("id,template,media\n" + rows)
    (tmp_path / "pairs.csv").write_text("first,second,same\nt0,t1,1\nt0,t2,0\nt1,t2,0\n")
    protocol = BENCHMARKS["ijb-verification-cos/v1"]
    np.savez(tmp_path / "p.npz", ids=["f0", "f2", "f3"], parameters=np.ones((3, 2)))
    found = match(read_predictions(tmp_path / "p.npz"), read_truth(tmp_path, protocol), protocol, allow_missing=True)
    assert found.truth.pairs[["first", "second"]].to_numpy().tolist() == [["t0", "t1"]]
    assert (found.missing, found.missing_pairs) == (3, 2)


def test_face_region(shapes) -> None:
    from recface.metrics.protocols import Predictions

    random = np.random.default_rng(0)
    mask = np.arange(50) % 2 == 0
    region = Region("tiny", mask, random.normal(size=(25, 3, 4)), random.normal(size=(25, 3)), np.arange(1, 5.0))
    cut = with_region(Predictions(("a", "b", "c"), vertices=shapes), region)
    np.testing.assert_array_equal(cut.vertices, shapes[:, mask])
    given = with_region(Predictions(("a",), parameters=np.ones((1, 4))), region)
    assert given.basis is region.basis and given.weights is region.sigma and given.vertices is None
