"""Datasets in miniature, in their official layouts: a few drawn faces each, the same every time."""

from __future__ import annotations

import csv
import io
import pickle
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.io import savemat

from recface.data.framing import five_of
from recface.face_model.model import FLIP68
from recface.files.meshes import obj_text
from recface.prepare.identities import arcface_points
from recface.prepare.preparation import canonical_points

MAGIC = 0xCED7230A


def face_marks(size: int, seed: int, fill: float = 0.6) -> np.ndarray:
    """68 landmarks (68, 2) in pixels of a face that fills a part of a square photo, turned a little by the seed."""
    rng = np.random.default_rng(seed)
    turn = np.exp(1j * rng.uniform(-0.15, 0.15)) * fill * rng.uniform(0.9, 1.0)
    points = canonical_points() + rng.normal(0, 0.01, (68, 2))
    moved = turn * (points[:, 0] + 1j * points[:, 1]) + complex(*rng.uniform(-0.04, 0.04, 2))
    return np.stack([1 + moved.real, 1 - moved.imag], axis=1) * size / 2


def draw_face(marks: np.ndarray, size: tuple[int, int], seed: int) -> Image.Image:
    """A photo on which every landmark is a disk of its own color, on a background of soft stripes of the seed's."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[1], : size[0]] / max(size)
    waves = [np.sin(rng.uniform(3, 12) * rows + rng.uniform(3, 12) * columns + rng.uniform(0, 6)) for _ in range(3)]
    photo = Image.fromarray((110 + 50 * np.stack(waves, axis=-1)).astype(np.uint8))
    pen = ImageDraw.Draw(photo)
    pen.polygon([tuple(point) for point in marks[:17]] + [tuple(p) for p in marks[26:16:-1]], fill=(200, 160, 140))
    radius = max(1.0, np.ptp(marks[:, 0]) / 60)
    for number, (x, y) in enumerate(marks):
        color = (40 + 3 * number, 230 - 3 * number, 90 + (number % 7) * 20)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    return photo


def write_photo(path: Path, size: int = 250, seed: int = 0, fill: float = 0.6) -> np.ndarray:
    """Draw a photo into a file of any format and return its landmarks."""
    marks = face_marks(size, seed, fill)
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_face(marks, (size, size), seed).save(path, quality=92)
    return marks


def aligned_jpeg(seed: int) -> bytes:
    """A crop of 112 pixels by ArcFace's template, as an image file."""
    marks = face_marks(112, seed, 0.9)
    five, target = five_of(marks), arcface_points(112)
    source, goal = (points[:, 0] - 1j * points[:, 1] for points in (five, target))
    a, b = np.polyfit(source, goal, 1)
    z = a * (marks[:, 0] - 1j * marks[:, 1]) + b
    stream = io.BytesIO()
    draw_face(np.stack([z.real, -z.imag], axis=1), (112, 112), seed).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def write_vggface2(folder: Path, people: int = 3, each: int = 2) -> None:
    """Training people n000002 on and a test person n000001, with five points, list files and the table of people."""
    meta = [("Class_ID", " Name", " Sample_Num", " Flag", " Gender")]
    for split, first, count in (("train", 2, people), ("test", 1, 1)):
        rows, names = [], []
        for person in range(first, first + count):
            meta.append((f"n{person:06d}", f' "Person_{person}"', f" {each}", f" {int(split == 'train')}", " f"))
            for number in range(each):
                name = f"n{person:06d}/{number + 1:04d}_01"
                marks = write_photo(folder / split / f"{name}.jpg", 250, 100 * person + number)
                rows.append((f'"{name}"', *(f"{value:.3f}" for value in (five_of(marks) - 0.5).ravel())))
                names.append(f"{name}.jpg")
        table = folder / "bb_landmark" / f"loose_landmark_{split}.csv"
        table.parent.mkdir(exist_ok=True)
        head = ",".join(("NAME_ID", *(f"P{number}{axis}" for number in range(1, 6) for axis in "XY")))
        table.write_text("\n".join((head, *(",".join(row) for row in rows), "")))
        (folder / f"{split}_list.txt").write_text("\n".join((*names, "")))
    (folder / "identity_meta.csv").write_text("\n".join((*(",".join(row) for row in meta), "")))


