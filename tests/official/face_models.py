"""Face models in miniature, in exactly the files, names and forms of the official ones; the numbers are random."""

from __future__ import annotations

import json
import pickle
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.sparse
import torch
from scipy.io import savemat

from recface.face_model.model import FLIP68

COLUMNS, ROWS = 21, 27
LEFT_OUT = 11
"""Vertices at the end of the mesh of 2009 that have no expressions: 275 of 53,490 in the official file."""
RIGHT_AND_MIDDLE = {
    **{k: (-62 * np.cos(k * np.pi / 16), 20 - 95 * np.sin(k * np.pi / 16)) for k in range(9)},
    **{17 + k: (-52 + 9.5 * k, 40 + 6 * np.sin(k * np.pi / 4)) for k in range(5)},
    **{27 + k: (0, 22 - 10 * k) for k in range(4)},
    **{31: (-12, -18), 32: (-6, -18), 33: (0, -18)},
    **{36: (-40, 25), 37: (-34, 31), 38: (-26, 31), 39: (-20, 25), 40: (-26, 19), 41: (-34, 19)},
    **{48: (-25, -42), 49: (-15, -36), 50: (-6, -34), 51: (0, -35), 57: (0, -52), 58: (-6, -51), 59: (-15, -48)},
    **{60: (-20, -42), 61: (-8, -40), 62: (0, -40), 66: (0, -44), 67: (-8, -44)},
}
"""Places of landmarks in mm seen from the front, those of the subject's left being their mirror images."""


@dataclass(frozen=True)
class Sheet:
    """A symmetric sheet in the form of a face, in mm and our axes, counter-clockwise from outside."""

    vertices: np.ndarray
    quads: np.ndarray
    landmarks: np.ndarray

    @property
    def triangles(self) -> np.ndarray:
        return np.concatenate([self.quads[:, [0, 1, 2]], self.quads[:, [0, 2, 3]]])

    def basis(self, seed: int, modes: int, size: float = 0.5) -> np.ndarray:
        """Random displacements (3V, modes) in mm, the first modes larger, columns not orthogonal."""
        random = np.random.default_rng(seed)
        return random.normal(size=(self.vertices.size, modes)) * size / np.arange(1, modes + 1) ** 0.5


def sheet(columns: int = COLUMNS, rows: int = ROWS) -> Sheet:
    """The sheet with odd numbers of vertices across and down."""
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(-70, 70, columns), np.linspace(90, -90, rows)))
    nose = 20 * np.exp(-((x / 10) ** 2) - ((y + 5) / 18) ** 2)
    vertices = np.stack([x, y, 70 - x**2 / 90 - y**2 / 300 + nose], axis=1)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    quads = np.stack([corner, corner + columns, corner + columns + 1, corner + 1], axis=1)
    landmarks = np.zeros(68, np.int64)
    for mark, place in RIGHT_AND_MIDDLE.items():
        vertex = int(np.linalg.norm(vertices[:, :2] - place, axis=1).argmin())
        row, column = divmod(vertex, columns)
        landmarks[FLIP68[mark]], landmarks[mark] = row * columns + columns - 1 - column, vertex
    return Sheet(vertices, quads, landmarks)


def write_bfm2009(folder: Path, of_3ddfa: bool = False) -> None:
    """`01_MorphableModel.mat`, `Exp_Pca.bin` and what Deep3DFaceRecon, or 3DDFA, puts beside them."""
    face, folder = sheet(), _made(folder)
    count, random = len(face.vertices), np.random.default_rng(9)
    whole = np.concatenate([face.vertices, random.normal(size=(LEFT_OUT, 3)) - [0, 0, 40]])
    order = random.permutation(len(whole))  # place in the whole model of each vertex
    mixed, trimmed = np.empty_like(whole), order[:count]
    mixed[order] = whole
    triangles = np.concatenate([order[face.triangles][:, ::-1], order[count:][None, :3]])
    size = mixed.size
    shape = np.linalg.qr(random.normal(size=(size, 6)))[0], np.linspace(90, 10, 6)[:, None] * 1000
    texture = np.linalg.qr(random.normal(size=(size, 5)))[0], np.linspace(300, 50, 5)[:, None]
    content = {"shapeMU": 1000 * mixed.reshape(-1, 1), "shapePC": shape[0], "shapeEV": shape[1]}
    content |= {"texMU": random.uniform(60, 200, (size, 1)), "texPC": texture[0], "texEV": texture[1]}
    floats = {name: array.astype(np.float32) for name, array in content.items()}
    savemat(folder / "01_MorphableModel.mat", floats | {"tl": (triangles + 1).astype(np.int32), "segbin": np.eye(4)})
    expressions = random.normal(size=(4, 3 * count)).astype("<f4")
    with (folder / "Exp_Pca.bin").open("wb") as file:
        file.write(
            np.int32(len(expressions)).tobytes() + np.full(3 * count, 7, "<f4").tobytes() + expressions.tobytes()
        )
    (folder / "std_exp.txt").write_text(" ".join(f"{value:.6e}" for value in np.linspace(900, 200, 4)) + "\n")
    if of_3ddfa:
        keypoints = (face.landmarks + 1)[None].astype(np.int32)
        savemat(folder / "model_info.mat", {"trimIndex": (trimmed + 1)[:, None], "keypoints": keypoints})
        return
    savemat(folder / "BFM_exp_idx.mat", {"trimIndex": (trimmed + 1)[:, None].astype(np.int32)})
    front = random.permutation(count)
    savemat(folder / "BFM_front_idx.mat", {"idx": (front + 1)[:, None].astype(np.int32)})
    savemat(folder / "facemodel_info.mat", {"keypoints": (np.argsort(front)[face.landmarks] + 1)[None]})


