"""Regional alignment: parts that moved by themselves fit again, and known offsets stay."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tests.metrics.protocols.conftest import DIRECTIONS, few

from recface.errors import RecfaceError
from recface.metrics.protocols import BENCHMARKS
from recface.metrics.scan import scan_to_mesh

REALY = BENCHMARKS["realy-regions-rigid/v1"]
AXES = np.array([70.0, 100.0, 85.0])


def head(directions: np.ndarray) -> np.ndarray:
    surface = directions * AXES
    return surface + 4 * np.sin(surface[:, [1, 2, 0]] / 12)


def regions_of(directions: np.ndarray) -> dict[str, np.ndarray]:
    front = directions[:, 2] > 0
    y, x = directions[:, 1], np.abs(directions[:, 0])
    return {
        "nose": front & (np.abs(y) < 0.25) & (x < 0.35),
        "mouth": front & (y < -0.25) & (x < 0.5),
        "forehead": front & (y > 0.35),
        "cheek": front & (np.abs(y) < 0.3) & (x > 0.5),
    }


def test_parts_moved_by_themselves_fit_again(study, sphere, turn) -> None:
    study.triangles = sphere.faces
    predicted, scan, regions = head(sphere.vertices), head(few(sphere)), regions_of(few(sphere))
    for number, rows in enumerate(regions.values()):
        motion = np.random.default_rng(number)
        scan[rows] = Rotation.from_rotvec(0.03 * motion.normal(size=3)).apply(scan[rows]) + motion.normal(size=3)
    landmarks = head(DIRECTIONS)
    study.add(0.9 * predicted, 0.9 * landmarks, turn(scan), turn(landmarks), **regions)
    assert scan_to_mesh(scan[regions["nose"]], predicted, sphere.faces).mean() > 0.1
    found = REALY.evaluate(study.predictions, study.truth)
    assert list(found) == ["mean", "nose", "mouth", "forehead", "cheek"]
    assert max(found.values()) == pytest.approx(0, abs=1e-4), found


def test_a_known_error_of_one_region_stays_there(study, sphere, turn) -> None:
    # Whole parallel surfaces: no rigid motion brings them nearer, so the error is the offset.
    normals = few(sphere) / AXES
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    surface, count = few(sphere) * AXES, len(normals)
    study.triangles = sphere.faces
    offsets = {"nose": 0.0, "mouth": 1.0, "forehead": 2.0, "cheek": 3.0}
    scan = np.concatenate([surface + offset * normals for offset in offsets.values()])
    rows = {region: np.arange(count) + number * count for number, region in enumerate(offsets)}
    landmarks = DIRECTIONS * AXES
    study.add(sphere.vertices * AXES, landmarks, turn(scan), turn(landmarks), **rows)
    found = REALY.evaluate(study.predictions, study.truth)
    assert found == pytest.approx({"mean": 1.5, **offsets}, abs=2e-3)
    # A region may also be a scan file of its own, as REALY gives them.
    np.savez(study.folder / "nose.npz", vertices=turn(surface + 2.5 * normals))
    study.rows[0]["nose"] = "nose.npz"
    assert REALY.evaluate(study.predictions, study.truth)["nose"] == pytest.approx(2.5, abs=2e-3)


def test_a_region_without_file_is_named(study, sphere, turn) -> None:
    study.triangles = sphere.faces
    landmarks = head(DIRECTIONS)
    regions = regions_of(few(sphere))
    study.add(head(sphere.vertices), landmarks, turn(head(few(sphere))), turn(landmarks), **regions)
    study.rows[0]["mouth"] = ""
    with pytest.raises(RecfaceError, match=r"scans.csv: line 2 \(id photo0\): no mouth is named"):
        REALY.evaluate(study.predictions, study.truth)
