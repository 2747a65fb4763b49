from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recface.data.benchmark import get_benchmark
from recface.data.benchmark.lifelike import (
    draw_before,
    draw_behind,
    draw_look,
    expose,
    face_frame,
    paint_look,
    photograph_people,
)
from recface.data.benchmark.paint import face_regions
from recface.data.benchmark.scene import add_smiles
from recface.data.benchmark.store import BenchmarkConfig

SIZE = 48
NAMES = ["browDown_L", "jawOpen", "mouthSmile_L", "mouthSmile_R", "cheekSquint_L", "eyeBlink_L"]


@pytest.fixture(scope="module")
def marks(face_model):
    """The 68 landmarks of the mean face, framed: brows up, the chin inside the picture."""
    points = face_model.landmark_mean.numpy().reshape(68, 3)[:, :2]
    return (points - points.mean(axis=0)) / 130


@pytest.fixture
def look():
    return draw_look(np.random.default_rng(0))


def test_a_frame_has_its_origin_between_the_brows_and_its_unit_down_to_the_chin(marks):
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    moved = 0.7 * marks @ turn.T + [0.1, -0.2]
    plain, turned = face_frame(marks, 0.0, SIZE), face_frame(moved, 0.0, SIZE)
    assert np.allclose(plain.jaw[8], [0, -1], atol=1e-9)
    assert np.allclose(plain.jaw, turned.jaw) and np.allclose(plain.eyes, turned.eyes)  # whatever the similarity
    # The grid is the picture's: the pixel that a landmark falls on has the landmark's coordinates.
    for index in (8, 0, 16):
        column, row = int((moved[index, 0] + 1) / 2 * SIZE), int((1 - moved[index, 1]) / 2 * SIZE)
        if 0 <= column < SIZE and 0 <= row < SIZE:
            here = [turned.across[row, column], turned.up[row, column]]
            assert np.allclose(here, turned.jaw[index], atol=2 * 2 / SIZE)


def test_teeth_show_in_an_open_mouth_alone(marks, look):
    bald = replace(look, bald=True, length=0.0, glasses=0.0)
    photo = np.full((3, SIZE, SIZE), 0.4)
    closed = marks.copy()
    closed[61:64, 1] = closed[[67, 66, 65], 1]
    assert np.array_equal(draw_before(photo, face_frame(closed, 0, SIZE), bald, 1.0, np.random.default_rng(1)), photo)
    wide = closed.copy()
    wide[65:68, 1] -= 0.25
    changed = draw_before(photo, face_frame(wide, 0, SIZE), bald, 1.0, np.random.default_rng(1)) != photo
    rows, columns = np.nonzero(changed.any(axis=0))
    x, y = (columns + 0.5) / SIZE * 2 - 1, 1 - (rows + 0.5) / SIZE * 2
    assert len(rows) and (np.abs(x - wide[60:68, 0].mean()) < 0.4).all()
    assert y.max() < wide[33, 1] and y.min() > wide[8, 1] - 0.1  # between nose and chin


def test_what_a_look_lacks_is_not_drawn(marks, look):
    photo = np.full((3, SIZE, SIZE), 0.4)
    frame = face_frame(marks, 0.0, SIZE)
    bald = replace(look, bald=True, length=0.0, glasses=0.0, cloth=np.array([0.9, 0.1, 0.1]))
    haired = replace(bald, bald=False, hair=np.array([0.05, 0.9, 0.05]), volume=0.1, hairline=0.2, temples=0.0)
    draws = lambda one: draw_behind(photo, frame, one, 1.0, np.random.default_rng(2))  # noqa: E731
    green = draws(haired)[1] > 0.6
    assert green.any() and not (draws(bald)[1] > 0.6).any()
    worn = draw_before(photo, frame, replace(bald, glasses=0.05, frame=np.zeros(3)), 1.0, np.random.default_rng(3))
    dark = worn.mean(axis=0) < 0.2
    eyes_up = frame.eyes[:, 1].mean()
    assert dark.any() and (np.abs(frame.up[dark] - eyes_up) < 0.35).all()


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_every_look_can_be_painted_and_keeps_albedo_in_range(regions, seed):
    generator = np.random.default_rng(seed)
    albedo = paint_look(regions, draw_look(generator), generator)
    assert albedo.shape == (len(regions.position), 3)
    assert np.isfinite(albedo).all() and albedo.min() >= 0.02 and albedo.max() <= 0.98


