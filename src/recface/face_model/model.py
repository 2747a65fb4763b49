"""The linear 3D morphable model: one class for every source of faces."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# FLIP68[i] is the landmark on which landmark i falls when the face is mirrored left to right, in the iBUG 68 order
# (Sagonas et al., "300 Faces in-the-Wild Challenge", ICCVW 2013, figure 1).
FLIP68: np.ndarray = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48),
        *(59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60),
        *(67, 66, 65),
    ],
    dtype=np.int64,
)

ARRAY_FIELDS = {
    "mean": torch.float32,
    "triangles": torch.int64,
    "identity_basis": torch.float32,
    "identity_sigma": torch.float32,
    "expression_basis": torch.float32,
    "landmarks68": torch.int64,
    "mirror": torch.int64,
    "face_mask": torch.bool,
}
OTHER_FIELDS = ("expression_names", "name", "source", "licence", "latent_radius")


class FaceModel(nn.Module):
    """Linear face model S = mean + identity_basis (sigma * a) + expression_basis e, in millimeters.

    The identity parameters a are whitened: over the population a ~ N(0, I). The basis is orthonormal, so the
    Euclidean distance between sigma-weighted parameters *is* the distance between shapes (methods.md, "Why
    parameters and geometry are linked"). The frame is right-handed: +x to the subject's left (image right), +y up, +z
    out of the face to the camera.

    Every array is a buffer outside `state_dict`: a checkpoint stays small, and names its face model by checksum.

    Args:
        mean: (V, 3) mean shape in mm.
        triangles: (F, 3) vertex indices, counter-clockwise seen from outside.
        identity_basis: (3V, K) orthonormal columns; row 3v + c moves coordinate c of vertex v.
        identity_sigma: (K,) standard deviations in mm (norm over all vertices), descending.
        expression_basis: (3V, E) displacement in mm per unit coefficient; coefficients lie in 0..1.
        expression_names: E names.
        landmarks68: (68,) vertex of each landmark, in the iBUG 68 order.
        mirror: (V,) index of every vertex's left-right mirror image.
        face_mask: (V,) bool, the region on which shape metrics are taken.
        name: Short name of the model.
        source: Where the data comes from.
        licence: Licence of the data.
        latent_radius: Norm of the parameters in the population of a hyperspherical model, where a lies near a sphere
            instead of following N(0, I). None for every other model.

    Source: Blanz and Vetter, "A morphable model for the synthesis of 3D faces", SIGGRAPH 1999, section 3; the
        expression term as in Cao et al., "FaceWarehouse", TVCG 2014.
    """

    mean: Tensor
    triangles: Tensor
    identity_basis: Tensor
    identity_sigma: Tensor
    expression_basis: Tensor
    landmarks68: Tensor
    mirror: Tensor
    face_mask: Tensor
    _landmark_identity: Tensor
    _landmark_expression: Tensor

    def __init__(
        self,
        *,
        mean: np.ndarray | Tensor,
        triangles: np.ndarray | Tensor,
        identity_basis: np.ndarray | Tensor,
        identity_sigma: np.ndarray | Tensor,
        expression_basis: np.ndarray | Tensor,
        expression_names: Sequence[str],
        landmarks68: np.ndarray | Tensor,
        mirror: np.ndarray | Tensor,
        face_mask: np.ndarray | Tensor,
        name: str,
        source: str,
        licence: str,
        latent_radius: float | None = None,
    ) -> None:
        super().__init__()
        given = (mean, triangles, identity_basis, identity_sigma, expression_basis, landmarks68, mirror, face_mask)
        for (field, dtype), array in zip(ARRAY_FIELDS.items(), given, strict=True):
            self.register_buffer(field, torch.tensor(np.asarray(array), dtype=dtype), persistent=False)
        self.expression_names = [str(n) for n in expression_names]
        self.name, self.source, self.licence = name, source, licence
        self.latent_radius = latent_radius
        self.checksum = array_checksum(self.arrays())

        self.register_buffer("_landmark_identity", self.identity_basis[self.landmark_rows], persistent=False)
        self.register_buffer("_landmark_expression", self.expression_basis[self.landmark_rows], persistent=False)

    @property
    def landmark_rows(self) -> Tensor:
        """Rows (204,) of the bases that move the 68 landmarks: x, y, z of each."""
        return (3 * self.landmarks68[:, None] + torch.arange(3, device=self.landmarks68.device)).flatten()

    @property
    def num_vertices(self) -> int:
        """Number of vertices V."""
        return self.mean.shape[0]

    @property
    def num_identity(self) -> int:
        """Number of identity parameters K."""
        return self.identity_basis.shape[1]

    @property
    def num_expressions(self) -> int:
        """Number of expression coefficients E."""
        return self.expression_basis.shape[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """The model's arrays by field name, as NumPy (the content of its .npz file)."""
        return {field: getattr(self, field).detach().cpu().numpy() for field in ARRAY_FIELDS}

    def changed(self, **fields: Any) -> "FaceModel":
        """A plain copy with other values of some fields."""
        kept: dict[str, Any] = self.arrays() | {field: getattr(self, field) for field in OTHER_FIELDS}
        return FaceModel(**kept | fields)

    def weighted(self, identity: Tensor) -> Tensor:
        """Whitened parameters (B, K) in mm, so that their Euclidean distance is the distance between shapes."""
        return identity * self.identity_sigma

    def root_mean_square(self, identity: Tensor) -> Tensor:
        """Whitened parameters (B, K) scaled so that their distance is the root mean square vertex distance in mm."""
        return self.weighted(identity) / math.sqrt(len(self.mean))

    def shape(self, identity: Tensor, expression: Tensor | None = None) -> Tensor:
        """Decode parameters to vertices.

        Args:
            identity: (B, K) whitened identity parameters.
            expression: (B, E) expression coefficients, or None for the neutral face.

        Returns:
            (B, V, 3) vertices in mm, float32 also under autocast.
        """
        return self._decode(self.mean, self.identity_basis, self.expression_basis, identity, expression)

    def landmarks(self, identity: Tensor, expression: Tensor | None = None) -> Tensor:
        """Decode the 68 landmarks only, from a precomputed subset of the rows.

        Args:
            identity: (B, K) whitened identity parameters.
            expression: (B, E) expression coefficients, or None for the neutral face.

        Returns:
            (B, 68, 3) landmarks in mm, equal to `shape(...)[:, landmarks68]`.
        """
        mean = self.mean[self.landmarks68]
        return self._decode(mean, self._landmark_identity, self._landmark_expression, identity, expression)

    def _decode(
        self, mean: Tensor, basis: Tensor, blend: Tensor, identity: Tensor, expression: Tensor | None
    ) -> Tensor:
        # bfloat16 has 8 bits of mantissa, half a millimeter at 100 mm: geometry is decoded in float32.
        with torch.autocast(mean.device.type, enabled=False):
            flat = torch.addmm(mean.flatten(), identity.float() * self.identity_sigma, basis.T)
            if expression is not None:
                flat = torch.addmm(flat, expression.float(), blend.T)
        return flat.unflatten(-1, (-1, 3))

    def extra_repr(self) -> str:
        """One line for `print(model)`."""
        sizes = f"V={self.num_vertices}, F={len(self.triangles)}, K={self.num_identity}, E={self.num_expressions}"
        radius = "" if self.latent_radius is None else f", latent_radius={self.latent_radius:.3f}"
        return f"{self.name}, {sizes}, checksum={self.checksum}{radius}"


CHECKSUM_LENGTH = 16


def array_checksum(arrays: Mapping[str, np.ndarray]) -> str:
    """Sha256 prefix over names, shapes, types and bytes of some arrays, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{array.shape}{array.dtype.str}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:CHECKSUM_LENGTH]


def file_checksum(paths: Iterable[Path]) -> str:
    """Sha256 prefix over the contents of some files, in the given order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:CHECKSUM_LENGTH]
