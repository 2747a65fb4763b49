"""NoW on spheres and ellipsoids, whose distances are known in closed form."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.metrics.protocols.conftest import DIRECTIONS, few

from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS
from recface.metrics.protocols.scans import now_crop

NOW, METRICAL = BENCHMARKS["now-scan-to-mesh/v1"], BENCHMARKS["now-metrical-scan-to-mesh/v1"]
AXES = np.array([70.0, 100.0, 85.0])
FLAT = 0.03  # mm between a sphere of 100 mm and its triangles


def add_spheres(study, sphere, turn, scanned: float, predicted: float) -> None:
    study.triangles = sphere.faces
    vertices, scan = predicted * sphere.vertices, turn(scanned * few(sphere))
    study.add(vertices, predicted * DIRECTIONS, scan, turn(scanned * DIRECTIONS))


def test_the_crop_by_hand() -> None:
    landmarks = np.zeros((7, 3))
    landmarks[[0, 3]] = [[-45, 40, 0], [45, 40, 0]]
    landmarks[[1, 2]] = [[-15, 50, 0], [15, 50, 0]]  # the bridge is at (0, 50, 0), the nose 50 mm long
    center, radius = np.array([0, 15.0, 0]), 1.4 * (90 + 50) / 2
    points = np.array([center + [0, 0, radius - 0.01], center - [0, radius + 0.01, 0]])
    inside = now_crop(points, landmarks)
    assert inside.tolist() == [True, False]


def test_two_spheres_differ_by_their_radii_where_the_size_counts(study, sphere, turn) -> None:
    for scanned, predicted in ((90, 84.0), (80, 84.0), (91, 90.0)):
        add_spheres(study, sphere, turn, scanned, predicted)
    found = METRICAL.evaluate(study.predictions, study.truth)
    differences = np.array([6.0, 4.0, 1.0])  # equally many points each
    assert found["median"] == pytest.approx(np.median(differences), abs=FLAT)
    assert found["mean"] == pytest.approx(differences.mean(), abs=FLAT)
    assert found["std"] == pytest.approx(differences.std(), abs=FLAT)


def test_two_spheres_are_one_where_the_size_is_free(study, sphere, turn) -> None:
    add_spheres(study, sphere, turn, 90, 70.0)
    assert NOW.evaluate(study.predictions, study.truth)["mean"] == pytest.approx(0, abs=FLAT)


@pytest.mark.parametrize("offset", [0.0, 1.5, 6.0])
def test_an_ellipsoid_and_its_parallel_surface(study, sphere, turn, offset) -> None:
    # By symmetry no rigid motion lowers the sum of squares, and every point of a parallel surface is `offset` away.
    normals = sphere.vertices / AXES
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    surface = sphere.vertices * AXES
    study.triangles = sphere.faces
    noise = np.random.default_rng(0).normal(size=DIRECTIONS.shape)  # mm; ICP has to mend what landmarks miss
    scan = few(sphere) * AXES + offset * normals[:2562]
    study.add(surface, DIRECTIONS * AXES + noise, turn(scan), turn(DIRECTIONS * AXES))
    found = METRICAL.evaluate(study.predictions, study.truth)
    assert found["median"] == pytest.approx(offset, abs=2e-3)
    assert found["mean"] == pytest.approx(offset, abs=2e-3)
    assert found["std"] == pytest.approx(0, abs=2e-3)


def test_points_outside_the_crop_do_not_count(study, sphere, turn) -> None:
    study.triangles = sphere.faces
    far = np.random.default_rng(1).normal(size=(200, 3))
    far = 600 * far / np.linalg.norm(far, axis=1, keepdims=True)  # a NoW crop of this sphere has a radius below 300 mm
    scan = np.concatenate([80 * few(sphere), far])
    study.add(80 * sphere.vertices, 80 * DIRECTIONS, turn(scan), turn(80 * DIRECTIONS))
    assert NOW.evaluate(study.predictions, study.truth)["mean"] == pytest.approx(0, abs=1e-6)


def test_a_mirrored_prediction_is_not_reflected_back(study, sphere, turn) -> None:
    bumps = sphere.vertices * AXES + 6 * np.sin((sphere.vertices * AXES)[:, [1, 2, 0]] / 15)
    study.triangles = sphere.faces[:, ::-1]
    study.add(bumps * [-1, 1, 1], DIRECTIONS * AXES, turn(bumps[:2562]), turn(DIRECTIONS * AXES))
    assert NOW.evaluate(study.predictions, study.truth)["mean"] > 0.5


def test_rows_of_one_scan_share_it_and_the_order_does_not_matter(study, sphere, turn) -> None:
    for scanned, predicted in ((90, 84.0), (80, 84.0)):
        add_spheres(study, sphere, turn, scanned, predicted)
    study.rows.append(study.rows[0] | {"id": "again"})
    study.vertices.append(study.vertices[0])
    study.points.append(study.points[0])
    forward = METRICAL.evaluate(study.predictions, study.truth)
    study.rows, study.vertices, study.points = study.rows[::-1], study.vertices[::-1], study.points[::-1]
    assert METRICAL.evaluate(study.predictions, study.truth) == pytest.approx(forward, rel=1e-5)
    assert forward["mean"] == pytest.approx((6 + 4 + 6) / 3, abs=FLAT)


def test_bad_input_is_named_with_file_and_row(study, sphere, turn) -> None:
    add_spheres(study, sphere, turn, 90, 84.0)
    add_spheres(study, sphere, turn, 90, 84.0)
    good, truth = study.predictions, study.truth

    def fails(match: str, **changes: np.ndarray) -> None:
        with pytest.raises(RecfaceError, match=match) as caught:
            NOW.evaluate(replace(good, **changes), truth)
        assert "\n" not in str(caught.value)

    meters = good.vertices * np.array([1, 0.001])[:, None, None]
    fails(
        r"scans.csv: line 3 \(id photo1\): method.npz, photo1: a face must .* not 0.29\d+: these look like meters",
        vertices=meters,
    )
    broken = good.vertices.copy()
    broken[1, 7] = np.nan
    fails(r"scans.csv: line 3 \(id photo1\): method.npz, photo1: vertices: row 7 of 10242", vertices=broken)
    points = good.points.copy()
    points[0, 2] = np.nan
    fails(r"line 2 \(id photo0\): method.npz, photo0: points: row 2 of 7 is not finite", points=points)
    fails(r"line 2 .*triangle \d+ is .* but there are 100 vertices", vertices=good.vertices[:, :100])
    fails(r"points are \(2, 5, 3\), expected \(N, 7, 3\)", points=good.points[:, :5])
    fails("method.npz: now-scan-to-mesh/v1 needs triangles", triangles=None)
    with pytest.raises(RecfaceError, match="2 predictions for 1 rows of scans.csv"):
        NOW.evaluate(good, replace(truth, table=truth.table[:1]))

    table = pd.read_csv(study.folder / "1.csv")
    table[table["name"] != "nose_base"].to_csv(study.folder / "1.csv", index=False)
    fails(r"scans.csv: line 3 \(id photo1\): .*1.csv: landmark nose_base is missing")
    np.savez(study.folder / "0.npz", vertices=np.load(study.folder / "0.npz")["vertices"] / 1000)
    fails(r"scans.csv: line 2 \(id photo0\): .*0.npz: .*meters")
    truth.table.loc[0, "scan"] = None
    fails(r"scans.csv: line 2 \(id photo0\): no scan is named")