def write_deep3d(folder: Path) -> None:
    """`BFM_model_front.mat` as Deep3DFaceRecon's `transferBFM09` writes it."""
    face, random = sheet(), np.random.default_rng(3)
    count = len(face.vertices)
    content = {
        "meanshape": (face.vertices / 100 + [0, 0, 0.3]).reshape(1, -1),
        "meantex": random.uniform(60, 200, (1, 3 * count)),
        "idBase": face.basis(4, 6) / 100,
        "exBase": face.basis(5, 4) / 100,
        "texBase": face.basis(6, 5, 10.0),
        "tri": face.triangles + 1,
        "point_buf": np.ones((count, 8)),
        "tri_mask2": face.triangles[:9] + 1,
        "keypoints": (face.landmarks + 1)[None],
        "frontmask2_idx": np.arange(1, 10)[:, None],
        "skinmask": np.ones((1, count)),
    }
    savemat(_made(folder) / "BFM_model_front.mat", content, do_compression=True)


def write_bfm2017(folder: Path, name: str = "model2017-1_face12_nomouth.h5", landmarks: bool = True) -> None:
    """An HDF5 file in the form of statismo, and the list of landmarks that is passed around with it."""
    import h5py

    face, random, path = sheet(), np.random.default_rng(17), _made(folder) / name
    kinds = {"shape": (6, 60.0), "expression": (4, 30.0), "color": (5, 2.0)}
    with h5py.File(path, "w") as file:
        for kind, (modes, size) in kinds.items():
            mean = {"shape": face.vertices.ravel(), "expression": random.normal(size=face.vertices.size)}
            content = {
                "model/mean": mean.get(kind, random.uniform(0.2, 0.8, face.vertices.size)),
                "model/pcaBasis": np.linalg.qr(random.normal(size=(face.vertices.size, modes)))[0],
                "model/pcaVariance": np.linspace(size, size / 4, modes) ** 2,
                "model/noiseVariance": np.zeros(1),
                "representer/points": face.vertices.T,
            }
            for field, array in content.items():
                file[f"{kind}/{field}"] = array.astype(np.float32)
            file[f"{kind}/representer/cells"] = face.triangles.T.astype(np.int32)
            file[f"catalog/MorphableModel.{kind}/modelPath"] = f"/{kind}"
        named = [{"id": "center.nose.tip", "coordinates": face.vertices[face.landmarks[30]].tolist()}]
        file["metadata/landmarks/json"] = json.dumps(named)
        file["version/majorVersion"] = 0
    if landmarks:
        (folder / f"Landmarks68_{path.stem}.anl").write_text("".join(f"{vertex}\n" for vertex in face.landmarks))


def write_bfm2019(folder: Path) -> None:
    """`model2019_fullHead.h5`, whose landmarks the user has to know."""
    write_bfm2017(folder, "model2019_fullHead.h5", landmarks=False)
    (folder / "landmarks68.csv").write_text("".join(f"{vertex}\n" for vertex in sheet().landmarks))


class Ch:
    """Pickled as `chumpy.ch.Ch` is."""

    def __init__(self, x: np.ndarray) -> None:
        self.__dict__ |= {"x": x, "_dirty_vars": set(), "_itr": None}

    def __getstate__(self) -> dict[str, object]:
        return {"x": self.x, "_itr": None}  # type: ignore[attr-defined]


def write_flame2020(folder: Path, name: str = "generic_model.pkl") -> None:
    """A pickle with chumpy's arrays, 300 shapes and 100 expressions, and `landmark_embedding.npy` as of DECA."""
    face, random, folder = sheet(), np.random.default_rng(20), _made(folder)
    template = face.vertices / 1000
    template[40:60] += random.uniform(-0.001, 0.001, (20, 3))  # no exact partners
    modes = face.basis(21, 400).reshape(-1, 3, 400) / 1000
    joints = scipy.sparse.csc_matrix(random.random((5, len(template))))
    package, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    module.Ch, Ch.__module__ = Ch, "chumpy.ch"  # type: ignore[attr-defined]
    content = {"v_template": Ch(template), "shapedirs": Ch(modes), "f": face.triangles.astype(np.uint32)}
    content |= {"J_regressor": joints, "posedirs": np.zeros((len(template), 3, 36)), "bs_style": "lbs"}
    with mock.patch.dict(sys.modules, {"chumpy": package, "chumpy.ch": module}):
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    corners = np.stack([(face.triangles == vertex).any(axis=1).argmax() for vertex in face.landmarks])
    weights = random.dirichlet([4.0, 1.0, 1.0], 68)
    first = (face.triangles[corners] == face.landmarks[:, None]).argmax(axis=1)
    weights = np.stack([np.roll(row, by) for row, by in zip(np.sort(weights)[:, ::-1], first, strict=True)])
    embedding = {
        "full_lmk_faces_idx": corners[None],
        "full_lmk_bary_coords": weights[None],
        "static_lmk_faces_idx": corners[17:],
        "static_lmk_bary_coords": weights[17:],
        "dynamic_lmk_faces_idx": torch.from_numpy(np.tile(corners[:17], (79, 1))),
        "dynamic_lmk_bary_coords": torch.from_numpy(np.tile(weights[:17], (79, 1, 1))),
    }
    np.save(folder / "landmark_embedding.npy", np.array(embedding, dtype=object), allow_pickle=True)


