"""Where predicted meshes go for each benchmark: read back as the benchmark's own code names them."""

import numpy as np
import pytest
import torch

from recface.errors import RecfaceError
from recface.files.meshes import read_mesh
from recface.metrics.protocols.scans import SEVEN_OF_68
from recface.metrics.readers.predictions import read_predictions
from recface.run.handed_in import require_places, write_handed_in


@pytest.fixture(scope="module")
def shapes(face_model):
    parameters = torch.randn(2, face_model.num_identity, generator=torch.Generator().manual_seed(0))
    points = face_model.landmarks(parameters)[:, list(SEVEN_OF_68)]
    return face_model.shape(parameters).numpy(), points.numpy()


def test_now_s_meshes_lie_as_its_photos_do_with_seven_landmarks(face_model, shapes, tmp_path) -> None:
    names = ["iphone_pictures/FaMoS_1/selfie/IMG_1.jpg", "FaMoS_1/multiview_neutral/IMG_1.jpg"]
    write_handed_in("now", tmp_path, names, *shapes, face_model)
    for name, shape, points in zip(names, *shapes, strict=True):
        subject, challenge, filename = name.split("/")[-3:]  # as now_evaluation takes them from its list
        place = tmp_path / subject / challenge / filename[:-4]
        np.testing.assert_allclose(read_mesh(f"{place}.obj")[0], shape, atol=1e-4)
        assert np.load(f"{place}.npy").shape == (7, 3)
        np.testing.assert_allclose(np.load(f"{place}.npy"), points, atol=1e-4)
    found = read_predictions(tmp_path)
    assert found.ids == ("FaMoS_1/multiview_neutral/IMG_1", "FaMoS_1/selfie/IMG_1") and found.points.shape == (2, 7, 3)


def test_realy_s_meshes_lie_in_one_folder_beside_their_template(face_model, shapes, tmp_path) -> None:
    write_handed_in("realy", tmp_path, ["images/1.png", "images/2_3.png"], *shapes, face_model)
    assert sorted(path.name for path in (tmp_path / "meshes").iterdir()) == ["1.obj", "2_3.obj"]
    vertices, triangles = read_mesh(tmp_path / "template.obj")
    assert len(vertices) == len(face_model.mean)
    np.testing.assert_array_equal(triangles, face_model.triangles)
    np.testing.assert_allclose(read_mesh(tmp_path / "meshes" / "2_3.obj")[0], shapes[0][1], atol=1e-4)
    assert read_predictions(tmp_path).ids == ("images/1.png", "images/2_3.png")  # and no template


@pytest.mark.parametrize(
    ("benchmark", "names", "said"),
    [
        ("now", ["IMG_1.jpg"], "photos: IMG_1.jpg: NoW's photos are named SUBJECT/CHALLENGE/PHOTO.jpg"),
        ("micc", ["subject_01/../../a.jpg"], r"photos: subject_01/../../a.jpg leads out of the folder"),
        ("realy", ["a/1.png", "b/1.png"], "photos: two of them are meshes/1; give one"),
    ],
)
def test_names_that_have_no_place(benchmark, names, said) -> None:
    with pytest.raises(RecfaceError, match=said):
        require_places(benchmark, names)


def test_micc_s_places_are_the_photos_own() -> None:
    names = ["/abs/subject_01/a.jpg", "subject_02\\b.png"]
    assert require_places("micc", names) == ["abs/subject_01/a", "subject_02/b"]