def write_casia_webface(folder: Path, people: int = 2, each: int = 2) -> None:
    """Crops of 112 pixels, a folder a person."""
    for person in range(people):
        for number in range(each):
            path = folder / f"{person:07d}" / f"{number + 1:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(aligned_jpeg(200 + 10 * person + number))


def record(labels: Sequence[float], image: bytes, number: int, several: bool = False) -> bytes:
    """One record of RecordIO: magic, length, header, labels, image, and zeros up to a multiple of four bytes."""
    flag = len(labels) if several else 0
    head = struct.pack("<IfQQ", flag, 0.0 if several else labels[0], number, 0)
    body = head + (np.asarray(labels, "<f4").tobytes() if several else b"") + image
    return struct.pack("<II", MAGIC, len(body)) + body + b"\0" * (-len(body) % 4)


def write_insightface(folder: Path, people: int = 3, each: int = 2) -> None:
    """train.rec with its index, property and train.lst: record 0 tells where the photos end and the people begin."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = [(person, aligned_jpeg(300 + 10 * person + number)) for person in range(people) for number in range(each)]
    end = 1 + len(photos)
    records = [record((end, end + people), b"", 0, several=True)]
    records += [record((person,), image, 1 + number, several=False) for number, (person, image) in enumerate(photos)]
    records += [record((1 + p * each, 1 + (p + 1) * each), b"", end + p, several=True) for p in range(people)]
    places = np.cumsum([0, *map(len, records)])
    (folder / "train.rec").write_bytes(b"".join(records))
    (folder / "train.idx").write_text("".join(f"{number}\t{places[number]}\n" for number in range(len(records))))
    (folder / "property").write_text(f"{people},112,112")
    names = [f"/data/aligned/{p:07d}/{n:03d}.jpg" for n, (p, _) in enumerate(photos)]
    lines = [f"1\t{name}\t{person}\n" for name, (person, _) in zip(names, photos, strict=True)]
    (folder / "train.lst").write_text("".join(lines))


def write_300w_lp(folder: Path, each: int = 2) -> None:
    """AFW and HELEN and their flipped twins; landmarks with and without depth, of which the outlines differ."""
    for part, first in (("AFW", 400), ("HELEN", 420)):
        for number in range(each):
            name = f"{part}_{first}_{number}"
            path = folder / part / f"{name}.jpg"
            marks = write_photo(path, 450, first + number)
            pose = np.array([[0.05, 0.3 * number, -0.02, 200, 220, -50, 1e-3]])
            flat = marks.copy()
            flat[:17, 0] += 2  # the outline that is seen
            twin = folder / f"{part}_Flip" / f"{name}.jpg"
            twin.parent.mkdir(exist_ok=True)
            Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(twin, quality=92)
            for photo, points in ((path, flat), (twin, (flat * [-1, 1] + [450, 0])[FLIP68])):
                box = [*points.min(0), *points.max(0)]
                sign = 1 if photo == path else np.array([[1, -1, -1, 1, 1, 1, 1]])
                labels = {"pt2d": points.T + 0.5, "roi": np.array([box]) + 0.5, "Pose_Para": pose * sign}
                savemat(photo.with_suffix(".mat"), labels)
            deep = folder / "landmarks" / part / f"{name}_pts.mat"
            deep.parent.mkdir(parents=True, exist_ok=True)
            savemat(deep, {"pts_2d": flat + 0.5, "pts_3d": marks + 0.5})


def write_aflw2000(folder: Path, count: int = 3) -> None:
    """Photos with the fitted face's landmarks, AFLW's 21, the box and the pose."""
    for number in range(count):
        path = folder / f"image{number + 2:05d}.jpg"
        marks = write_photo(path, 450, 500 + number)
        deep = np.concatenate([marks.T + 0.5, np.zeros((1, 68))])
        pose = np.array([[0.0, -0.7 * number, 0.1, 1, 1, 1, 1]])
        box = np.array([[*marks.min(0), *marks.max(0)]]) + 0.5
        savemat(path.with_suffix(".mat"), {"pt3d_68": deep, "pt2d": marks[:21].T, "roi": box, "Pose_Para": pose})


def write_lfw(folder: Path) -> None:
    """Four people with two photos each; ten folds of two pairs of one person and two of different people."""
    names = [f"Some_Name{letter}" for letter in "ABCD"]
    for person, name in enumerate(names):
        for number in (1, 2):
            write_photo(folder / "lfw" / name / f"{name}_{number:04d}.jpg", 250, 600 + 10 * person + number, 0.45)
    lines = ["10\t2"]
    for fold in range(10):
        lines += [f"{names[(fold + k) % 4]}\t1\t2" for k in range(2)]
        lines += [f"{names[(fold + k) % 4]}\t1\t{names[(fold + k + 1) % 4]}\t2" for k in range(2)]
    (folder / "pairs.txt").write_text("\n".join((*lines, "")))
    (folder / "people.txt").write_text("\n".join(("1", "4", *(f"{name}\t2" for name in names), "")))


def write_bin(path: Path, pairs: int = 10, seed: int = 700) -> None:
    """InsightFace's verification set: image files two a pair, and whether a pair is of one person."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photos = [aligned_jpeg(seed + number) for number in range(2 * pairs)]
    path.write_bytes(pickle.dumps((photos, [number % 2 == 0 for number in range(pairs)]), protocol=4))


