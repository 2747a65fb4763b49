"""Camera, light, rasterizer and a differentiable renderer that runs on the CPU and on CUDA."""

from recface.render.camera import (
    euler_to_matrix,
    from_pixels,
    matrix_to_euler,
    project,
    rotation_6d_to_matrix,
    to_pixels,
)
from recface.render.interpolation import interpolate
from recface.render.kernels import full_precision
from recface.render.light import irradiance, sh_basis
from recface.render.normals import vertex_normals
from recface.render.rasterizer import rasterize
from recface.render.renderer import Renderer, Rendering

__all__ = [
    "Renderer",
    "Rendering",
    "euler_to_matrix",
    "from_pixels",
    "full_precision",
    "interpolate",
    "irradiance",
    "matrix_to_euler",
    "project",
    "rasterize",
    "rotation_6d_to_matrix",
    "sh_basis",
    "to_pixels",
    "vertex_normals",
]
