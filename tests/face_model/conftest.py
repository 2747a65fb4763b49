from pathlib import Path

import pytest
from tests.face_model.toy_face_model import toy_arrays

from recface.face_model import FaceModel, get


@pytest.fixture
def toy() -> FaceModel:
    return FaceModel(**toy_arrays())


@pytest.fixture(scope="session")
def ict_path(shared_data) -> Path:
    file = shared_data / "ict_face" / "ict_face.npz"
    if not file.is_file():
        pytest.skip(f"needs {file} (set RECFACE_DATA)")
    return file


@pytest.fixture(scope="session")
def ict(ict_path, cache_dir) -> FaceModel:
    return get("ict", path=ict_path, cache_dir=cache_dir)


@pytest.fixture(params=["toy", "makehuman", pytest.param("ict", marks=pytest.mark.data)])
def any_model(request) -> FaceModel:
    """Each model in turn: what holds for one must hold for all."""
    return request.getfixturevalue("face_model" if request.param == "makehuman" else request.param)