def write_cfp_fp(folder: Path, people: int = 2) -> None:
    """The official folder: frontal and profile photos, lists of both, and ten splits."""
    lists: dict[str, list[str]] = {"F": [], "P": []}
    for person in range(1, people + 1):
        for view, letter in (("frontal", "F"), ("profile", "P")):
            for number in (1, 2):
                place = f"Data/Images/{person:03d}/{view}/{number:02d}.jpg"
                write_photo(folder / place, 200, 800 + 10 * person + number + 5 * (letter == "P"))
                lists[letter].append(f"../{place}")
    for letter, names in lists.items():
        path = folder / "Protocol" / f"Pair_list_{letter}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{number + 1} {name}\n" for number, name in enumerate(names)))
    for fold in range(1, 11):
        place = folder / "Protocol" / "Split" / "FP" / f"{fold:02d}"
        place.mkdir(parents=True)
        (place / "same.txt").write_text("1,1\n3,3\n")
        (place / "diff.txt").write_text("1,3\n3,1\n")


def write_agedb_30(folder: Path) -> None:
    """AgeDB's own photos, of which the names tell person, age and sex."""
    for number, (name, age) in enumerate((("SomeoneA", 20), ("SomeoneA", 60), ("SomeoneB", 35))):
        write_photo(folder / f"{number}_{name}_{age}_f.jpg", 180, 900 + number)


def write_ytf(folder: Path) -> None:
    """Frames of two videos of two people, with the boxes of the faces."""
    for person in ("Some_One", "Some_Two"):
        rows = []
        for video in (0, 1):
            for frame in (1, 2):
                name = f"{person}/{video}/{video}.{frame}.jpg"
                seed = 1000 + 100 * (person == "Some_Two") + 10 * video + frame
                marks = write_photo(folder / "frame_images_DB" / name, 240, seed)
                (x, y), (width, height) = (marks.min(0) + marks.max(0)) / 2, np.ptp(marks, axis=0)
                backward = name.replace("/", "\\")
                rows.append(f"{backward},0,{x:.0f},{y:.0f},{width:.0f},{height:.0f},0.0,1\n")
        (folder / "frame_images_DB" / f"{person}.labeled_faces.txt").write_text("".join(rows))


