"""FLAME at rest: jaw, neck and eyes do not turn, since shapes and expressions alone are linear.

Li et al., "Learning a model of facial shape and expression from 4D scans", TOG 2017. Meters; the axes are ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recface.errors import RecfaceError
from recface.face_model.official import Files, Landmarks, LinearModel, Official
from recface.files.pickles import read_pickle

MM_PER_METER = 1000.0
SHAPES = 300
"""The first columns of `shapedirs` are shape; the others, of which official files have 100, expression."""
EMBEDDING = "landmark_embedding.npy"


def read_flame(files: Files) -> LinearModel:
    """A pickle of Python 2 or 3 with chumpy arrays or plain ones, and the landmarks of `landmark_embedding.npy`."""
    found = read_pickle(files.main)
    template, modes, faces = (_array(files, found, name) for name in ("v_template", "shapedirs", "f"))
    if modes.ndim != 3 or modes.shape[2] <= SHAPES:
        raise ValueError(f"shapedirs {modes.shape}, expected {SHAPES} shapes and at least one expression")
    flat = MM_PER_METER * modes.reshape(-1, modes.shape[2]).astype(np.float64)
    triangles, landmarks = faces.astype(np.int64), None
    if files.has(EMBEDDING):
        embedding = read_pickle(files.find(EMBEDDING))
        corners = _array(files, embedding, "full_lmk_faces_idx").ravel()
        weights = _array(files, embedding, "full_lmk_bary_coords").reshape(68, 3).astype(np.float64)
        landmarks = Landmarks(triangles[corners], weights)
    return LinearModel(
        mean=MM_PER_METER * template.astype(np.float64),
        triangles=triangles,
        identity=flat[:, :SHAPES],
        expression=flat[:, SHAPES:],
        expression_sigma=np.ones(flat.shape[1] - SHAPES),
        landmarks=landmarks,
    )


def _array(files: Files, found: dict[str, Any], name: str) -> np.ndarray:
    if not isinstance(found.get(name), np.ndarray):
        raise RecfaceError(f"{files.main}: lacks {name}, in it or in {EMBEDDING} beside it; {files.model.remedy}")
    return np.asarray(found[name])


FLAME2020 = Official(
    name="flame2020",
    main=("generic_model.pkl",),
    beside=(EMBEDDING,),
    ask=f"https://flame.is.tue.mpg.de ({EMBEDDING} comes with DECA)",
    source="FLAME 2020 (Li et al., TOG 2017), without pose",
    licence="FLAME 2020: non-commercial research only",
    read=read_flame,
)
FLAME2023 = Official(
    name="flame2023",
    main=("flame2023.pkl", "flame2023_no_jaw.pkl", "flame2023_Open.pkl"),
    beside=(EMBEDDING,),
    ask=FLAME2020.ask,
    source="FLAME 2023 (Li et al., TOG 2017), without pose",
    licence="FLAME 2023: non-commercial research only; FLAME 2023 Open: CC-BY-4.0",
    read=read_flame,
)
