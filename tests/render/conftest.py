"""Meshes and PyTorch3D as the reference."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
import trimesh
from torch import Tensor

from recface.render import euler_to_matrix, project


class Scene(NamedTuple):
    vertices: Tensor  # (B, V, 3) mm
    triangles: Tensor
    rotation: Tensor
    scale: Tensor
    translation: Tensor
    albedo: Tensor
    light: Tensor

    @property
    def projected(self) -> Tensor:
        return project(self.vertices, self.rotation, self.scale, self.translation)


def make_scene(seed: int = 0, batch: int = 3, subdivisions: int = 3, dtype: torch.dtype = torch.float32) -> Scene:
    """Bumpy, posed ellipsoids about as large as a head; parts of them overlap and leave the image."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    sphere = trimesh.creation.icosphere(subdivisions)
    points = torch.tensor(sphere.vertices, dtype=dtype)
    bumps = 1 + 0.25 * torch.sin(4 * points @ normal(3, batch)).T[..., None]
    vertices = points * torch.tensor([75.0, 110.0, 90.0], dtype=dtype) * bumps
    light = 0.2 * normal(batch, 9, 3)
    light[:, 0] += 1
    return Scene(
        vertices,
        torch.tensor(sphere.faces, dtype=torch.int64),
        euler_to_matrix(0.5 * normal(batch, 3)),
        1 / 110 + 1e-3 * normal(batch),
        0.1 * normal(batch, 2),
        torch.rand(*vertices.shape, generator=generator, dtype=dtype),
        light,
    )


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def scene_of() -> Callable[..., Scene]:
    return make_scene


@pytest.fixture
def scene() -> Scene:
    return make_scene()


@pytest.fixture
def threads():
    """Set the number of threads; the old one comes back after the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