def write_now(folder: Path) -> None:
    """Photos of two people and two challenges, one of them in each list."""
    for split, person in (("validation", "FaMoS_180424_03335_TA"), ("test", "FaMoS_180426_03336_TA")):
        names = [
            f"{person}/{challenge}/IMG_000{n}.jpg" for challenge in ("multiview_neutral", "selfie") for n in (1, 2)
        ]
        for number, name in enumerate(names):
            place = folder / "NoW_Dataset" / "final_release_version" / "iphone_pictures" / name
            write_photo(place, 300, 1200 + number + 20 * (split == "test"))
        (folder / f"imagepaths{split}.txt").write_text("\n".join((*names, "")))


def write_realy(folder: Path) -> None:
    """The crops of two scans' photos."""
    for number in (1, 2):
        write_photo(folder / "REALY_image" / "crop_image_frontal_512x512" / f"{number}.jpg", 256, 1300 + number)


def write_bosphorus(folder: Path) -> None:
    """A neutral and a smiling photo of two people."""
    for person in (0, 1):
        for number, kind in enumerate(("N_N_0", "E_HAPPY_0")):
            write_photo(folder / f"bs{person:03d}" / f"bs{person:03d}_{kind}.png", 200, 1400 + 10 * person + number)


def write_facewarehouse(folder: Path, people: int = 2) -> None:
    """Meshes of one topology in units of 100 mm."""
    for person in range(1, people + 1):
        for pose in (0, 1):
            _write_mesh(folder / f"Tester_{person}" / "TrainingPose" / f"pose_{pose}.obj", 0.01, person, pose)


def write_facescape(folder: Path, people: int = 2) -> None:
    """Meshes of one topology in millimeters."""
    for person in range(1, people + 1):
        for pose, name in enumerate(("1_neutral", "2_smile")):
            _write_mesh(folder / str(person) / "models_reg" / f"{name}.obj", 1.0, person, pose)


def _write_mesh(path: Path, unit: float, person: int, pose: int) -> None:
    """A curved sheet of 180 mm; `unit` is the length of a millimeter."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-90, 90, 7), np.linspace(-90, 90, 7)))
    points = np.stack([x, y + pose, (30 + person) * np.cos(x / 60) * np.cos(y / 60)], axis=1)
    corner = (np.arange(6)[:, None] * 7 + np.arange(6)).ravel()
    triangles = np.concatenate([np.stack([corner + k for k in half], 1) for half in ((0, 1, 8), (0, 8, 7))])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(obj_text(unit * points, triangles))


def write_folder(folder: Path) -> None:
    """Photos without any label but the folder that each lies in."""
    for person in ("a", "b"):
        write_photo(folder / person / "1.png", 200, 1500 + ord(person))


def write_manifest(folder: Path, count: int = 4) -> None:
    """A table with 68 landmarks, people and splits; the last photo is framed and has no landmarks."""
    rows = []
    for number in range(count):
        marks = write_photo(folder / "images" / f"{number}.png", 200, 1600 + number)
        cells = {f"{axis}{k + 1}": f"{marks[k]['xy'.index(axis)]:.2f}" for k in range(68) for axis in "xy"}
        last = number == count - 1
        row = {"file": f"{number}.png", "identity": "ab"[number % 2], "split": "train", "framed": str(last).lower()}
        rows.append(row | ({} if last else cells))
    with (folder / "faces.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_all(folder: Path) -> None:
    """Every dataset, in a folder that is named as the command names it."""
    for name, write in WRITERS.items():
        write(folder / name)


def write_bins(folder: Path) -> None:
    """Two verification sets."""
    write_bin(folder / "lfw.bin")
    write_bin(folder / "agedb_30.bin", seed=750)


WRITERS = {
    "vggface2": write_vggface2,
    "300w_lp": write_300w_lp,
    "insightface": write_insightface,
    "folder": write_folder,
    "manifest": write_manifest,
    "casia_webface": write_casia_webface,
    "lfw": write_lfw,
    "aflw2000": write_aflw2000,
    "cfp_fp": write_cfp_fp,
    "agedb_30": write_agedb_30,
    "bin": write_bins,
    "ytf": write_ytf,
    "now": write_now,
    "realy": write_realy,
    "bosphorus": write_bosphorus,
    "facewarehouse": write_facewarehouse,
    "facescape": write_facescape,
}
"""Writers by the names of `recface prepare`."""
