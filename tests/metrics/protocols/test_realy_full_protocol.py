"""REALY with its non-rigid step: files as REALY gives them, motions undone, known distances found, mistakes named."""

import numpy as np
import pandas as pd
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS, Predictions, Truth
from recface.metrics.protocols.realy import BENT, KEYPOINTS, RIGID, SEVEN_OF_68

REALY = BENCHMARKS["realy-regions/v1"]
SCALE = 9.0  # mm a unit, about that of REALY's files
PLACES = {"nose": (0.0, 0.0), "mouth": (0.0, -0.45), "forehead": (0.0, 0.5), "cheek": (0.55, 0.0)}


def wavy(directions: np.ndarray) -> np.ndarray:
    """A head-like surface in REALY's unit."""
    surface = directions * [8.0, 11.0, 9.0]
    return surface + 0.4 * np.sin(surface[:, [1, 2, 0]] / 1.3)


@pytest.fixture(scope="module")
def ball():
    return trimesh.creation.icosphere(4)


def inside(ball, region: str) -> np.ndarray:
    """(V,) bool: the vertices of a region."""
    return (np.linalg.norm(ball.vertices[:, :2] - PLACES[region], axis=1) < 0.28) & (ball.vertices[:, 2] > 0)


@pytest.fixture(scope="module")
def directions(ball) -> np.ndarray:
    """(85, 3): keypoints at vertices, each in a region that it leads, so that none lies beside its vertex."""
    random = np.random.default_rng(0)
    found = ball.vertices[random.choice(np.flatnonzero(ball.vertices[:, 2] > 0), KEYPOINTS)]
    for region in ("cheek", "forehead", "mouth", "nose"):
        rows = list(BENT[region] or (76, 77))
        found[rows] = ball.vertices[random.choice(np.flatnonzero(inside(ball, region)), len(rows), replace=False)]
    return found


def write(folder, shapes: dict[str, np.ndarray], ball, keypoints: np.ndarray, whole: bool = False) -> Truth:
    """The regions' meshes from the vertices of a shape each, or each shape whole; and the keypoints."""
    for region, vertices in shapes.items():
        kept = inside(ball, region) | whole
        trimesh.Trimesh(vertices, ball.faces[kept[ball.faces].all(axis=1)], process=False).export(
            folder / f"{region}.obj"
        )
    (folder / "keys.obj").write_text("".join(f"v {x!r} {y!r} {z!r}\n" for x, y, z in keypoints.tolist()))
    row = {"id": "photo", "keypoints": "keys.obj", "scale": SCALE} | {region: f"{region}.obj" for region in PLACES}
    return Truth(pd.DataFrame([row]), folder=folder, where="realy.csv")


def face(folder, ball, directions: np.ndarray) -> Truth:
    """All regions of the wavy face."""
    return write(folder, dict.fromkeys(PLACES, wavy(ball.vertices)), ball, wavy(directions))


def predicted(vertices: np.ndarray, keypoints: np.ndarray, faces: np.ndarray) -> Predictions:
    return Predictions(("photo",), vertices=vertices[None], points=keypoints[None], triangles=faces, where="method.npz")


def test_the_true_face_moved_and_of_another_size_has_no_error(tmp_path, ball, directions) -> None:
    truth = face(tmp_path, ball, directions)
    rotation = Rotation.from_rotvec([0.3, -0.4, 0.2])
    shape, points = (rotation.apply(wavy(part)) * SCALE * 1.2 + [30, 5, -8] for part in (ball.vertices, directions))
    found = REALY.evaluate(predicted(shape, points, ball.faces), truth)
    assert list(found) == ["mean", "nose", "mouth", "forehead", "cheek"]
    assert max(found.values()) < 1e-2 and found["mean"] == pytest.approx(np.mean(list(found.values())[1:]))


def test_the_distance_of_parallel_surfaces_is_found_in_millimeters(tmp_path) -> None:
    """Whole spheres within a larger one: no motion brings them nearer, and what corresponds lies straight above."""
    ball, below = trimesh.creation.icosphere(3), {"nose": 0.0, "mouth": 0.1, "forehead": 0.2, "cheek": 0.3}
    keypoints = 10.0 * ball.vertices[np.random.default_rng(0).permutation(len(ball.vertices))[:KEYPOINTS]]
    shapes = {region: (10.0 - height) * ball.vertices for region, height in below.items()}
    truth = write(tmp_path, shapes, ball, keypoints, whole=True)
    fine = trimesh.creation.icosphere(5)  # whose facets lie hardly below the sphere
    found = REALY.evaluate(predicted(10.0 * fine.vertices, keypoints, fine.faces), truth)
    expected = {region: SCALE * height for region, height in below.items()}
    assert found == pytest.approx({"mean": SCALE * 0.15, **expected}, abs=0.02)


def test_keypoints_make_the_error_that_of_corresponding_points(tmp_path, ball, directions) -> None:
    """The right surface with keypoints that slid along it: nearest points alone would see no error at all."""
    truth, keypoints = face(tmp_path, ball, directions), wavy(directions)
    slid, rows = keypoints.copy(), list(BENT["mouth"])
    slid[rows] = wavy(Rotation.from_rotvec([0, 0.06, 0]).apply(directions[rows]))
    right, wrong = (
        REALY.evaluate(predicted(wavy(ball.vertices), keys, ball.faces), truth)["mouth"] for keys in (keypoints, slid)
    )
    assert right < 1e-2 and wrong > 0.2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scale": 0.0}, r"realy.csv: line 2 \(id photo\): scale must be a number > 0, not 0"),
        ({"keypoints": ""}, "no keypoints is named"),
        ({"keypoints": "nose.obj"}, r"nose.obj: \d+ keypoints, expected 85"),
        ({"cheek": "keys.obj"}, r"line 2 \(id photo\): .*keys.obj: holds no triangles"),
        ({"mouth": "none.obj"}, r"line 2 \(id photo\): .*none.obj: no such file"),
    ],
)
def test_mistakes_name_file_and_row(tmp_path, ball, directions, change, said) -> None:
    truth = face(tmp_path, ball, directions)
    truth = Truth(truth.table.assign(**change), folder=tmp_path, where="realy.csv")
    with pytest.raises(RecfaceError, match=said) as caught:
        REALY.evaluate(predicted(wavy(ball.vertices), wavy(directions), ball.faces), truth)
    assert "\n" not in str(caught.value)


def test_seven_points_are_too_few(tmp_path, ball, directions) -> None:
    truth = face(tmp_path, ball, directions)
    with pytest.raises(RecfaceError, match=r"method.npz: points are \(1, 7, 3\), expected \(N, 85, 3\)"):
        REALY.evaluate(predicted(wavy(ball.vertices), wavy(directions)[:7], ball.faces), truth)


def test_the_lists_of_keypoints() -> None:
    assert [len(RIGID[region]) for region in PLACES] == [11, 14, 22, 27]
    assert [len(BENT[region]) for region in PLACES] == [9, 14, 22, 0]
    assert all(len(set(rows)) == len(rows) and max(rows) < KEYPOINTS for rows in (*RIGID.values(), SEVEN_OF_68))
