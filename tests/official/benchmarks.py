"""Official folders of benchmarks in miniature: heads are spheres, so that every distance is known."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

SEVEN = np.array(
    [[-1, 0, 0], [-0.3, 0.8, 0.5], [0.3, 0.8, 0.5], [1, 0, 0], [0, -0.6, 0.8], [-0.6, -0.7, 0.4], [0.6, -0.7, 0.4]]
)
SEVEN = SEVEN / np.linalg.norm(SEVEN, axis=1, keepdims=True)
"""NoW's seven landmarks on a sphere of radius 1; the outer eyes are so far apart that a crop holds the whole sphere."""
NOSE_TIP = np.array([[0.0, 0.0, 1.0]])
SUBJECTS = ("FaMoS_180424_03335_TA", "FaMoS_180425_03336_TA")
CHALLENGES = ("multiview_neutral", "selfie")
NAMED = (
    *("right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer"),
    *("nose_base", "right_mouth_corner", "left_mouth_corner", "nose_tip"),
)


def write_photo(path: Path, seed: int, size: int = 48) -> None:
    """A photo of nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(seed, size))


def jpeg(seed: int, size: int = 48) -> bytes:
    """A JPEG of smooth noise."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(small).resize((size, size)).save(stream, "JPEG")
    return stream.getvalue()


def write_mesh(path: Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    """An OBJ file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices.tolist()]
    path.write_text("\n".join((*lines, *(f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()), "")))


def write_picked(path: Path, points: np.ndarray, names: Sequence[str] | None = None) -> None:
    """MeshLab's picked points; NoW's reader takes lines 9 to 15."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        "<!DOCTYPE PickedPoints>",
        "<PickedPoints>",
        " <DocumentData>",
        '  <DateTime time="10:00" date="2018"/>',
    ]
    lines += [
        '  <User name="user"/>',
        '  <DataFileName name="a"/>',
        '  <templateName name=""/>',
        " </DocumentData>",
    ]
    for number, (x, y, z) in enumerate(points.tolist()):
        name = names[number] if names else number
        lines.append(f' <point y="{y:.6f}" z="{z:.6f}" active="1" name="{name}" x="{x:.6f}"/>')
    path.write_text("\n".join((*lines, "</PickedPoints>", "")))


def write_now(folder: Path, radii: Sequence[float] = (90.0, 80.0)) -> None:
    """NoW: a list, photos with the boxes of faces, a scan of each subject and its landmarks, in mm."""
    ball = trimesh.creation.icosphere(3)
    for subject, radius in zip(SUBJECTS, radii, strict=True):
        write_mesh(folder / "scans" / subject / "natural_head_rotation.000001.obj", radius * ball.vertices, ball.faces)
        marks = folder / "scans_lmks_onlypp" / subject / "natural_head_rotation.000001_picked_points.pp"
        write_picked(marks, radius * SEVEN)
    folders = enumerate(product(SUBJECTS, CHALLENGES))
    listed = [f"{subject}/{challenge}/IMG_00{number}.jpg" for number, (subject, challenge) in folders]
    (folder / "imagepathsvalidation.txt").write_text("\n".join(listed) + "\n")
    release = folder / "final_release_version"
    for seed, name in enumerate(listed):
        write_photo(release / "iphone_pictures" / name, seed, 96)
        box = release / "detected_face" / name.replace(".jpg", ".npy")
        box.parent.mkdir(parents=True, exist_ok=True)
        np.save(box, np.array({"left": 20, "top": 20, "right": 76, "bottom": 76}, dtype=object), allow_pickle=True)


def write_now_predictions(folder: Path, radius: float = 84.0, unit: float = 1.0) -> None:
    """Predictions as NoW's public code reads them: a sphere for each photo, in a unit of so many millimeters."""
    ball = trimesh.creation.icosphere(4)
    for number, (subject, challenge) in enumerate(product(SUBJECTS, CHALLENGES)):
        place = folder / subject / challenge / f"IMG_00{number}.obj"
        write_mesh(place, radius / unit * ball.vertices, ball.faces)
        if number % 2:  # either ending will do
            np.savetxt(place.with_suffix(".txt"), radius / unit * SEVEN)
        else:
            np.save(place.with_suffix(".npy"), radius / unit * SEVEN)


def keypoints_on(ball: trimesh.Trimesh) -> np.ndarray:
    """REALY's 85 keypoints as rows of a sphere's vertices."""
    return np.random.default_rng(0).permutation(162)[:85]  # which every finer sphere has, too


def write_realy(folder: Path, below: Sequence[float] = (0.0, 0.1, 0.2, 0.3)) -> None:
    """REALY: of two subjects 85 keypoints and four regions, which are spheres below that of the keypoints."""
    ball, coarse = trimesh.creation.icosphere(3), trimesh.creation.icosphere(2)
    (folder / "REALY_HIFI3D_keypoints").mkdir(parents=True, exist_ok=True)
    for subject in (1, 2):
        points = 10.0 * ball.vertices[keypoints_on(ball)]
        write_mesh(folder / "REALY_HIFI3D_keypoints" / f"{subject}.obj", points, np.empty((0, 3), int))
        for region, height in zip(("nose", "mouth", "forehead", "cheek"), below, strict=True):
            path = folder / "REALY_scan_region" / str(subject) / f"{region}.obj"
            write_mesh(path, (10.0 - height) * coarse.vertices, coarse.faces)
    np.savetxt(folder / "metrical_scale.txt", np.linspace(8.0, 9.98, 100))


