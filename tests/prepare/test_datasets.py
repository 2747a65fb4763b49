"""Every official layout, in miniature: what comes out of it, and what is said of a folder that is not one."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.conftest import ROOT
from tests.official import datasets as official

from recface.data.framing import five_of
from recface.data.store import PhotoStore
from recface.errors import RecfaceError
from recface.prepare import preparation
from recface.prepare.catalog import DATASETS
from recface.prepare.dataset import require_layout, within
from recface.prepare.preparation import canonical_points, prepare

PEOPLE = {
    "vggface2": {"n000001", "n000002", "n000003", "n000004"},
    "casia_webface": {"0000000", "0000001"},
    "insightface": {"0", "1", "2"},
    "300w_lp": set(),
    "aflw2000": set(),
    "lfw": {"Some_NameA", "Some_NameB", "Some_NameC", "Some_NameD"},
    "cfp_fp": {"001", "002"},
    "agedb_30": {"SomeoneA", "SomeoneB"},
    "bin": set(),
    "ytf": {"Some_One", "Some_Two"},
    "now": {"FaMoS_180424_03335_TA", "FaMoS_180426_03336_TA"},
    "realy": {"1", "2"},
    "bosphorus": {"bs000", "bs001"},
    "folder": {"a", "b"},
    "manifest": {"a", "b"},
}
COUNTS = {"vggface2": 8, "casia_webface": 4, "insightface": 6, "300w_lp": 8, "aflw2000": 3, "lfw": 8, "cfp_fp": 8}
COUNTS |= {"agedb_30": 3, "bin": 40, "ytf": 8, "now": 8, "realy": 2, "bosphorus": 4, "folder": 2, "manifest": 4}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    official.write_all(folder)
    return folder


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    """Finds the drawn face near the middle of each photo."""

    def found(image: Image.Image) -> np.ndarray:
        points = 0.57 * five_of(canonical_points())
        return (np.stack([1 + points[:, 0], 1 - points[:, 1]], axis=1)) * image.width / 2

    monkeypatch.setattr(preparation, "face_points", found)


def store_of(name, raw, tmp_path, **options) -> PhotoStore:
    return PhotoStore(prepare(name, raw / name, tmp_path / name, 64, **options).parent)


def test_there_is_a_miniature_of_every_dataset():
    assert set(official.WRITERS) == set(DATASETS) == {*PEOPLE, "facewarehouse", "facescape"}


@pytest.mark.parametrize("name", PEOPLE)
def test_a_dataset_becomes_a_store(name, raw, tmp_path):
    store = store_of(name, raw, tmp_path)
    assert set(store.people) == PEOPLE[name] and len(store) == COUNTS[name]
    assert store.size == 64 and store.header.license == DATASETS[name].license
    assert (store.folder / "sheet.png").is_file() and not (store.folder / ".parts").exists()
    marked = {"300w_lp": 8, "aflw2000": 3, "manifest": 3}
    assert store.has_landmarks.sum() == marked.get(name, 0)
    if name == "vggface2":
        assert store.splits == ["test", "train"]
        train = {store.photo(row).identity for row in range(8) if store.photo(row).split == "train"}
        assert train == PEOPLE[name] - {"n000001"}
    elif name == "now":
        assert store.splits == ["test", "validation"]
        assert {store.photo(row).extra["challenge"] for row in range(8)} == {"multiview_neutral", "selfie"}


@pytest.mark.parametrize("name", ["300w_lp", "aflw2000", "manifest"])
def test_landmarks_lie_on_what_was_drawn_there(name, raw, tmp_path):
    store = PhotoStore(prepare(name, raw / name, tmp_path / name, 224).parent)
    rows = np.flatnonzero(store.has_landmarks)
    number = np.arange(68)
    drawn = np.stack([40 + 3 * number, 230 - 3 * number, 90 + (number % 7) * 20], axis=1)
    for image, marks, file in zip(store.images(rows), store.landmarks(rows), store.files(rows), strict=True):
        color = drawn[official.FLIP68] if "_Flip" in file else drawn  # the twin shows the other side's disks
        column, line = ((1 + marks[:, 0]) * 112).astype(int), ((1 - marks[:, 1]) * 112).astype(int)
        apart = np.abs(image[:, line, column].T - color.astype(float)).mean(axis=1)
        assert np.median(apart) < 20 and (apart < 45).mean() > 0.85, file


def test_faces_by_five_points_lie_in_the_framing(raw, tmp_path):
    """The disks of the tip of the nose, 30, and of the corners of the mouth are where the mean face has them."""
    for name in ("vggface2", "insightface", "bin"):
        store = PhotoStore(prepare(name, raw / name, tmp_path / name, 224).parent)
        for image in store.images(np.arange(min(4, len(store)))):
            for number in (30, 48, 54):
                x, y = canonical_points()[number]
                column, line = round((1 + x) * 112), round((1 - y) * 112)
                patch = image[:, line - 6 : line + 7, column - 6 : column + 7].reshape(3, -1).T
                color = np.array([40 + 3 * number, 230 - 3 * number, 90 + (number % 7) * 20])
                assert np.abs(patch - color).mean(axis=1).min() < 25, (name, number)


def test_300w_lp_tells_pose_and_kind_and_falls_back(raw, tmp_path):
    folder = tmp_path / "300w_lp"
    shutil.copytree(raw / "300w_lp", folder)
    shutil.rmtree(folder / "landmarks" / "HELEN")
    store = store_of("300w_lp", tmp_path, tmp_path / "out")
    kinds = {store.photo(row).file.split("/")[0]: store.photo(row).extra for row in range(8)}
    assert kinds["AFW_Flip"]["landmarks"] == "pts_3d" and kinds["HELEN"]["landmarks"] == "pt2d"
    assert float(kinds["AFW"]["yaw"]) == pytest.approx(np.degrees(0.3), abs=1e-3)
    assert float(kinds["AFW_Flip"]["yaw"]) == pytest.approx(-np.degrees(0.3), abs=1e-3)


def test_aflw2000_without_landmarks_is_cropped_by_its_box(raw, tmp_path):
    from scipy.io import loadmat, savemat

    shutil.copytree(raw / "aflw2000", tmp_path / "aflw2000")
    for path in (tmp_path / "aflw2000").glob("*.mat"):
        found = loadmat(path)
        savemat(path, {"roi": found["roi"], "Pose_Para": found["Pose_Para"]})
    store = store_of("aflw2000", tmp_path, tmp_path / "out")
    assert len(store) == 3 and not store.has_landmarks.any()


def test_matlab_files_of_version_7_3_are_named(raw, tmp_path):
    shutil.copytree(raw / "aflw2000", tmp_path / "aflw2000")
    for path in (tmp_path / "aflw2000").glob("*.mat"):
        path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(RecfaceError, match=r"none of 3 photos can be used: .*image00002.mat: MAT version 7.3"):
        store_of("aflw2000", tmp_path, tmp_path / "out")


@pytest.mark.parametrize(("name", "count"), [("lfw", 40), ("cfp_fp", 40), ("bin", 20)])
def test_verification_lists_name_photos_of_the_store(name, count, raw, tmp_path):
    store = store_of(name, raw, tmp_path)
    pairs = pd.read_csv(store.folder / "pairs.csv")
    assert len(pairs) == count and set(pairs["fold"]) == set(range(10)) and set(pairs["same"]) == {0, 1}
    files = set(store.files(np.arange(len(store))))
    assert set(pairs["first"]) | set(pairs["second"]) <= files
    if name != "bin":
        person = dict(zip(store.files(np.arange(len(store))), store.identity, strict=True))
        same = pairs["first"].map(person) == pairs["second"].map(person)
        assert (same == pairs["same"].astype(bool)).all()


def test_named_verification_sets_take_insightface_s_file(tmp_path):
    official.write_bin(tmp_path / "raw" / "agedb_30.bin", pairs=10)
    official.write_bin(tmp_path / "raw" / "cfp_fp.bin", pairs=10, seed=40)
    for name in ("agedb_30", "cfp_fp"):
        store = PhotoStore(prepare(name, tmp_path / "raw", tmp_path / name, 32).parent)
        assert len(store) == 20 and all(file.startswith(f"{name}/") for file in store.files(np.arange(20)))
        assert len(pd.read_csv(tmp_path / name / "pairs.csv")) == 10


def test_insightface_s_list_does_without_records(raw, tmp_path):
    folder = tmp_path / "insightface"
    for person, number, seed in ((0, 0, 300), (0, 1, 301), (1, 2, 310), (1, 3, 311), (2, 4, 320), (2, 5, 321)):
        path = folder / f"{person:07d}" / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(official.aligned_jpeg(seed))
    shutil.copy(raw / "insightface" / "train.lst", folder)
    listed = store_of("insightface", tmp_path, tmp_path / "listed")
    records = store_of("insightface", raw, tmp_path / "records")
    rows = np.arange(6)
    np.testing.assert_array_equal(listed.images(rows), records.images(rows))
    assert [listed.people[k] for k in listed.identity] == [records.people[k] for k in records.identity]


@pytest.mark.parametrize(
    ("name", "expressions"), [("facewarehouse", {"pose_0", "pose_1"}), ("facescape", {"neutral", "smile"})]
)
def test_meshes_become_a_folder_of_scans_in_millimeters(name, expressions, raw, tmp_path):
    from recface.files.meshes import read_mesh
    from recface.scan_stage.scans import scan_table

    prepare(name, raw / name, tmp_path / "out")
    table = scan_table(tmp_path / "out")
    assert len(table) == 4 and table["identity"].nunique() == 2 and set(table["expression"]) == expressions
    vertices, triangles = read_mesh(tmp_path / "out" / table["file"][0])
    assert np.ptp(vertices[:, 0]) == pytest.approx(180, abs=1e-3) and triangles.shape == (72, 3)


@pytest.mark.parametrize(
    ("name", "remove", "said"),
    [
        ("vggface2", "bb_landmark", "no bb_landmark/loose_landmark_*.csv, which VGGFace2 has in its official layout"),
        ("vggface2", "bb_landmark/loose_landmark_train.csv", "it is in bb_landmark.tar.gz"),
        ("lfw", "pairs.txt", "no pairs.txt, which LFW has in its official layout; it is asked for at vis-www"),
        ("insightface", "train.idx", "no train.idx beside train.rec"),
        ("ytf", "frame_images_DB/Some_One", ""),
        ("now", "imagepathsvalidation.txt", ""),
        ("cfp_fp", "Protocol/Split", "it is in the dataset's folder Protocol"),
    ],
)
def test_a_half_downloaded_folder_says_what_is_missing(name, remove, said, raw, tmp_path):
    shutil.copytree(raw / name, tmp_path / name)
    gone = tmp_path / name / remove
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    if not said:  # less of it is still the dataset
        return require_layout(DATASETS[name], tmp_path / name)
    with pytest.raises(RecfaceError) as error:
        prepare(name, tmp_path / name, tmp_path / "out", 32)
    assert said in str(error.value) and str(tmp_path / name) in str(error.value)


def test_an_archive_that_was_not_unpacked_is_named(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "vggface2_train.tar.gz").write_bytes(b"")
    with pytest.raises(RecfaceError, match="unpack vggface2_train.tar.gz here"):
        prepare("vggface2", tmp_path / "raw", tmp_path / "out")
    with pytest.raises(RecfaceError, match="no such folder; VGGFace2 is asked for at robots"):
        prepare("vggface2", tmp_path / "none", tmp_path / "out")


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "a/../../b", "..\\a.jpg", "C:\\a.jpg", "a\0"])
def test_a_list_cannot_lead_out_of_the_folder(name, tmp_path):
    with pytest.raises(RecfaceError, match="leads out of"):
        within(tmp_path, name, "list")
    assert within(tmp_path, "a\\b.jpg", "list") == tmp_path / "a" / "b.jpg"


def test_damaged_records_and_forged_sets_end_in_one_line(raw, tmp_path):
    shutil.copytree(raw / "insightface", tmp_path / "insightface")
    index = tmp_path / "insightface" / "train.idx"
    index.write_text(index.read_text().replace("0\t0\n", "0\t1\n", 1))
    with pytest.raises(RecfaceError, match="train.rec: not a readable file of records .no record at byte 1"):
        prepare("insightface", tmp_path / "insightface", tmp_path / "out")

    class Code:
        def __reduce__(self):
            return print, ("run",)

    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.bin").write_bytes(pickle.dumps(([Code()], [True])))
    with pytest.raises(RecfaceError, match="nothing was run"):
        prepare("bin", tmp_path / "raw", tmp_path / "out2")


def test_the_page_lists_every_dataset_with_its_license():
    rows = [line for line in (ROOT / "docs" / "prepare.md").read_text().splitlines() if line.startswith("| `")]
    assert {line.split("`")[1] for line in rows} == set(DATASETS)
    for line in rows:
        dataset = DATASETS[line.split("`")[1]]
        assert dataset.license in line and dataset.title in line and dataset.ask.split(" (")[0] in line, dataset.name
