"""The Surrey Face Model that comes with eos, in its smallest resolution.

Huber et al., "A multiresolution 3D morphable face model and fitting framework", VISAPP 2016. In mm
and our axes.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from recface.face_model.eos_format import read_eos, read_eos_blendshapes
from recface.face_model.official import Files, Landmarks, LinearModel, Official
from recface.files.guard import guarded
from recface.files.json_files import read_json

BLENDSHAPES, MAPPING, CONTOURS = "expression_blendshapes_3448.bin", "ibug_to_sfm.txt", "sfm_model_contours.json"
PAIR = re.compile(r"^\s*(\d+)(?:\s*=)?\s+(\d+)", re.MULTILINE)  # TOML since eos 1.0, before that a form without =
INNER_CORNERS = {60: 48, 64: 54}  # the mapping leaves these out; the outer corners of the mouth are the nearest


def read_surrey(files: Files) -> LinearModel:
    """`sfm_shape_3448.bin` and the expressions, landmarks and contours in eos's folder `share` beside it."""
    mean, basis, triangles = read_eos(files.main)
    names, blendshapes = read_eos_blendshapes(files.find(BLENDSHAPES))
    vertices = mean.reshape(-1, 3)
    marks = None if files.landmarks() else read_mapping(files.find(MAPPING), files.find(CONTOURS), vertices)
    return LinearModel(vertices, triangles, basis, blendshapes, None, marks, names)


def read_mapping(mapping: Path, contours: Path, mean: np.ndarray) -> Landmarks:
    """Landmarks of eos's two files; the jaw, which they leave open, lies evenly spaced on the contours. Ours."""
    with guarded(mapping, "landmark mapping of eos", "download it again", 1_000_000):
        text = re.split(r"^\[?landmark_?mappings", mapping.read_text(), flags=re.MULTILINE | re.IGNORECASE)[-1]
        rows = PAIR.findall(text.partition("contour_landmarks")[0])
        known = {int(mark) - 1: int(vertex) for mark, vertex in rows}
        known |= {inner: known[outer] for inner, outer in INNER_CORNERS.items() if inner not in known}
        chin = known[8]
        sides = read_json(contours)["model_contour"]
        for side, marks in (("right_contour", range(8)), ("left_contour", range(16, 8, -1))):
            line = mean[[*sides[side], chin]]
            along = np.r_[0, np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum()]
            places = np.linspace(0, along[-1], 9)[:8]
            nearest = np.abs(along[:, None] - places).argmin(axis=0)
            known |= {mark: [*sides[side], chin][row] for mark, row in zip(marks, nearest.tolist(), strict=True)}
        return Landmarks.at(np.array([known[mark] for mark in range(68)], np.int64))


SURREY = Official(
    name="surrey",
    main=("sfm_shape_3448.bin",),
    beside=(BLENDSHAPES, MAPPING, CONTOURS),
    ask="github.com/patrikhuber/eos (its folder share)",
    source="Surrey Face Model 3448 (Huber et al., VISAPP 2016)",
    licence="Surrey Face Model: non-commercial research only",
    read=read_surrey,
)
