"""Folders of scans as their authors give them: NoW, REALY, and MICC Florence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.files.guard import guarded
from recface.metrics.layouts.found import LARGEST_BYTES, first_found, listed_paths, only_file, table_of
from recface.metrics.protocols import BenchmarkProtocol, Truth
from recface.metrics.protocols.realy import REGIONS
from recface.metrics.protocols.scans import ScanProtocol
from recface.metrics.readers.match import parts_of

NOW_LISTS = ("imagepathsvalidation.txt", "imagepathstest.txt")
NOW_ASK = "NoW is asked for at now.is.tue.mpg.de (lists, scans and scans_lmks_onlypp are downloads of their own)"
REALY_ASK = "REALY is asked for at realy3dface.com; metrical_scale.txt is in its repository, czh-98/REALY"
MICC_ASK = "MICC Florence is asked for at micc.unifi.it"


def now_truth(path: Path, protocol: BenchmarkProtocol, ids: Sequence[str]) -> Truth:
    """NoW: `imagepathsvalidation.txt`, `scans/SUBJECT/*.obj` and `scans_lmks_onlypp/SUBJECT/*.pp`.

    Args:
        path: NoW's folder, or a list of its photos, such as the lines of one challenge, in it.
        protocol: Unused.
        ids: Unused.

    Returns:
        A row for each photo of the list; its id is SUBJECT/CHALLENGE/PHOTO.

    Raises:
        RecfaceError: A list, a scan or its landmarks are missing.
    """
    folder, lists = (path.parent, (path.name,)) if path.is_file() else (path, NOW_LISTS)
    bases = (".", "final_release_version", "NoW_Dataset", "NoW_Dataset/final_release_version")

    def find(*names: str) -> Path:
        return first_found(folder, names, NOW_ASK, bases)

    photos, scans, landmarks = find(*lists), find("scans"), find("scans_lmks_onlypp")
    rows: list[dict[str, object]] = []
    lines, files = [], dict[str, tuple[Path, Path]]()
    for line, parts in listed_paths(photos, "list of photos", NOW_ASK):
        if len(parts) < 3:
            raise RecfaceError(f"{photos}: line {line}: expected SUBJECT/CHALLENGE/PHOTO.jpg; {NOW_ASK}")
        subject = parts[-3]
        if subject not in files:
            scan = only_file(scans / subject, (".obj", ".ply"), NOW_ASK)
            files[subject] = scan, only_file(landmarks / subject, (".pp", ".npy"), NOW_ASK)
        scan, marks = files[subject]
        rows.append({"id": "/".join(parts_of("/".join(parts[-3:]))), "scan": str(scan), "landmarks": str(marks)})
        lines.append(line)
    return Truth(table_of(rows, lines), where=str(photos))


def realy_truth(path: Path, protocol: BenchmarkProtocol, ids: Sequence[str]) -> Truth:
    """REALY: `REALY_HIFI3D_keypoints/N.obj`, `REALY_scan_region/N/REGION.obj` and `metrical_scale.txt`.

    Args:
        path: REALY's folder, or the one that holds it as `data`.
        protocol: Unused.
        ids: Of the predictions: N, or N_VIEW.

    Returns:
        A row for each prediction, and one for each subject N that has none.

    Raises:
        RecfaceError: A file is missing, or a prediction is of no subject.
    """

    def find(name: str) -> Path:
        return first_found(path, (name,), REALY_ASK, (".", "data"))

    keypoints, regions, scale = find("REALY_HIFI3D_keypoints"), find("REALY_scan_region"), find("metrical_scale.txt")
    with guarded(scale, "list of scales", REALY_ASK, LARGEST_BYTES):
        scales = np.loadtxt(scale, np.float64, ndmin=1)
    subjects = {int(file.stem): file for file in keypoints.glob("*.obj") if file.stem.isdecimal()}
    if not subjects:
        raise RecfaceError(f"{keypoints}: no N.obj; {REALY_ASK}")
    if not 1 <= min(subjects) <= max(subjects) <= len(scales):
        raise RecfaceError(
            f"{scale}: {len(scales)} scales for subjects {min(subjects)} to {max(subjects)}; {REALY_ASK}"
        )
    number = {name: re.match(r"(\d+)(_|$)", parts_of(name)[-1]) for name in ids}
    of = {name: int(found[1]) for name, found in number.items() if found}
    if stray := [name for name in ids if of.get(name) not in subjects]:
        raise RecfaceError(f"prediction {stray[0]} is of no subject of {keypoints}; name them N.obj or N_VIEW.obj")
    of |= {str(subject): subject for subject in sorted(subjects) if subject not in of.values()}
    rows: list[dict[str, object]] = []
    for name, subject in of.items():
        files = {region: regions / str(subject) / f"{region}.obj" for region in REGIONS}
        if missing := [file for file in files.values() if not file.is_file()]:
            raise RecfaceError(f"{missing[0]}: no such file; {REALY_ASK}")
        places = {region: str(file) for region, file in files.items()}
        rows.append({"id": name, "keypoints": str(subjects[subject]), "scale": scales[subject - 1]} | places)
    return Truth(table_of(rows), where=str(path))


def micc_truth(path: Path, protocol: BenchmarkProtocol, ids: Sequence[str]) -> Truth:
    """MICC Florence: `subject_NN/Model/frontal1/obj/*.obj`; whose landmarks, which it lacks, lie beside each scan.

    Args:
        path: Its folder.
        protocol: Its landmarks are those that must be given: a file of the scan's name, `.pp` of MeshLab or `.csv`. A
            mask, if there is one, is `NAME_mask.npy` or `.txt`.
        ids: Of the predictions, which name subject_NN: a folder of theirs, or the beginning of their names.

    Returns:
        A row for each prediction, and one for each subject that has none.

    Raises:
        RecfaceError: A scan or its landmarks are missing, or a prediction is of no subject.
    """
    assert isinstance(protocol, ScanProtocol)
    first_found(path, ("",), MICC_ASK)
    subjects = sorted(file.name for file in path.glob("subject_*") if file.is_dir())
    if not subjects:
        raise RecfaceError(f"{path}: no subject_NN; {MICC_ASK}")
    number = {name: re.search(r"(?:^|/)(subject_\d+)(?![0-9])", name.replace("\\", "/")) for name in ids}
    of = {name: found[1] for name, found in number.items() if found}
    if stray := [name for name in ids if of.get(name) not in subjects]:
        raise RecfaceError(f"prediction {stray[0]} is of no subject of {path}; name them subject_NN/PHOTO")
    of |= {subject: subject for subject in subjects if subject not in of.values()}
    rows: list[dict[str, object]] = []
    for name, subject in of.items():
        scan = only_file(path / subject / "Model" / "frontal1" / "obj", (".obj",), MICC_ASK)
        marks = next((p for ending in (".pp", ".csv") if (p := scan.with_suffix(ending)).is_file()), None)
        if marks is None:
            needed = ", ".join(protocol.landmarks)
            raise RecfaceError(f"{scan}: no {scan.stem}.pp or .csv beside it: MICC has no landmarks, pick {needed}")
        masks = (scan.with_name(f"{scan.stem}_mask{ending}") for ending in (".npy", ".txt"))
        mask = next((str(file) for file in masks if file.is_file()), "")
        rows.append({"id": name, "scan": str(scan), "landmarks": str(marks), "mask": mask})
    return Truth(table_of(rows), where=str(path))