@pytest.fixture(scope="module")
def regions(face_model):
    return face_regions(face_model)


def test_beards_grow_where_they_are_named(regions):
    base = replace(draw_look(np.random.default_rng(4)), skin=np.ones(3) * 0.8, hair=np.zeros(3), bald=True)
    paint = lambda beard: paint_look(regions, replace(base, beard=beard), np.random.default_rng(5)).mean(axis=1)  # noqa: E731
    lips, jaw = regions.moustache < 2, (regions.jaw < 5) & (regions.position[:, 0] > 40)
    clean, moustache, full = paint("none"), paint("moustache"), paint("full")
    assert moustache[lips].mean() < 0.6 * clean[lips].mean()
    assert moustache[jaw].mean() > 0.9 * clean[jaw].mean()
    assert full[jaw].mean() < 0.6 * clean[jaw].mean()


def test_photos_of_one_look_differ_by_light_and_not_by_hair(marks, look):
    head, mask = torch.zeros(2, 3, 2 * SIZE, 2 * SIZE), torch.zeros(2, 1, 2 * SIZE, 2 * SIZE, dtype=torch.bool)
    light = np.zeros((2, 9, 3))
    light[:, 0] = [[1.0], [0.5]]
    photos = photograph_people(
        head, mask, np.stack([marks, marks]), np.zeros(2), light, [look, look],
        np.zeros((2, 3, SIZE, SIZE), np.float32), np.random.default_rng(6),
    )  # fmt: skip
    covered = photos.mean(axis=1) > 0
    assert np.mean(covered[0] == covered[1]) > 0.95
    assert 1.6 < photos[0].sum() / photos[1].sum() < 2.4


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
def test_an_exposure_stays_a_photo(seed):
    generator = np.random.default_rng(seed)
    photos = generator.random((2, 3, 32, 32), np.float32)
    exposed = expose(photos, generator)
    assert exposed.shape == photos.shape and np.isfinite(exposed).all()
    assert exposed.min() >= -0.01 and exposed.max() <= 1.01


def test_smiles_move_their_units_together_and_no_others():
    generator = np.random.default_rng(7)
    calm = np.zeros((400, len(NAMES)))
    smiles = add_smiles(NAMES, calm, 0.5, generator)
    smiling = smiles[:, 2] > 0
    assert 0.4 < smiling.mean() < 0.6
    assert (smiles[smiling][:, [1, 2, 3, 4]] > 0).all() and (smiles[~smiling] == 0).all()
    assert (smiles[:, [0, 5]] == 0).all() and smiles.max() <= 1
    assert np.abs(smiles[:, 2] - smiles[:, 3]).max() < 0.25  # both corners, unevenly


def test_lifelike_people_have_the_labels_of_any_benchmark_and_photos_of_their_own(
    face_model, smoke_config, tmp_path, benchmark
):
    sizes = {key: value for key, value in smoke_config["scale"].items() if key in BenchmarkConfig.__dataclass_fields__}
    sizes["appearance"] = "lifelike"
    made = [
        get_benchmark(face_model, BenchmarkConfig(seed=0, albedo_modes=4, **sizes), tmp_path / name)
        for name in ("one", "two")
    ]
    assert made[0].manifest_hash == made[1].manifest_hash != benchmark.manifest_hash
    plain, lifelike = benchmark.labels("test"), made[0].labels("test")
    assert {key: value.shape for key, value in plain.items()} == {key: value.shape for key, value in lifelike.items()}
    assert made[0].images("test").std() > 20
