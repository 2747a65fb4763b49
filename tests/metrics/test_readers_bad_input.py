"""Bad input is named in one line, with the file and the row."""

import numpy as np
import pytest
from tests.metrics.test_readers import lfw_list, write_obj

from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS, Predictions
from recface.metrics.protocols.shapes import LANDMARK_COLUMNS
from recface.metrics.readers import match, read_predictions, read_truth
from recface.metrics.readers.predictions import read_shapes
from recface.metrics.readers.region import Region, with_region

SHAPES = (np.random.default_rng(0).normal(size=(3, 50, 3)) * 40).astype(np.float32)
IDS = np.array(["ann", "bob", "zoe"])


def refused(function, *arguments, **options) -> str:
    with pytest.raises(RecfaceError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def changed(row: int, factor: float) -> np.ndarray:
    shapes = SHAPES.copy()
    shapes[row] *= factor
    return shapes


PARAMETERS = np.ones((3, 4))
NOT_FINITE = PARAMETERS + np.array([[0], [np.nan], [np.inf]])
ARRAYS = {
    "meters": ({"vertices": changed(0, 1e-3)}, "p.npz: row 0 (id ann)", "look like meters, multiply by 1000"),
    "centimeters": ({"vertices": changed(2, 1e-1)}, "p.npz: row 2 (id zoe)", "look like centimeters, multiply by 10"),
    "micrometers": ({"vertices": changed(1, 1e3)}, "row 1 (id bob)", "look like micrometers"),
    "not finite": ({"parameters": NOT_FINITE}, "p.npz: row 1 (id bob)", "parameters hold NaN or infinity"),
    "duplicate": ({"ids": IDS[[0, 1, 0]], "parameters": PARAMETERS}, "p.npz: row 2: id ann is there twice", "row 0"),
    "too few ids": ({"ids": IDS[:2], "parameters": PARAMETERS}, "parameters has shape (3, 4)", "has 2 ids"),
    "flat vertices": ({"vertices": SHAPES.reshape(3, -1)}, "vertices is float32 (3, 150)", "(N, V, 3)"),
    "landmarks of another scheme": ({"landmarks": np.ones((3, 5, 2))}, "shape (3, 5, 2)", "(N, 68, 2)"),
    "two counts": ({"parameters": PARAMETERS, "landmarks": np.ones((2, 68, 2))}, "landmarks has shape (2, 68, 2)", ""),
    "weights of other modes": ({"parameters": PARAMETERS, "weights": np.ones(5)}, "weights has shape (5,)", "(K,)"),
    "weights of zero": ({"parameters": PARAMETERS, "weights": np.zeros(4)}, "weights hold values", "not above 0"),
    "nothing": ({"other": PARAMETERS}, "holds none of parameters, mirrored, vertices, points, landmarks", ""),
    "a run's": ({"test_parameters": PARAMETERS}, "holds none of", "give the run's folder"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays(tmp_path, case) -> None:
    arrays, first, second = ARRAYS[case]
    np.savez(tmp_path / "p.npz", **({"ids": IDS} | arrays))
    message = refused(read_predictions, tmp_path / "p.npz")
    assert first in message and second in message


def test_files_that_are_not_there_or_not_readable(tmp_path) -> None:
    assert "no such file or folder" in refused(read_predictions, tmp_path / "none")
    assert "no OBJ or PLY files" in refused(read_predictions, tmp_path)
    np.savez(tmp_path / "p.npz", parameters=PARAMETERS)
    assert f"no array ids, and no {tmp_path / 'ids.csv'}" in refused(read_predictions, tmp_path / "p.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 not a zip")
    assert "bad.npz: not a readable npz" in refused(read_predictions, tmp_path / "bad.npz")
    (tmp_path / "vertices.npy").write_bytes(b"no array")
    assert "vertices.npy: not a readable npy" in refused(read_predictions, tmp_path)


def test_mesh_folders(tmp_path) -> None:
    for name, vertices in zip("ab", SHAPES, strict=False):
        write_obj(tmp_path / f"{name}.obj", vertices)
    ids = tmp_path / "ids.csv"
    ids.write_text("id,file\nann,a.obj\nbob,none.obj\n")
    assert "ids.csv: line 3: " in (message := refused(read_predictions, tmp_path)) and "no such file" in message
    ids.write_text("id,file\nann,a.obj\nann,b.obj\n")
    assert "ids.csv: line 3: id ann is there twice (first in line 2)" in refused(read_predictions, tmp_path)
    ids.write_text("id,name\nann,a.obj\n")
    assert "ids.csv: no column file; it needs id, file" in refused(read_predictions, tmp_path)
    ids.write_text("id,file\n")
    assert "ids.csv: no rows" in refused(read_predictions, tmp_path)
    ids.write_text("id,file\nann,a.obj\nbob,c.obj\n")
    write_obj(tmp_path / "c.obj", SHAPES[0][:49])
    message = refused(read_predictions, tmp_path)
    assert "ids.csv: line 3: c.obj has 49 vertices, a.obj has 50" in message
    (tmp_path / "c.obj").write_text("v 1 2 three\n")
    assert "ids.csv: line 3: " in (message := refused(read_predictions, tmp_path)) and "not a readable mesh" in message
    (tmp_path / "c.obj").write_text("# empty\n")
    assert "must hold vertices" in refused(read_predictions, tmp_path)
    ids.write_text("id,file\nann,ids.csv\n")
    assert "ids.csv must be an OBJ or PLY file" in refused(read_predictions, tmp_path)
    ids.write_text("id,file\nann,a.obj\nbob,b.obj\n")
    write_obj(tmp_path / "b.obj", changed(1, 1e-3)[1])
    message = refused(read_predictions, tmp_path)
    assert "mm, not 0.3676: these look like" in message and "meters, multiply by 1000" in message


CLUSTERING, NME, LFW = (
    BENCHMARKS[name] for name in ("clustering-parameters/v1", "aflw2000-nme/v1", "lfw-10fold-cos/v1")
)
OWN = BENCHMARKS["pairs-10fold-cos/v1"]


def test_manifests(tmp_path) -> None:
    path = tmp_path / "m.csv"
    assert "m.csv: no such file" in refused(read_truth, path, CLUSTERING)
    assert "no manifest" in refused(read_truth, tmp_path, CLUSTERING)
    path.write_text("id,who\na,1\n")
    assert "m.csv: no column identity; clustering-parameters/v1 needs id, identity" in refused(
        read_truth, path, CLUSTERING
    )
    path.write_text("id,identity\n")
    assert "m.csv: no rows" in refused(read_truth, path, CLUSTERING)
    path.write_text("id,identity\na,p\nb,p\na,q\n")
    assert "m.csv: line 4: id a is there twice (first in line 2)" in refused(read_truth, path, CLUSTERING)
    path.write_text("id,identity\na,p\nb,\n")
    assert "m.csv: line 3: identity is empty" in refused(read_truth, path, CLUSTERING)
    numbers = ",".join("1" for _ in LANDMARK_COLUMNS)
    head = "id,yaw,landmark_version," + ",".join(LANDMARK_COLUMNS)
    for value in ("left", "nan"):
        path.write_text(f"{head}\na,10,original,{numbers}\nb,{value},original,{numbers}\n")
        assert f"m.csv: line 3: yaw must be a number, not '{value}'" in refused(read_truth, path, NME)


def test_pair_lists(tmp_path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("\n".join("a b 1" for _ in range(19)))
    assert "pairs.txt: 19 pairs are too few for ten folds" in refused(read_truth, path, OWN)
    path.write_text("first,second,same,fold\n" + "\n".join(f"a,b,1,{i % 9}" for i in range(90)))
    assert "90 pairs in 9 folds; ten folds are needed" in refused(read_truth, path, OWN)
    path.write_text("first,second,same,fold\na,b,1,1\na,b,0,x\n")
    assert "pairs.txt: line 3: fold must be a whole number, not 'x'" in refused(read_truth, path, OWN)
    path.write_text("first,second\na,b\n")
    assert "no column same" in refused(read_truth, path, OWN)
    path.write_text("first,second,same\na,b,1\na,b,perhaps\n")
    assert "pairs.txt: line 3: same must be 1 or 0, not 'perhaps'" in refused(read_truth, path, OWN)
    path.write_text("a b 1\na b\n")
    assert "pairs.txt: line 2: expected 'first second same'" in refused(read_truth, path, OWN)
    path.write_text("")
    assert "pairs.txt: no pairs" in refused(read_truth, path, OWN)
    path.write_text(lfw_list())
    message = refused(read_truth, path, LFW)
    assert "40 pairs, the list of lfw-10fold-cos/v1 has 6,000" in message and "pairs-10fold-cos/v1" in message
    path.write_text(lfw_list(folds=9))
    assert "pairs.txt: line 1: 9 folds; ten folds are needed" in refused(read_truth, path, OWN)
    path.write_text("10 3\n" + lfw_list().partition("\n")[2])
    assert "40 pairs, but its first line announces 60" in refused(read_truth, path, OWN)
    path.write_text(lfw_list().replace("Ann_Lee\t1\t3\n", "Ann_Lee\t1\tthree\n"))
    assert "pairs.txt: line 3: not of the form of LFW's pairs.txt" in refused(read_truth, path, OWN)
    path.write_bytes(lfw_list().encode() + b"Jos\xe9 1 2\n")
    assert "pairs.txt: not a readable pair list" in refused(read_truth, path, OWN)
    path.unlink()
    assert "needs a pair list: pairs.csv or pairs.txt" in refused(read_truth, tmp_path, OWN)


def test_a_pair_names_what_the_manifest_does_not(tmp_path) -> None:
    (tmp_path / "manifest.csv").write_text("id,template,media\na,t1,m\nb,t2,m\n")
    (tmp_path / "pairs.csv").write_text("first,second,same\nt1,t2,0\nt1,t3,1\n")
    message = refused(read_truth, tmp_path, BENCHMARKS["ijb-verification-cos/v1"])
    assert "pairs.csv: line 3: template t3 is not in " in message


def test_ids_that_do_not_meet(tmp_path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("id,identity\na,p\nb,p\nc,q\n")
    truth = read_truth(path, CLUSTERING)

    def predictions(*ids: str) -> Predictions:
        return Predictions(ids, parameters=np.ones((len(ids), 2)), where="p.npz")

    message = refused(match, predictions("a", "b", "c", "d"), truth, CLUSTERING, allow_missing=True)
    assert "p.npz: row 3: id d is not in " in message and "m.csv" in message
    message = refused(match, predictions("a", "c"), truth, CLUSTERING)
    assert "p.npz: no prediction for id b of " in message and "--allow-missing" in message
    message = refused(match, predictions("x"), truth, CLUSTERING, allow_missing=True)
    assert "id x is not in" in message
    message = refused(match, predictions("a", "b", "c"), truth, BENCHMARKS["clustering-geometry/v1"])
    assert "needs vertices, which it does not hold; or name the face model" in message
    (tmp_path / "pairs.txt").write_text("\n".join(f"p{i} p{i + 1} {i % 2}" for i in range(40)))
    pairs = read_truth(tmp_path / "pairs.txt", OWN)
    assert "none of its ids is in" in refused(match, predictions("x"), pairs, OWN, allow_missing=True)
    message = refused(match, predictions("p0", "p2"), pairs, OWN, allow_missing=True)
    assert "no pair is left whose both sides were predicted" in message


def test_another_face_model() -> None:
    region = Region("tiny", np.ones(49, bool), np.ones((49, 3, 5)), np.ones((49, 3)), np.ones(5))
    message = refused(with_region, Predictions(tuple(IDS), vertices=SHAPES, where="p.npz"), region)
    assert "p.npz: row 0 (id ann): 50 vertices, the face model tiny has 49" in message
    message = refused(with_region, Predictions(tuple(IDS), parameters=PARAMETERS, where="p.npz"), region)
    assert "p.npz: row 0 (id ann): 4 parameters, the face model tiny has 5" in message


def test_true_shapes(tmp_path) -> None:
    assert "which does not exist" in refused(read_shapes, tmp_path, IDS, "m.csv")
    np.savez(tmp_path / "shapes.npz", ids=IDS[:2], vertices=SHAPES[:2])
    message = refused(read_shapes, tmp_path, IDS, "m.csv")
    assert "m.csv: shape zoe is not among the 2 ids of " in message and "shapes.npz" in message
    np.savez(tmp_path / "shapes.npz", ids=IDS, vertices=changed(1, 1e-3))
    assert "shapes.npz: row 1 (id bob): a face must measure" in refused(read_shapes, tmp_path, IDS, "m.csv")
    np.savez(tmp_path / "shapes.npz", ids=IDS, vertices=changed(1, np.nan))
    assert "shapes.npz: row 1 (id bob): vertices hold NaN" in refused(read_shapes, tmp_path, IDS, "m.csv")
    np.savez(tmp_path / "shapes.npz", ids=IDS, vertices=SHAPES[:, :, :2])
    assert "expected (N, V, 3)" in refused(read_shapes, tmp_path, IDS, "m.csv")
    np.savez(tmp_path / "shapes.npz", ids=IDS)
    assert "holds none of" in refused(read_shapes, tmp_path, IDS, "m.csv")
    np.savez(tmp_path / "shapes.npz", ids=IDS, parameters=PARAMETERS)
    assert "needs the arrays ids and vertices" in refused(read_shapes, tmp_path, IDS, "m.csv")
    message = refused(read_shapes, tmp_path, np.array(["a.obj"]), "m.csv")
    assert "m.csv: " in message and "a.obj: no such file" in message
