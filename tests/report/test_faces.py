import dataclasses

import numpy as np
import pytest
import torch

from recface.render import euler_to_matrix
from recface.report.comparison import find_benchmark, real_comparison, rendered_comparison
from recface.report.faces import _placed, choose_people, shapes_of


def test_people_need_a_photo_for_every_column_and_the_purest_is_taken():
    light, pose = np.array([1, 1, 0, 1, 0], bool), np.array([1, 0, 1, 0, 0], bool)
    identity = np.array([4, 4, 4, 2, 2])
    assert choose_people({"light": light, "pose": pose}, identity, 3) == (["light", "pose"], [[1, 2]])
    assert choose_people({"light": light}, identity, 3) == (["light"], [[3], [0]])
    assert choose_people({"light": light}, identity, 1) == (["light"], [[3]])
    assert choose_people({"light": light, "pose": ~identity.astype(bool)}, identity, 3) == (["light"], [[3], [0]])


def test_modes_that_were_not_stored_are_zero(face_model):
    few = shapes_of(face_model, np.ones((2, 3), np.float16))
    whole = torch.zeros(2, face_model.num_identity)
    whole[:, :3] = 1
    assert torch.allclose(few, face_model.shape(whole))


def test_a_head_follows_the_alignment_of_its_face(face_model):
    mean, mask = face_model.mean, face_model.face_mask
    moved = 1.1 * mean @ euler_to_matrix(torch.tensor([[0.1, 0.2, 0.3]]))[0].T + 5
    assert (_placed(moved, mean, mask) - mean).abs().max() < 1e-2


def test_a_comparison_has_a_photo_and_three_pictures_for_each_column(drawn):
    _, comparison = drawn
    (person,) = comparison.people
    columns = len(comparison.columns)
    assert set(comparison.columns) <= {"plain", "light", "expression", "large pose", "occlusion"}
    assert len(person.photos) == columns > 1 and person.truth is not None
    tiles = person.methods["SIR"]
    assert [set(tile) for tile in tiles] == [{"shape", "truth", "between"}] * columns
    assert tiles[0]["between"].note == "0.00 mm" != tiles[1]["between"].note  # the first photo's shape to itself
    assert len(person.meshes["SIR"]) == columns


def test_what_cannot_be_drawn_says_why(drawn, tmp_path):
    entry, _ = drawn
    other = dataclasses.replace(entry, record=dataclasses.replace(entry.record, data_manifest="other"))
    assert "not in the cache" in rendered_comparison("t", {"SIR": other}).notes[0]
    assert find_benchmark(None) is None and find_benchmark("x", tmp_path) is None
    learned = dataclasses.replace(entry.record, config=entry.record.config | {"sfm": {}})
    result = rendered_comparison("t", {"SFM": dataclasses.replace(entry, record=learned)})
    assert result.people == [] and "SFM is not drawn" in result.notes[0]
    assert "photographs are not here" in real_comparison("t", {"SIR": entry}).notes[0]


@pytest.mark.data
def test_real_photographs_stand_beside_their_shapes(drawn, shared_data, tmp_path):
    from recface.files.tables import read_table

    entry, _ = drawn
    table = read_table(shared_data / "london" / "faces.csv", ["file", "identity", "expression"])
    people = np.unique(table["identity"], return_inverse=True)[1]
    arrays = {
        "photos_identity": people,
        "photos_expression": table["expression"].to_numpy() == "neutral",
        "photos_parameters": np.random.default_rng(0).normal(size=(len(table), 40)),
    }
    np.savez(tmp_path / "p.npz", **arrays)
    config = entry.record.config | {"data": entry.record.config["data"] | {"photos": str(shared_data / "london")}}
    record = dataclasses.replace(entry.record, config=config)
    result = real_comparison("t", {"SIR": dataclasses.replace(entry, record=record, predictions=tmp_path / "p.npz")}, 1)
    (person,) = result.people
    assert len(person.photos) == 2 and [set(tile) for tile in person.methods["SIR"]] == [{"shape", "between"}] * 2
    assert "truth" not in result.kinds
