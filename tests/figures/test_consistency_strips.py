import io
import json

import numpy as np
import pytest
from PIL import Image

from recface.errors import RecfaceError
from recface.figures import consistency_strips
from recface.figures.consistency_strips import cached_photos, draw_strips
from recface.metrics.functional import per_vertex_error


def test_a_row_a_method_with_the_spread_of_its_shapes(face_model, monkeypatch):
    random = np.random.default_rng(0)
    photos, true = random.integers(0, 255, (3, 3, 8, 8), dtype=np.uint8), random.normal(size=face_model.num_identity)
    constant = np.tile(random.normal(size=4), (3, 1))  # fewer modes than the model, one shape
    scattered = random.normal(size=(3, face_model.num_identity)).astype(np.float16)
    drawn, texts = [], []
    tile = Image.new("RGB", (8, 8))
    monkeypatch.setattr(consistency_strips, "shape_tile", lambda model, shape: drawn.append(shape) or tile)
    monkeypatch.setattr("matplotlib.figure.Figure.text", lambda figure, x, y, text, **options: texts.append(text))
    picture = draw_strips(face_model, photos, true, {"one shape": constant, "many": scattered})
    assert Image.open(io.BytesIO(picture["png"])).width > 3 * Image.open(io.BytesIO(picture["png"])).height / 3
    assert len(drawn) == 1 + 2 * (3 + 1)
    shapes, mean = drawn[5:8], drawn[8]
    assert mean.numpy() == pytest.approx(np.mean([shape.numpy() for shape in shapes], axis=0), abs=1e-4)
    mask = face_model.face_mask
    spread = np.mean([float(per_vertex_error(shape[None, mask], mean[None, mask])) for shape in shapes])
    assert texts[:3] == ["photo", "one shape\n0.00 mm", f"many\n{spread:.2f} mm"]


def test_photos_come_from_the_cached_benchmark_of_that_hash_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("RECFACE_CACHE", str(tmp_path))
    for name in ("one", "two"):
        folder = tmp_path / "benchmark" / name
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text(json.dumps({"manifest_hash": name}))
        np.save(folder / "test_images.npy", np.full((2, 3, 4, 4), len(name + "x" * (name == "two")), np.uint8))
        np.savez(folder / "test_labels.npz", identity=np.array([0, 1]))
    photos, labels = cached_photos("two", "test")
    assert photos.shape == (2, 3, 4, 4) and photos[0, 0, 0, 0] == 4 and labels["identity"].tolist() == [0, 1]
    with pytest.raises(RecfaceError, match="no benchmark three here; a run makes it"):
        cached_photos("three", "test")
