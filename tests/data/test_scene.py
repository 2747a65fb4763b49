import numpy as np
import pytest

from recface.data.benchmark.scene import CONDITIONS, named_conditions


def labels(count=1):
    """A calm frontal face under even light."""
    light = np.zeros((count, 9, 3))
    light[:, 0] = 0.8
    return {
        "angles": np.zeros((count, 3)),
        "expression": np.zeros((count, 5)),
        "light": light,
        "occluded": np.zeros(count, bool),
    }


def found(changed):
    return {name for name, chosen in named_conditions(changed).items() if chosen[0]}


def test_a_calm_frontal_face_is_plain():
    assert found(labels()) == {"plain"} and tuple(named_conditions(labels())) == CONDITIONS


@pytest.mark.parametrize(("degrees", "expected"), [(29.0, {"plain"}), (31.0, {"large_pose"}), (-45.0, {"large_pose"})])
def test_yaw_of_either_side_makes_a_large_pose(degrees, expected):
    changed = labels()
    changed["angles"][0] = [0.6, np.radians(degrees), 0.6]  # pitch and roll do not count
    assert found(changed) == expected


@pytest.mark.parametrize(("strength", "expected"), [(0.45, {"plain"}), (0.55, {"expression"})])
def test_expression_by_its_norm(strength, expected):
    changed = labels()
    changed["expression"][0, :2] = strength * np.array([0.6, 0.8])
    assert found(changed) == expected


@pytest.mark.parametrize(("dark_side", "expected"), [(0.3, {"plain"}), (0.2, {"light"}), (-0.1, {"light"})])
def test_light_is_strong_where_the_dark_side_gets_little(dark_side, expected):
    """The share of the mean that a surface gets which looks away from the light, along any direction."""
    changed = labels()
    direction = np.array([0.6, 0.0, -0.8])
    changed["light"][0, 1:4] = (0.8 * (1 - dark_side) / np.sqrt(3) * direction)[:, None]
    assert found(changed) == expected


def test_conditions_join():
    changed = labels(2)
    changed["occluded"][0] = True
    changed["angles"][0, 1] = 1.0
    assert found(changed) == {"occlusion", "large_pose"}
    assert named_conditions(changed)["plain"].tolist() == [False, True]
