import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from recface.render import euler_to_matrix, from_pixels, matrix_to_euler, project, rotation_6d_to_matrix, to_pixels

angle = st.floats(-math.pi + 1e-3, math.pi - 1e-3)
yaw_angle = st.floats(-math.pi / 2 + 1e-2, math.pi / 2 - 1e-2)
coordinate = st.floats(-3, 3)


def as_tensor(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


@settings(deadline=None, max_examples=50)
@given(angle, yaw_angle, angle)
def test_euler_matches_scipy_and_inverts(pitch: float, yaw: float, roll: float) -> None:
    matrix = euler_to_matrix(as_tensor(pitch, yaw, roll))
    # Upper-case axes are intrinsic: Z then Y then X is the product Rz Ry Rx.
    reference = torch.tensor(Rotation.from_euler("ZYX", [roll, yaw, pitch]).as_matrix())
    torch.testing.assert_close(matrix[0], reference)
    torch.testing.assert_close(matrix_to_euler(matrix), as_tensor(pitch, yaw, roll), atol=1e-8, rtol=0)


def test_positive_angles_turn_the_way_the_docstring_says() -> None:
    nose, crown = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 0.0])
    pitch, yaw, roll = euler_to_matrix(torch.eye(3) * 0.3)
    assert (pitch @ nose)[1] < 0  # looks down
    assert (yaw @ nose)[0] > 0  # looks to image right
    assert (roll @ crown)[0] < 0  # anticlockwise in the image


def test_gimbal_lock_is_finite_with_finite_gradient() -> None:
    angles = torch.tensor([[0.2, math.pi / 2, 0.1]], dtype=torch.float64, requires_grad=True)
    back = matrix_to_euler(euler_to_matrix(angles))
    back.sum().backward()
    assert torch.isfinite(back).all() and torch.isfinite(angles.grad).all()
    assert back[0, 1].item() == pytest.approx(math.pi / 2, abs=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.lists(coordinate, min_size=6, max_size=6))
def test_6d_is_gram_schmidt_in_columns(values: list[float]) -> None:
    vector = as_tensor(*values)
    first, second = vector[0, :3], vector[0, 3:]
    if torch.linalg.cross(first, second).norm() < 1e-3:
        return
    matrix = rotation_6d_to_matrix(vector)[0]
    torch.testing.assert_close(matrix.T @ matrix, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)
    assert torch.linalg.det(matrix).item() == pytest.approx(1)
    torch.testing.assert_close(matrix[:, 0] * first.norm(), first)
    assert matrix[:, 1] @ second > 0 and abs(matrix[:, 2] @ second) < 1e-6


def test_6d_identity_and_inverse_of_its_own_columns() -> None:
    torch.testing.assert_close(rotation_6d_to_matrix(torch.tensor([[1.0, 0, 0, 0, 1, 0]]))[0], torch.eye(3))
    rotation = torch.tensor(Rotation.random(8, rng=0).as_matrix())
    columns = rotation[:, :, :2].transpose(1, 2).reshape(8, 6)
    torch.testing.assert_close(rotation_6d_to_matrix(columns), rotation)


def test_project_by_hand(scene) -> None:
    got = scene.projected
    for b in range(len(got)):
        turned = scene.vertices[b] @ scene.rotation[b].T
        expected = scene.scale[b] * turned
        expected[:, :2] += scene.translation[b]
        torch.testing.assert_close(got[b], expected)


def test_project_ignores_autocast(scene) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = scene.projected
    torch.testing.assert_close(inside, scene.projected, atol=0, rtol=0)


def test_project_raises_half_precision_inputs(scene) -> None:
    half = project(scene.vertices.bfloat16(), scene.rotation, scene.scale, scene.translation)
    full = project(scene.vertices.bfloat16().float(), scene.rotation, scene.scale, scene.translation)
    torch.testing.assert_close(half, full, atol=0, rtol=0)


def test_pixel_frame() -> None:
    corners = torch.tensor([[-1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    torch.testing.assert_close(to_pixels(corners, 64), torch.tensor([[0.0, 0.0], [64.0, 64.0], [32.0, 32.0]]))
    torch.testing.assert_close(from_pixels(torch.tensor([0.5, 0.5]), 2), torch.tensor([-0.5, 0.5]))


@settings(deadline=None, max_examples=50)
@given(coordinate, coordinate, coordinate, st.integers(1, 512))
def test_pixels_round_trip(x: float, y: float, z: float, size: int) -> None:
    point = as_tensor(x, y, z)
    pixels = to_pixels(point, size)
    assert pixels[0, 2] == z
    torch.testing.assert_close(from_pixels(pixels, size), point, atol=1e-9, rtol=0)
    torch.testing.assert_close(from_pixels(pixels[..., :2], size), point[..., :2], atol=1e-9, rtol=0)
