"""The Basel Face Models of 2009, 2017 and 2019, and the cut of the first that Deep3DFaceRecon uses.

Paysan et al., "A 3D face model for pose and illumination invariant face recognition", AVSS 2009; Gerig et al.,
"Morphable face models: an open framework", FG 2018. The expressions of the first are those of Guo et al., "CNN-based
real-time dense face reconstruction with inverse-rendered photo-realistic face images", TPAMI 2018. Axes are ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.official import Files, Landmarks, LinearModel, Official
from recface.files.guard import guarded
from recface.files.hdf5 import read_hdf5
from recface.files.matlab import read_matlab

MM_PER_MICROMETER, MM_PER_DECIMETER = 1e-3, 100.0
BASEL = "https://faces.dmi.unibas.ch/bfm"
NONCOMMERCIAL = "Basel Face Model: non-commercial research only, not to be passed on"


def read_2009(files: Files) -> LinearModel:
    """`01_MorphableModel.mat` in micrometers and what 3DDFA and Deep3DFaceRecon put beside it.

    As in Deep3DFaceRecon's `transferBFM09`, which leaves out the mean of `Exp_Pca.bin`, but with all modes and all
    vertices that have expressions (53,215 of 53,490).
    """
    shape = require(files.main, "shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")
    trimmed = read_matlab(files.find("model_info.mat", "BFM_exp_idx.mat"), "trimIndex", "keypoints")
    if "trimIndex" not in trimmed:
        raise RecfaceError(f"{files.folder}: no trimIndex in model_info.mat or BFM_exp_idx.mat; download it again")
    count = shape["shapeMU"].size // 3
    kept = counted(trimmed["trimIndex"], count, files.main)
    index = np.full(count, -1)
    index[kept] = np.arange(len(kept))
    triangles = index[counted(shape["tl"], count, files.main).reshape(shape["tl"].shape)]
    expression = read_expressions(files.find("Exp_Pca.bin"), len(kept))
    std_file = files.find("std_exp.txt")
    with guarded(std_file, "list of deviations", "download it again", 100_000):
        deviations = np.array(std_file.read_text().split(), np.float64)
        if len(deviations) != expression.shape[1] or not np.isfinite(deviations).all():
            raise ValueError(f"{len(deviations)} numbers for the {expression.shape[1]} modes of Exp_Pca.bin")
    if "keypoints" in trimmed:  # 3DDFA counts in the trimmed model
        marks = counted(trimmed["keypoints"], len(kept), files.main)
    elif files.has("facemodel_info.mat"):  # Deep3DFaceRecon counts in its cut of that
        front = require(files.find("BFM_front_idx.mat"), "idx")["idx"]
        keypoints = require(files.find("facemodel_info.mat"), "keypoints")["keypoints"]
        marks = counted(front, len(kept), files.main)[counted(keypoints, front.size, files.main)]
    else:
        marks = None
    texture = rows(shape["texMU"], kept)
    return LinearModel(
        mean=MM_PER_MICROMETER * rows(shape["shapeMU"], kept).reshape(-1, 3),
        triangles=triangles[(triangles >= 0).all(axis=1)],
        identity=MM_PER_MICROMETER * rows(shape["shapePC"], kept) * shape["shapeEV"].ravel(),
        expression=MM_PER_MICROMETER * expression * deviations,
        expression_sigma=np.ones(len(deviations)),
        landmarks=None if marks is None else Landmarks.at(marks),
        albedo=(texture.reshape(-1, 3) / 255, rows(shape["texPC"], kept) * shape["texEV"].ravel() / 255),
    )


def read_deep3d(files: Files) -> LinearModel:
    """`BFM_model_front.mat` in decimeters: 35,709 vertices, 80 shape, 64 expression and 80 texture modes."""
    fields = ("meanshape", "idBase", "exBase", "meantex", "texBase", "tri", "keypoints")
    found = require(files.main, *fields)
    mean, count = found["meanshape"].reshape(-1, 3), found["meanshape"].size // 3
    return LinearModel(
        mean=MM_PER_DECIMETER * mean,
        triangles=counted(found["tri"], count, files.main).reshape(-1, 3),
        identity=MM_PER_DECIMETER * found["idBase"],
        expression=MM_PER_DECIMETER * found["exBase"],
        expression_sigma=np.ones(found["exBase"].shape[1]),
        landmarks=Landmarks.at(counted(found["keypoints"], count, files.main)),
        albedo=(found["meantex"].reshape(-1, 3) / 255, found["texBase"] / 255),
    )


def read_statismo(files: Files) -> LinearModel:
    """The HDF5 files of 2017 and 2019, in mm: normal distributions of shape, expression and color over one mesh."""
    parts = ("mean", "pcaBasis", "pcaVariance")
    names = [f"{kind}/model/{part}" for kind in ("shape", "expression", "color") for part in parts]
    found = read_hdf5(files.main, *names, "shape/representer/cells")
    if missing := [name for name in (*names, "shape/representer/cells") if name not in found]:
        raise RecfaceError(f"{files.main}: lacks {missing[0]}, so it is not a Basel Face Model; {files.model.remedy}")
    bases = {}
    for kind in ("shape", "expression", "color"):
        mean, basis, variance = (found[f"{kind}/model/{part}"].astype(np.float64) for part in parts)
        bases[kind] = mean.reshape(-1, 3), basis * np.sqrt(variance.clip(0))
    cells = found["shape/representer/cells"]
    return LinearModel(
        mean=bases["shape"][0] + bases["expression"][0],
        triangles=cells.T if cells.shape[0] == 3 else cells,  # stored as columns
        identity=bases["shape"][1],
        expression=bases["expression"][1],
        expression_sigma=np.ones(bases["expression"][1].shape[1]),
        albedo=bases["color"],
    )


def read_expressions(path: Path, count: int) -> np.ndarray:
    """Expression modes (3V, E) of `Exp_Pca.bin`: an integer E, a mean of 3V floats, which Deep3D leaves out, E rows."""
    with guarded(path, "basis of expressions", "download Exp_Pca.bin again", 1_000_000_000):
        data = path.read_bytes()
        modes = int.from_bytes(data[:4], "little", signed=True)
        if not 0 < modes < 1000 or len(data) < 4 + 12 * count * (modes + 1):
            raise ValueError(f"{len(data):,} bytes for {modes} modes of {count:,} vertices: cut, or of another model")
        return np.frombuffer(data, "<f4", 3 * count * modes, 4 + 12 * count).reshape(modes, -1).T.astype(np.float64)


def require(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Arrays of a MAT file in float64, all of them."""
    found = read_matlab(path, *names)
    if missing := [name for name in names if name not in found]:
        raise RecfaceError(f"{path}: lacks {missing[0]}, so it is another file than its name says; download it again")
    return {name: array.astype(np.float64) for name, array in found.items()}


