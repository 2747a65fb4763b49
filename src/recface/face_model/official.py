"""Face models as their makers give them out: their files found and named, and what they hold in the suite's schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.linear import export_basis
from recface.face_model.model import FaceModel, file_checksum
from recface.face_model.surface import face_region, fit_mirror, largest_part, outward
from recface.files.arrays import read_array
from recface.files.guard import guarded, is_file
from recface.files.meshes import require_millimeters

EXACT_MM = 0.1
"""Mirror maps that are off by less count as exact."""
SMALLEST_MM, LARGEST_MM = 80.0, 1000.0  # the side of a face or head, with neck and shoulders at most
SMALLEST_MODE = 1e-6  # relative to the largest: what columns that depend on others leave
MAIN_FILES = {
    "01_MorphableModel.mat": "bfm2009",
    "BFM_model_front.mat": "deep3d",
    "model2017-1_face12_nomouth.h5": "bfm2017",
    "model2017-1_bfm_nomouth.h5": "bfm2017",
    "model2019_fullHead.h5": "bfm2019",
    "model2019_face12.h5": "bfm2019",
    "model2019_bfm.h5": "bfm2019",
    "generic_model.pkl": "flame2020",
    "flame2023.pkl": "flame2023",
    "flame2023_no_jaw.pkl": "flame2023",
    "flame2023_Open.pkl": "flame2023",
    "sfm_shape_3448.bin": "surrey",
}
"""Official file names, and the model that each is of."""


@dataclass(frozen=True)
class Landmarks:
    """The 68 landmarks on a mesh, in the order of iBUG: three vertices (68, 3) of each, and their weights (68, 3)."""

    vertices: np.ndarray
    weights: np.ndarray

    @classmethod
    def at(cls, vertices: np.ndarray) -> Landmarks:
        """Landmarks that are vertices (68,)."""
        return cls(np.repeat(np.ravel(vertices)[:, None], 3, axis=1), np.tile([1.0, 0.0, 0.0], (68, 1)))

    @property
    def nearest(self) -> np.ndarray:
        """The vertex (68,) with the largest weight."""
        return np.take_along_axis(self.vertices, self.weights.argmax(axis=1)[:, None], axis=1)[:, 0]

    @property
    def exact(self) -> bool:
        """Whether every landmark is a vertex."""
        return bool((self.weights.max(axis=1) == 1).all())

    def on(self, mesh: np.ndarray) -> np.ndarray:
        """Their points (68, 3) on a mesh (V, 3)."""
        return np.einsum("lc,lcx->lx", self.weights, mesh[self.vertices])


@dataclass(frozen=True)
class LinearModel:
    """A face model as its files have it, in mm and in the suite's axes: shape = mean + identity b + expression e.

    Attributes:
        mean: (V, 3).
        triangles: (F, 3) counted from 0, of either orientation.
        identity: (3V, L) displacement per unit of the files' own coefficient, in standard deviations.
        expression: (3V, E) the same of expressions.
        expression_sigma: (E,) standard deviations of signed coefficients, or None for weights in 0..1.
        landmarks: None where the files have none.
        names: E expressions, or None.
        albedo: Mean (V, 3) in [0, 1] and basis (3V, A) per standard deviation, or None.
    """

    mean: np.ndarray
    triangles: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_sigma: np.ndarray | None
    landmarks: Landmarks | None = None
    names: Sequence[str] | None = None
    albedo: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class Files:
    """The files of a face model in a folder, by their official names."""

    model: Official
    folder: Path
    chosen: Path | None

    def find(self, *names: str) -> Path:
        """The first of some names that is there, or for the model's main file the one that the user named.

        Raises:
            RecfaceError: None is there; the message says which file was found instead.
        """
        if names == self.model.main and self.chosen is not None:
            return self.chosen
        for name in names:
            if is_file(self.folder / name):
                return self.folder / name
        others = [f"{name} is there, of face_model={MAIN_FILES[name]}" for name in MAIN_FILES if self.has(name)]
        found = f" ({others[0]})" if others and names == self.model.main else ""
        raise RecfaceError(
            f"face model '{self.model.name}': no {' or '.join(names)} in {self.folder}{found}; {self.model.remedy}"
        )

    def has(self, name: str) -> bool:
        """Whether a file of this name is there."""
        return is_file(self.folder / name)

    @property
    def main(self) -> Path:
        """The file with the bases."""
        return self.find(*self.model.main)

    def landmarks(self) -> Path | None:
        """A list of landmarks that the user put beside the files: landmarks68.csv, .txt or .npy, or the main file's."""
        names = (*(f"landmarks68{end}" for end in (".csv", ".txt", ".npy")), f"Landmarks68_{self.main.stem}.anl")
        return next((self.folder / name for name in names if self.has(name)), None)


