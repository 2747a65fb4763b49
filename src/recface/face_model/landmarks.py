"""The 68-point landmark scheme (iBUG 300-W) that every face model here carries."""

import numpy as np

# Sagonas et al., "300 Faces in-the-Wild Challenge", ICCVW 2013, figure 1. "Left" in an image is the subject's right.
GROUPS: dict[str, range] = {
    "jaw": range(0, 17),
    "right_brow": range(17, 22),
    "left_brow": range(22, 27),
    "nose_bridge": range(27, 31),
    "nostrils": range(31, 36),
    "right_eye": range(36, 42),
    "left_eye": range(42, 48),
    "outer_lip": range(48, 60),
    "inner_lip": range(60, 68),
}

# FLIP68[i] is the landmark on which landmark i falls when the face is mirrored left to right.
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
