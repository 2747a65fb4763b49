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
OPTIONAL_FIELDS = {
    "landmark_vertices": torch.int64,
    "landmark_weights": torch.float32,
    "expression_sigma": torch.float32,
    "own_identity": torch.float32,
    "albedo_mean": torch.float32,
    "albedo_basis": torch.float32,
    "albedo_sigma": torch.float32,
}
MANY_MODES = 128
OTHER_FIELDS = ("expression_names", "name", "source", "licence", "latent_radius", "mirror_residual")


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
        expression_basis: (3V, E) displacement in mm per unit coefficient; coefficients lie in 0..1, or are signed where
            `expression_sigma` is given.
        expression_names: E names.
        landmarks68: (68,) vertex of each landmark, in the iBUG 68 order.
        mirror: (V,) index of every vertex's left-right mirror image, exact or as `mirror_residual` says.
        face_mask: (V,) bool, the region on which shape metrics are taken.
        name: Short name of the model.
        source: Where the data comes from.
        licence: Licence of the data.
        latent_radius: Norm of the parameters in the population of a hyperspherical model, where a lies near a sphere
            instead of following N(0, I). None for every other model.
        mirror_residual: Largest distance in mm between a vertex and its partner's mirror image, where the mirror map is
            approximate; None where it is exact.
        optional: Arrays that not every model has. `landmark_vertices` (68, 3) and `landmark_weights` (68, 3): three
            vertices of each landmark and their weights, which sum to 1; `landmarks68` is then the nearest vertex.
            `expression_sigma` (E,): standard deviations of signed expression coefficients. `own_identity` (L, K): maps
            whitened parameters to the coefficients of the model's own files; expression coefficients are the files'
            own. `albedo_mean` (V, 3) in [0, 1], `albedo_basis` (3V, A), `albedo_sigma` (A,): as of `AlbedoModel`.

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
    landmark_vertices: Tensor | None
    landmark_weights: Tensor | None
    expression_sigma: Tensor | None
    own_identity: Tensor | None
    albedo_mean: Tensor | None
    albedo_basis: Tensor | None
    albedo_sigma: Tensor | None
    landmark_mean: Tensor
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
        mirror_residual: float | None = None,
        **optional: np.ndarray | Tensor | None,
    ) -> None:
        super().__init__()
        given = (mean, triangles, identity_basis, identity_sigma, expression_basis, landmarks68, mirror, face_mask)
        for (field, dtype), array in zip(ARRAY_FIELDS.items(), given, strict=True):
            self.register_buffer(field, torch.tensor(np.asarray(array), dtype=dtype), persistent=False)
        if unknown := set(optional) - set(OPTIONAL_FIELDS):
            raise TypeError(f"unknown fields: {', '.join(sorted(unknown))}")
        for field, dtype in OPTIONAL_FIELDS.items():
            extra = optional.get(field)
            kept = None if extra is None else torch.tensor(np.asarray(extra), dtype=dtype)
            self.register_buffer(field, kept, persistent=False)
        self.expression_names = [str(n) for n in expression_names]
        self.name, self.source, self.licence = name, source, licence
        self.latent_radius, self.mirror_residual = latent_radius, mirror_residual
        # How other programs count the same shapes does not make another model.
        self.checksum = array_checksum({name: array for name, array in self.arrays().items() if name != "own_identity"})

        self.register_buffer("landmark_mean", self.at_landmarks(self.mean.view(-1, 1)).view(68, 3), persistent=False)
        self.register_buffer("_landmark_identity", self.at_landmarks(self.identity_basis), persistent=False)
        self.register_buffer("_landmark_expression", self.at_landmarks(self.expression_basis), persistent=False)

    def at_landmarks(self, field: Tensor) -> Tensor:
        """Rows (204, N) of a field (3V, N), such as a basis, at the 68 landmarks: x, y, z of each."""
        points = field.unflatten(0, (-1, 3))
        if self.landmark_vertices is None or self.landmark_weights is None:
            return points[self.landmarks68].flatten(0, 1)
        return torch.einsum("lc,lcxn->lxn", self.landmark_weights, points[self.landmark_vertices]).flatten(0, 1)

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
        present = [field for field in (*ARRAY_FIELDS, *OPTIONAL_FIELDS) if getattr(self, field) is not None]
        return {field: getattr(self, field).detach().cpu().numpy() for field in present}

    def fields(self) -> dict[str, Any]:
        """Everything that makes the model: `FaceModel(**model.fields())` is a copy."""
        return self.arrays() | {field: getattr(self, field) for field in OTHER_FIELDS}

    def changed(self, **fields: Any) -> "FaceModel":
        """A plain copy with other values of some fields; what belongs to a basis that changes is left out."""
        belongs = {"identity_basis": "own_identity", "expression_basis": "expression_sigma"}
        unknown = {field: None for basis, field in belongs.items() if basis in fields}
        return FaceModel(**self.fields() | unknown | fields)

    def weighted(self, identity: Tensor) -> Tensor:
        """Whitened parameters (B, K) in mm, so that their Euclidean distance is the distance between shapes."""
        return identity * self.identity_sigma

    def whitened_expression(self, expression: Tensor) -> Tensor:
        """Expression coefficients (B, E) in standard deviations where they are signed; weights in 0..1 as they are."""
        return expression if self.expression_sigma is None else expression / self.expression_sigma

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
            (B, 68, 3) landmarks in mm: `shape(...)[:, landmarks68]`, or between the vertices of each landmark.
        """
        return self._decode(
            self.landmark_mean, self._landmark_identity, self._landmark_expression, identity, expression
        )

    def _decode(
        self, mean: Tensor, basis: Tensor, blend: Tensor, identity: Tensor, expression: Tensor | None
    ) -> Tensor:
        # bfloat16 has 8 bits of mantissa, half a millimeter at 100 mm: geometry is decoded in float32.
        with torch.autocast(mean.device.type, enabled=False):
            # Hundreds of modes, each rounded at the size of the mean, add up to 1e-4 mm: then the mean comes last.
            many = basis.shape[1] > MANY_MODES
            start = torch.zeros_like(mean) if many else mean
            flat = torch.addmm(start.flatten(), identity.float() * self.identity_sigma, basis.T)
            if expression is not None:
                flat = torch.addmm(flat, expression.float(), blend.T)
            flat = flat + mean.flatten() if many else flat
        return flat.unflatten(-1, (-1, 3))

    def extra_repr(self) -> str:
        """One line for `print(model)`."""
        sizes = f"V={self.num_vertices}, F={len(self.triangles)}, K={self.num_identity}, E={self.num_expressions}"
        radius = "" if self.latent_radius is None else f", latent_radius={self.latent_radius:.3f}"
        signed = "" if self.expression_sigma is None else ", signed expressions"
        mirror = "" if self.mirror_residual is None else f", mirror approximate to {self.mirror_residual:.2f} mm"
        return f"{self.name}, {sizes}, checksum={self.checksum}{radius}{signed}{mirror}"


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