def counted(numbers: np.ndarray, count: int, path: Path) -> np.ndarray:
    """MATLAB's vertices, counted from 1 to `count`, as indices counted from 0."""
    numbers = np.ravel(numbers)
    if not (numbers.size and 1 <= numbers.min() <= numbers.max() <= count):
        raise RecfaceError(f"{path}: an index beside it leaves 1 to {count:,}; give the files of one model")
    return numbers.astype(np.int64) - 1


def rows(array: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The three rows of each kept vertex, of (3V, N)."""
    return array.reshape(-1, 3, array.shape[1])[kept].reshape(-1, array.shape[1])


BFM2009 = Official(
    name="bfm2009",
    main=("01_MorphableModel.mat",),
    beside=(
        *("Exp_Pca.bin", "std_exp.txt", "model_info.mat"),
        *("BFM_exp_idx.mat", "BFM_front_idx.mat", "facemodel_info.mat"),
    ),
    ask=f"{BASEL} (Exp_Pca.bin at github.com/Juyong/3DFace, the rest in github.com/microsoft/Deep3DFaceReconstruction)",
    source="Basel Face Model 2009 (Paysan et al., AVSS 2009), expressions of Guo et al., TPAMI 2018",
    licence=NONCOMMERCIAL,
    read=read_2009,
)
BFM2017 = Official(
    name="bfm2017",
    main=("model2017-1_face12_nomouth.h5", "model2017-1_bfm_nomouth.h5"),
    beside=(),
    ask=BASEL,
    source="Basel Face Model 2017 (Gerig et al., FG 2018)",
    licence=NONCOMMERCIAL,
    read=read_statismo,
)
BFM2019 = Official(
    name="bfm2019",
    main=("model2019_fullHead.h5", "model2019_face12.h5", "model2019_bfm.h5"),
    beside=(),
    ask=BASEL,
    source="Basel Face Model 2019 (Gerig et al., FG 2018, with full head)",
    licence=NONCOMMERCIAL,
    read=read_statismo,
)
DEEP3D = Official(
    name="deep3d",
    main=("BFM_model_front.mat",),
    beside=(),
    ask="github.com/sicxu/Deep3DFaceRecon_pytorch, which makes it of bfm2009's files",
    source="Basel Face Model 2009 as cut by Deng et al., CVPRW 2019, expressions of Guo et al., TPAMI 2018",
    licence=NONCOMMERCIAL,
    read=read_deep3d,
)
