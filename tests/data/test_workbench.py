"""What a run opens: only what its sources show."""

import numpy as np
import pytest
from tests.official.face_models import write_bfm2009
from tests.official.store import write_store

from recface.data.workbench import open_workbench
from recface.settings.compose import compose_config


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Overrides for people and landmarks from two prepared stores."""
    folder = tmp_path_factory.mktemp("stores")
    for name in ("identity", "landmark"):
        write_store(folder / name)
    paths = [f"data.sources.{name}.path={folder / name}" for name in ("identity", "landmark")]
    return ["+experiment=sir", "scale=smoke", "data=paper", "data.sources.identity.split=null", *paths]


def test_training_photos_are_rendered_only_where_a_source_shows_them(stores):
    ours = open_workbench(compose_config("+experiment=sir", "scale=smoke"))
    theirs = open_workbench(compose_config(*stores))
    assert len(theirs.benchmark.images("landmark")) == 1 < len(ours.benchmark.images("landmark"))
    for split in ("validation", "test", "control_shape", "control_albedo"):
        np.testing.assert_array_equal(theirs.benchmark.images(split), ours.benchmark.images(split))


def test_without_embedded_photos_a_face_models_own_albedo_is_fitted(stores, tmp_path):
    write_bfm2009(tmp_path / "BFM")
    face_model = ["face_model=bfm2009", f"face_model.path={tmp_path / 'BFM'}"]
    bench = open_workbench(compose_config(*stores, *face_model), training=False)
    assert bench.face_model.albedo_basis is not None and not bench.sources
    assert (
        bench.albedo_model.num_modes == bench.face_model.albedo_basis.shape[1] != bench.benchmark.albedo_model.num_modes
    )
    embedded = open_workbench(compose_config("+experiment=sir", "scale=smoke", *face_model), training=False)
    assert embedded.albedo_model is embedded.benchmark.albedo_model