@dataclass(frozen=True)
class Official:
    """The builder of a face model from its official files.

    Attributes:
        name: Of the face model.
        main: Names of the file with the bases, the preferred one first.
        beside: Names of the other files that it reads.
        ask: Where the files are asked for.
        source: What to cite.
        licence: Of the files.
        read: Reads them.
        VERSION: Raised where the output changes.
    """

    name: str
    main: tuple[str, ...]
    beside: tuple[str, ...]
    ask: str
    source: str
    licence: str
    read: Callable[[Files], LinearModel]
    VERSION: int = 1

    @property
    def remedy(self) -> str:
        """What to do where a file is missing."""
        return f"set face_model.path to the folder of {self.main[0]}, which is asked for at {self.ask}"

    def files(self, path: str | Path | None) -> Files:
        """The files at a path, the folder or the main file in it.

        Raises:
            RecfaceError: No path, nothing there, or the main file of another model.
        """
        if path is None or not Path(path).exists():
            what = "needs its files" if path is None else f"{path} does not exist"
            raise RecfaceError(f"face model '{self.name}': {what}; {self.remedy}")
        path = Path(path)
        if path.is_dir():
            return Files(self, path, None)
        if (other := MAIN_FILES.get(path.name, self.name)) != self.name:
            raise RecfaceError(f"face model '{self.name}': {path} is a file of face_model={other}; {self.remedy}")
        return Files(self, path.parent, path)

    def sources(self, path: str | Path | None) -> str:
        """Checksum of the files."""
        files = self.files(path)
        beside = [files.folder / name for name in self.beside if files.has(name)]
        return file_checksum([files.main, *beside, *([given] if (given := files.landmarks()) else [])])

    def opened(self, path: str | Path | None) -> tuple[LinearModel, Landmarks]:
        """Read the files, and the landmarks that the user put beside them, if there are any.

        Raises:
            RecfaceError: A file is missing, damaged or of another model, or the 68 landmarks are not known.
        """
        files = self.files(path)
        with guarded(files.main, f"file of face model '{self.name}'", "download it again"):
            model = self.read(files)
            require_consistent(model)
        given = files.landmarks()
        landmarks = model.landmarks if given is None else read_landmarks(given)
        if landmarks is None:
            raise RecfaceError(
                f"{files.main}: holds no 68 landmarks; put their vertices beside it as landmarks68.csv: 68 lines in "
                "the order of iBUG, one vertex each, or three vertices and three weights"
            )
        if not 0 <= landmarks.vertices.min() <= landmarks.vertices.max() < len(model.mean):
            count = f"{len(model.mean):,}"
            raise RecfaceError(
                f"{given or files.main}: landmarks must be vertices of the model, from 0 to below {count}"
            )
        return model, landmarks

    def build(self, path: str | Path | None) -> FaceModel:
        """Read the files and bring them into the schema: origin at the landmarks' mean, modes orthonormal.

        Raises:
            RecfaceError: As `opened`, or the landmarks or the size are not those of a face in mm.
        """
        return in_schema(self, *self.opened(path), str(self.files(path).main))


