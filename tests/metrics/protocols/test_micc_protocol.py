"""Both families of MICC on spheres, whose errors are known in closed form."""

import numpy as np
import pytest
from tests.metrics.protocols.conftest import DIRECTIONS, few

from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS
from recface.metrics.protocols.micc import genova_error
from recface.metrics.scan import SearchMesh, Similarity

DENG, GENOVA = BENCHMARKS["micc-deng-rmse/v1"], BENCHMARKS["micc-genova-mean/v1"]
FLAT = 0.03  # mm between a sphere of 100 mm and its triangles
CENTER = np.zeros(3)  # as nose tip: 95 mm round it hold the whole sphere


def two_shells(sphere, radius: float, depth: float) -> np.ndarray:
    """Points on two spheres, as many on one as on the other (within 1 of 100), each symmetric."""
    directions = few(sphere)
    height = np.abs(directions).min(axis=1)  # unchanged by mirroring
    outer = height > np.median(height)
    return directions * np.where(outer, radius + depth, radius - depth)[:, None]


def test_deng_fits_each_size_and_leaves_the_depth_of_the_shells(study, sphere, turn) -> None:
    # The best sphere through two shells has their mean radius; every point is `depth` away from it.
    study.triangles = sphere.faces
    depths = (1.0, 3.0)
    for size, depth in zip((64.0, 110.0), depths, strict=True):
        scan = two_shells(sphere, 80, depth)
        study.add(size * sphere.vertices, size * DIRECTIONS, turn(scan), turn(80 * DIRECTIONS), nose_tip=turn(CENTER))
    found = DENG.evaluate(study.predictions, study.truth)
    assert found["rmse"] == pytest.approx(np.mean(depths), abs=FLAT)
    assert found["std"] == pytest.approx(np.std(depths), abs=FLAT)


def test_genova_gives_all_meshes_one_size(study, sphere, turn) -> None:
    study.triangles = sphere.faces
    scanned, predicted = np.array([80.0, 80.0, 85.0]), np.array([60.0, 66.0, 64.0])
    for radius, size in zip(scanned, predicted, strict=True):
        scan, landmarks = radius * few(sphere), radius * DIRECTIONS
        study.add(size * sphere.vertices, size * DIRECTIONS, turn(scan), turn(landmarks), nose_tip=turn(CENTER))
    found = GENOVA.evaluate(study.predictions, study.truth)
    scale = np.prod(scanned / predicted) ** (1 / 3)
    errors = np.abs(scanned - scale * predicted)
    assert found["scale"] == pytest.approx(scale, rel=1e-3)
    assert found["mean"] == pytest.approx(errors.mean(), abs=2 * FLAT)
    assert found["std"] == pytest.approx(errors.std(), abs=2 * FLAT)
    assert found["share"] == 1
    assert DENG.evaluate(study.predictions, study.truth)["rmse"] == pytest.approx(0, abs=FLAT)


def test_the_intersection_leaves_out_where_the_mesh_ends(sphere) -> None:
    vertices, scan = 80 * np.asarray(sphere.vertices), 80 * few(sphere)
    half = sphere.faces[(vertices[sphere.faces, 2] > -1e-9).all(axis=1)]
    error, share = genova_error(scan, SearchMesh(vertices, half), Similarity(translation=np.array([1.0, -1, 0.5])))
    assert error == pytest.approx(0, abs=1e-4)
    assert share == pytest.approx((scan[:, 2] > 1e-9).mean(), abs=0.01)


def test_only_the_sphere_round_the_nose_tip_and_the_mask_count(study, sphere, turn) -> None:
    study.triangles = sphere.faces
    spoiled = 80 * few(sphere)
    tip = np.array([0.0, 0, 80])
    beyond = np.linalg.norm(spoiled - tip, axis=1) > 95
    forehead = ~beyond & (spoiled[:, 1] > 50)
    assert beyond.any() and forehead.any()
    spoiled[beyond | forehead] *= 1.1
    scan, landmarks = turn(spoiled), turn(80 * DIRECTIONS)
    study.add(80 * sphere.vertices, 80 * DIRECTIONS, scan, landmarks, nose_tip=turn(tip), mask=~forehead)
    assert DENG.evaluate(study.predictions, study.truth)["rmse"] == pytest.approx(0, abs=1e-4)
    assert GENOVA.evaluate(study.predictions, study.truth)["mean"] == pytest.approx(0, abs=1e-4)
    del study.rows[0]["mask"]
    assert DENG.evaluate(study.predictions, study.truth)["rmse"] > 0.5


def test_bad_input_is_named_with_file_and_row(study, sphere, turn) -> None:
    study.triangles = sphere.faces
    scan, landmarks = turn(80 * few(sphere)), turn(80 * DIRECTIONS)
    study.add(80 * sphere.vertices, 80 * DIRECTIONS, scan, landmarks, nose_tip=turn(CENTER))
    study.add(80 * sphere.vertices, 80 * DIRECTIONS, scan, landmarks)
    with pytest.raises(RecfaceError, match=r"scans.csv: line 3 \(id photo1\): .*1.csv: landmark nose_tip is missing"):
        DENG.evaluate(study.predictions, study.truth)
    study.rows[1] = study.rows[0] | {"mask": "short.npy"}
    np.save(study.folder / "short.npy", np.ones(7, dtype=bool))
    with pytest.raises(RecfaceError, match=r"line 3 .*short.npy: a mask of 7 vertices for a scan of 2562"):
        GENOVA.evaluate(study.predictions, study.truth)