def write_realy_predictions(folder: Path, names: Sequence[str] = ("1", "2")) -> None:
    """Meshes of one topology, `NAME.obj`, and beside their folder the topology's keypoints `template.txt`."""
    ball = trimesh.creation.icosphere(4)
    for name in names:
        write_mesh(folder / "meshes" / f"{name}.obj", 100.0 * ball.vertices, ball.faces)
    write_mesh(folder / "template.obj", 100.0 * ball.vertices, ball.faces)
    rows = []
    for vertex in keypoints_on(ball).tolist():
        triangle, corner = np.argwhere(ball.faces == vertex)[0].tolist()
        rows.append([triangle, float(corner == 0), float(corner == 1)])
    (folder / "template.txt").write_text(json.dumps(rows))


def write_micc(folder: Path, radii: Sequence[float] = (60.0, 50.0)) -> None:
    """MICC Florence: a frontal scan of each subject, with landmarks picked beside it, and a file of video."""
    ball = trimesh.creation.icosphere(3)
    for number, radius in enumerate(radii, 1):
        scan = folder / f"subject_{number:02d}" / "Model" / "frontal1" / "obj" / f"11092015045{number}.obj"
        axes = radius * np.array([0.8, 1.0, 0.9])
        write_mesh(scan, axes * ball.vertices, ball.faces)
        order = np.random.default_rng(number).permutation(8)  # they are known by their names
        marks = axes * np.concatenate([SEVEN, NOSE_TIP])
        write_picked(scan.with_suffix(".pp"), marks[order], [NAMED[row] for row in order])
        (folder / f"subject_{number:02d}" / "Video").mkdir()
        (folder / f"subject_{number:02d}" / "Video" / "Indoor-Cooperative.mjpg").write_bytes(jpeg(number))


def write_lfw(folder: Path) -> None:
    """LFW: photos of four people a fold, and its lists in full length, which repeat the few pairs that there are."""
    people = [[f"Person_{chr(97 + fold)}_{number}" for number in range(4)] for fold in range(10)]
    for seed, name in enumerate(name for names in people for name in names):
        for number in range(1, 5):
            write_photo(folder / "lfw" / name / f"{name}_{number:04d}.jpg", 10 * seed + number)

    def pairs(names: list[str], count: int) -> list[str]:
        same = [f"{name}\t{a}\t{b}" for name in names for a, b in combinations(range(1, 5), 2)]
        other = [f"{a}\t{i}\t{b}\t{j}" for a, b in combinations(names, 2) for i, j in product(range(1, 5), repeat=2)]
        return [few[row % len(few)] for few in (same, other) for row in range(count)]

    def listed(names: list[str]) -> list[str]:
        return [str(len(names)), *(f"{name}\t4" for name in names)]

    lists = {
        "pairs.txt": ["10\t300", *(line for names in people for line in pairs(names, 300))],
        "people.txt": ["10", *(line for names in people for line in listed(names))],
        "pairsDevTrain.txt": ["1100", *pairs(people[0], 1100)],
        "pairsDevTest.txt": ["500", *pairs(people[1], 500)],
        "peopleDevTrain.txt": listed(people[0]),
        "peopleDevTest.txt": listed(people[1]),
    }
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n")


def write_bin(path: Path, pairs: int = 40) -> None:
    """A verification file of InsightFace: encoded photos of 112 pixels, two a pair, and whether they are one person."""
    path.parent.mkdir(parents=True, exist_ok=True)
    same = [row % 2 == 0 for row in range(pairs)]
    photos = [jpeg(row if same[row // 2] else 100 + row, 112) for row in range(2 * pairs)]
    path.write_bytes(pickle.dumps((photos, same), protocol=pickle.HIGHEST_PROTOCOL))


def write_aflw2000(folder: Path, count: int = 24) -> None:
    """AFLW2000-3D as 3DDFA has it: photos with their list, and arrays of yaw and points in its order."""
    random = np.random.default_rng(0)
    names = [f"image{2 * row:05d}.jpg" for row in range(1, count + 1)]
    for seed, name in enumerate(names):
        write_photo(folder / "test.data" / "AFLW2000-3D_crop" / name, seed)
    (folder / "test.data" / "AFLW2000-3D_crop.list").write_text("\n".join(names) + "\n")
    configs = folder / "test.configs"
    configs.mkdir(parents=True, exist_ok=True)
    yaw = random.uniform(-90, 90, count).astype(np.float32)
    yaw[:6] = (30, -60, 95, -351.23, 61, 10)
    points = random.uniform(100, 350, (count, 3, 68)).astype(np.float32)
    visible = random.random((count, 1, 21)) < 0.8
    visible[:, :, 0] = True
    few = np.where(visible, random.uniform(100, 350, (count, 2, 21)), -1)
    arrays = {
        "AFLW2000-3D.pose": yaw,
        "AFLW2000-3D-new.pose": np.minimum(np.abs(yaw), 114.14) * 0.9,
        "AFLW2000-3D.pts68": points,
        "AFLW2000-3D-Reannotated.pts68": points[:, :2] + random.normal(size=(count, 2, 68)).astype(np.float32),
        "AFLW2000-3D.pts21": few.astype(np.float32),
        "AFLW2000-3D_crop.roi_box": np.tile(np.array([80.0, 80, 370, 370], np.float32), (count, 1)),
    }
    for name, array in arrays.items():
        np.save(configs / f"{name}.npy", array)