def write_flame2023(folder: Path) -> None:
    """`flame2023.pkl`, of the same form."""
    write_flame2020(folder, "flame2023.pkl")


def write_surrey(folder: Path) -> None:
    """What eos's folder `share` has of the Surrey model: shape, blendshapes, mapping of landmarks and contours."""
    import eos

    face, folder, kinds = sheet(), _made(folder), eos.morphablemodel
    basis = np.linalg.qr(face.basis(30, 5))[0].astype(np.float32)
    variance, mean = np.linspace(80, 20, 5, dtype=np.float32) ** 2, face.vertices.ravel().astype(np.float32)
    shape = kinds.PcaModel(mean, np.asfortranarray(basis), variance, face.triangles.tolist())
    kinds.save_model(kinds.MorphableModel(shape, kinds.PcaModel()), str(folder / "sfm_shape_3448.bin"))
    names = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
    fields = np.ascontiguousarray(face.basis(31, len(names)).T.astype(np.float32))
    shapes = [kinds.Blendshape(name, field) for name, field in zip(names, fields, strict=True)]
    kinds.save_blendshapes(shapes, str(folder / "expression_blendshapes_3448.bin"))
    open_marks = {*range(8), *range(9, 17), 60, 64}
    lines = [f"{mark + 1:2d} = {face.landmarks[mark]:5d}  # a mark" for mark in range(68) if mark not in open_marks]
    head = ["# Mapping from the 68-point ibug annotations", "", "# Mappings:", "[landmark_mappings]", "     # 1 to 8"]
    tail = ["", "[contour_landmarks]", "right = [  1,", "           2", "        ]"]
    (folder / "ibug_to_sfm.txt").write_text("\n".join([*head, *lines, *tail]) + "\n")
    sides = {"right_contour": face.landmarks[:8].tolist(), "left_contour": face.landmarks[16:8:-1].tolist()}
    (folder / "sfm_model_contours.json").write_text(json.dumps({"model_contour": sides}))


def write_ict(folder: Path, columns: int = 97, rows: int = 97) -> None:
    """ICT-FaceKit's OBJ files in centimeters: the face, 97 x 97 being the official 9,409, then other geometry."""
    face, folder = sheet(columns, rows), _made(folder)
    x, y = face.vertices[face.quads].mean(axis=1)[:, :2].T
    middle = face.vertices[face.quads][:, :, :2]
    eyes = (np.abs(np.abs(x) - 30) < 12) & (np.abs(middle[..., 1] - 25).min(axis=1) < 90 / rows) & (y < 25)
    mouth = (np.abs(x) < 22) & (np.abs(middle[..., 1] + 42).min(axis=1) < 90 / rows) & (y < -42)
    quads, others = face.quads[~eyes & ~mouth], face.vertices[:0]
    if len(face.vertices) == 9409:
        others = face.vertices[:9] - [0, 0, 50]
        quads = np.concatenate([quads, 9409 + np.array([[0, 1, 2, 3], [4, 5, 6, 7]])])

    def write(name: str, displacement: np.ndarray | float = 0.0) -> None:
        points = np.concatenate([face.vertices + displacement, others]) / 10
        lines = [f"v {a:.6f} {b:.6f} {c:.6f}" for a, b, c in points.tolist()] + ["usemtl M_Face"]
        lines += ["f " + " ".join(f"{corner}/{corner}" for corner in quad) for quad in (quads + 1).tolist()]
        (folder / f"{name}.obj").write_text("\n".join(lines) + "\n")

    write("generic_neutral_mesh")
    for mode, field in enumerate(face.basis(40, 3).T):
        write(f"identity{mode:03d}", field.reshape(-1, 3))
    expressions = ("browDown_L", "jawOpen")
    for name, field in zip((*expressions, "cheekRaiser_L"), face.basis(41, 3).T, strict=True):
        write(name, field.reshape(-1, 3))
    indices = {"expressions": expressions, "idx_to_landmark_verts": face.landmarks.tolist()}
    (folder / "vertex_indices.json").write_text(json.dumps(indices))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
