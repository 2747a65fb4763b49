"""Pictures of textured, lit meshes: rasterize, shade the vertices, interpolate."""

from typing import NamedTuple

from torch import Tensor, nn

from recface.errors import RecfaceError
from recface.render.camera import project
from recface.render.interpolation import interpolate
from recface.render.kernels import full_precision
from recface.render.light import irradiance
from recface.render.normals import vertex_normals
from recface.render.rasterizer import rasterize


class Rendering(NamedTuple):
    """Pictures of B meshes.

    Attributes:
        image: (B, 3, S, S) linear color, not clamped, zero on the background; (B, M, 3, S, S) for M albedos.
        mask: (B, 1, S, S) bool, True on the mesh.
        face_index: (B, S, S) int64 face seen by each pixel, -1 on the background.
        projected: (B, V, 3) normalized vertices.
    """

    image: Tensor
    mask: Tensor
    face_index: Tensor
    projected: Tensor


class Renderer(nn.Module):
    """Renders one topology under a scaled orthographic camera and spherical-harmonics light (ours).

    Color is computed at the vertices and interpolated. The light is of second order, hence smooth, and the face
    models here have about one vertex per pixel, so shading each pixel would look the same; shading vertices needs one
    interpolation of three channels, and its cost does not grow with the image.
    """

    triangles: Tensor

    def __init__(self, triangles: Tensor, size: int, backend: str = "auto") -> None:
        """Keep triangles (F, 3) anticlockwise seen from outside, and size and backend as in `rasterize`."""
        super().__init__()
        self.size, self.backend = size, backend
        # Belongs to the face model, so it stays out of checkpoints.
        self.register_buffer("triangles", triangles.long().contiguous(), persistent=False)

    @full_precision
    def forward(
        self,
        vertices: Tensor,
        rotation: Tensor,
        scale: Tensor,
        translation: Tensor,
        albedo: Tensor,
        light: Tensor,
        face_index: Tensor | None = None,
    ) -> Rendering:
        """Render a batch. Differentiable in everything but visibility; always in full precision.

        Args:
            vertices: (B, V, 3) in mm.
            rotation: (B, 3, 3).
            scale: (B,) half images per mm.
            translation: (B, 2) normalized.
            albedo: (B, V, 3) linear, in [0, 1]; or (B, M, V, 3), M albedos on the same geometry and light (a face and
                its mirror image), which share projection, visibility, normals and light.
            light: (B, 9, 3) coefficients of `sh_basis` in the *camera* frame: the head turns, the light stays.
            face_index: (B, S, S) visibility to use instead of rasterizing, for example of an earlier call.

        Returns:
            A `Rendering`.

        Raises:
            RecfaceError: Tensors that do not fit one another, or a size or backend that `rasterize` refuses.
        """
        if albedo.ndim not in (3, 4) or albedo.shape[-2:] != vertices.shape[-2:]:
            raise RecfaceError(
                f"render: albedo must have shape (B, V, 3) or (B, M, V, 3) with V = {vertices.shape[-2]}, "
                f"not {tuple(albedo.shape)}"
            )
        projected = project(vertices, rotation, scale, translation)
        if face_index is None:
            face_index = rasterize(projected, self.triangles, self.size, self.backend)
        # Uniform scale and translation leave unit normals alone, so these are the normals in the camera frame.
        shading = irradiance(vertex_normals(projected, self.triangles), light)
        if albedo.ndim == 3:
            image, mask = interpolate(projected, self.triangles, face_index, albedo * shading)
        else:
            colors = (albedo * shading[:, None]).transpose(1, 2).flatten(2)
            image, mask = interpolate(projected, self.triangles, face_index, colors)
            image = image.unflatten(1, (albedo.shape[1], 3))
        return Rendering(image, mask, face_index, projected)