def require_consistent(model: LinearModel) -> None:
    """Raise ValueError unless all arrays are of one mesh, and numbers."""
    count = model.mean.size // 3
    triangles, albedo = model.triangles, model.albedo or (model.mean, np.zeros((3 * count, 0)))
    modes = model.expression.shape[1]
    forms = {
        "mean shape": (model.mean, (count, 3)),
        "shape basis": (model.identity, (3 * count, model.identity.shape[1])),
        "expression basis": (model.expression, (3 * count, modes)),
        "mean texture": (albedo[0], (count, 3)),
        "texture basis": (albedo[1], (3 * count, albedo[1].shape[1])),
        "triangles": (triangles, (len(triangles), 3)),
    }
    for what, (array, shape) in forms.items():
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(f"{what} {array.shape}, expected {shape} of finite numbers")
    if not (triangles.size and model.identity.any() and 0 <= triangles.min() <= triangles.max() < count):
        raise ValueError(f"no shape modes, or triangles beyond its {count:,} vertices")


def in_schema(about: Official, model: LinearModel, landmarks: Landmarks, where: str) -> FaceModel:
    """The face model of what was read from a file, its name in messages."""
    count = len(model.mean)
    require_millimeters(float(np.ptp(model.mean, axis=0).max()), SMALLEST_MM, LARGEST_MM, where)
    mean = model.mean - landmarks.on(model.mean).mean(axis=0)
    points = landmarks.on(mean)
    right, left, brows, chin = points[36, 0], points[45, 0], points[17:27, 1].mean(), points[8, 1]
    if not (right < left and chin < brows and points[30, 2] > points[[0, 16], 2].mean()):
        raise RecfaceError(f"{where}: its landmarks do not lie as on a face; give vertices in the order of iBUG's 68")
    triangles = outward(model.triangles, mean)
    mirror, residual = fit_mirror(mean)
    optional: dict[str, Any] = {"expression_sigma": model.expression_sigma}
    if not landmarks.exact:
        optional |= {"landmark_vertices": landmarks.vertices, "landmark_weights": landmarks.weights}
    basis, sigma, own = orthonormal(model.identity)
    if model.albedo is not None:
        optional["albedo_mean"] = model.albedo[0]
        optional["albedo_basis"], optional["albedo_sigma"], _ = orthonormal(model.albedo[1])
    face = face_region(mean, triangles, points, mirror, largest_part(triangles, count))
    if face.sum() < 68:
        raise RecfaceError(f"{where}: {face.sum()} vertices lie inside its landmarks' outline; give its own")
    modes = model.expression.shape[1]
    return FaceModel(
        mean=mean,
        triangles=triangles,
        identity_basis=basis,
        identity_sigma=sigma,
        expression_basis=model.expression,
        expression_names=model.names or [f"expression{number}" for number in range(modes)],
        landmarks68=landmarks.nearest,
        mirror=mirror,
        face_mask=face,
        name=about.name,
        source=about.source,
        licence=about.licence,
        mirror_residual=residual if residual > EXACT_MM else None,
        own_identity=own,
        **optional,
    )


def orthonormal(basis: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`export_basis` of a basis (3V, L) without the modes that hold nothing, and the map (L, K) back to its latents."""
    columns, sigma, back = export_basis(basis, np.eye(basis.shape[1]))
    kept = sigma > SMALLEST_MODE * sigma[0]
    return columns[:, kept], sigma[kept], back[:, kept]


def read_landmarks(path: Path) -> Landmarks:
    """Read 68 landmarks: a vertex each, or three vertices and their weights; text with blanks or commas, or .npy.

    Raises:
        RecfaceError: The file cannot be read, or holds something else.
    """
    remedy = "give 68 lines: one vertex each, or three vertices and three weights that sum to 1"
    with guarded(path, "list of landmarks", remedy, limit=100_000):
        if path.suffix == ".npy":
            numbers = np.asarray(read_array(path), np.float64)
        else:
            numbers = np.array(path.read_text().replace(",", " ").split(), np.float64)
        if numbers.size not in (68, 408):
            raise ValueError(f"{numbers.size} numbers")
        rows = numbers.reshape(68, -1)
        vertices, weights = rows[:, :3], rows[:, 3:]
        whole = np.isfinite(rows).all() and (vertices == np.round(vertices)).all() and (np.abs(vertices) < 2**31).all()
        if not whole or (weights.size and (np.abs(weights.sum(axis=1) - 1) > 1e-3).any()):
            raise ValueError("vertices must be whole numbers, and weights sum to 1")
    vertices = vertices.astype(np.int64)
    return Landmarks(vertices, weights) if weights.size else Landmarks.at(vertices)
