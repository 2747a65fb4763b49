"""Checks find what was put there, and nothing else."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from tests.official.datasets import draw_face, face_marks

from recface.data.store import StoredPhoto, finish_store, shard_path, write_shard
from recface.face_model.model import FLIP68
from recface.prepare.check import check_stores, fingerprint, near_pairs, strange_landmarks
from recface.prepare.preparation import canonical_points

HEADER = {"name": "toy", "size": 64, "framing": "none", "license": "none", "source": "drawn"}


def drawn(seed: int, size: int = 64) -> Image.Image:
    return draw_face(face_marks(size, seed, 1.0), (size, size), seed)


def jpeg(photo: Image.Image, quality: int = 95) -> bytes:
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def photo(seed: int, identity: str = "", split: str = "train", **changes) -> StoredPhoto:
    fields = {"file": f"{seed}.jpg", "image": jpeg(drawn(seed)), "landmarks": None, "extra": {}} | changes
    return StoredPhoto(identity=identity or f"person {seed}", split=split, **fields)


def store(folder, photos):
    write_shard(folder, 0, photos)
    finish_store(folder, HEADER)
    return folder


def test_a_store_without_faults_has_facts_alone(tmp_path):
    marks = canonical_points().astype(np.float32)
    yaws = (5.0, -40.0, 95.0, 61.0)
    rows = [photo(n, landmarks=marks, extra={"yaw": str(yaw)}) for n, yaw in enumerate(yaws)]
    facts, findings = check_stores([store(tmp_path / "a", rows)])
    assert findings == []
    assert "4 photos of 64 pixels, 4 with landmarks; 4 people" in facts[0] and "train 4" in facts[1]
    assert facts[3].endswith("0 to 30: 1, 30 to 60: 1, 60 to 90: 1, 90 to inf: 1")


def test_leakage_is_told_first_and_across_stores(tmp_path):
    again = jpeg(ImageEnhance.Brightness(drawn(1)).enhance(1.05), 80)
    first = store(tmp_path / "a", [photo(1, "x"), photo(2, "x"), photo(3, "y"), photo(3, "z"), photo(4, "w")])
    second = store(tmp_path / "b", [photo(1, "q", "test", image=again), photo(4, "w"), photo(9, "w", "test")])
    _, findings = check_stores([first, second])
    assert "nearly the same photo in train and test: leakage" in findings[0] and "(1.jpg)" in findings[0]
    assert "the same photo of 'y' and 'z'" in findings[1]
    assert "the same photo twice" in findings[2] and str(second) in findings[2]
    assert findings[3] == f"{second}: 'w' is in more than one split: leakage; move the photos"
    assert len(findings) == 4


def test_damaged_photos_and_strange_landmarks_are_named(tmp_path):
    marks = canonical_points().astype(np.float32)
    rows = [
        photo(1, image=jpeg(drawn(1))[:700]),
        photo(2, landmarks=marks[FLIP68]),
        photo(3, landmarks=marks + 3),
        photo(4, landmarks=marks),
    ]
    _, findings = check_stores([store(tmp_path / "a", rows)])
    assert [line.partition(" (")[0] for line in findings] == [f"{tmp_path / 'a'}: row {n}" for n in (0, 1, 2)]
    assert "damaged photo" in findings[0] and "left and right are exchanged" in findings[1]
    assert "far outside" in findings[2]


def test_a_shard_that_changed_in_place_is_named(tmp_path):
    path = shard_path(store(tmp_path / "a", [photo(1, "ann"), photo(2, "bob")]), 0)
    path.write_bytes(path.read_bytes().replace(b"bob", b"eve"))  # of the same size, and readable
    _, findings = check_stores([tmp_path / "a"])
    assert findings == [f"{path}: changed since the store was made; prepare it again"]


def test_many_findings_of_a_kind_are_counted(tmp_path):
    rows = [photo(1, "a") for _ in range(8)]
    _, findings = check_stores([store(tmp_path / "a", rows)])
    assert len(findings) == 21 and findings[-1] == "... and 8 more such"  # 28 pairs


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_pairs_are_those_of_all_comparisons(seed, count):
    rng = np.random.default_rng(seed)
    bits = rng.random((count, 256)) < 0.5
    for row in range(1, count):  # half are copies of one before, with up to ten bits changed
        if rng.random() < 0.5:
            bits[row] = bits[rng.integers(row)]
            bits[row, rng.choice(256, rng.integers(11), replace=False)] ^= True
    expected = [(i, j) for i, j in itertools.combinations(range(count), 2) if (bits[i] != bits[j]).sum() <= 7]
    assert near_pairs(bits).tolist() == [list(pair) for pair in expected]


@pytest.mark.parametrize("quality", [75, 90])
def test_a_fingerprint_survives_compression_and_tells_photos_apart(quality):
    prints = np.array([fingerprint(jpeg(drawn(seed, 112))) for seed in range(12)])
    again = np.array([fingerprint(jpeg(drawn(seed, 112), quality)) for seed in range(12)])
    apart = (prints[:, None] != again[None]).sum(axis=2)
    assert np.diag(apart).max() <= 7 and (apart + 256 * np.eye(12)).min() > 20


@given(yaw=st.floats(-0.6, 0.6), pitch=st.floats(-0.3, 0.3))
@settings(max_examples=25, deadline=None)
def test_turned_faces_are_plausible(face_model, yaw, pitch):
    """The face model's own landmarks under any common pose, framed."""
    from recface.data.framing import framing_of

    points = face_model.mean[face_model.landmarks68].double().numpy()
    turn = np.array([[np.cos(2 * yaw), 0, np.sin(2 * yaw)], [0, 1, 0], [-np.sin(2 * yaw), 0, np.cos(2 * yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    seen = (points @ (turn @ nod).T)[:, :2] * [1, -1]
    a, b = framing_of(seen, canonical_points())
    moved = a * (seen[:, 0] - 1j * seen[:, 1]) + b
    assert strange_landmarks(np.stack([moved.real, moved.imag], axis=1), canonical_points()) is None


def test_no_face_is_found_out():
    rng = np.random.default_rng(0)
    assert strange_landmarks(rng.uniform(-0.9, 0.9, (68, 2)), canonical_points()) == "landmarks in no shape of a face"
    assert strange_landmarks(np.zeros((68, 2)), canonical_points()) == "all landmarks in one place or line"
