"""Networks for other programs: the calibrated threshold, and ONNX against PyTorch."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_curve

from recface.cli.program import main
from recface.data.sources import embedded_source
from recface.data.workbench import open_workbench
from recface.metrics.functional.verification import equal_error
from recface.run import export
from recface.run.shipped import open_shipped
from recface.tracking import new_record
from recface.variants import variant_class


def test_equal_error_matches_scikit_learn():
    random = np.random.default_rng(0)
    same = random.random(501) < 0.3
    scores = random.normal(size=501) + 1.5 * same
    threshold, rate = equal_error(torch.from_numpy(scores), torch.from_numpy(same))
    false, true, at = roc_curve(same, scores, drop_intermediate=False)
    best = np.abs(false - (1 - true)).argmin()
    assert threshold == pytest.approx(at[best]) and rate == pytest.approx((false[best] + 1 - true[best]) / 2)


def test_a_run_becomes_a_file_with_its_threshold(smoke_config, cache_dir, monkeypatch, capsys):
    bench = open_workbench(smoke_config | {"paths": {"cache": cache_dir}}, training=False)
    torch.manual_seed(0)
    variant = variant_class("sir")(bench.config, bench.face_model, bench.albedo_model, 5, stage=2)
    torch.nn.init.normal_(variant.encoders.shape.head.weight, std=1.0)
    monkeypatch.setattr(export, "open_run", lambda run, cache: (bench, variant))
    record = new_record("sir", "0123abcd", 3, bench.config, versions={"variant": 1})
    monkeypatch.setattr(export, "read_record", lambda run: record)
    written = {}
    monkeypatch.setattr(export, "write_shipped", lambda variant, about, out: written.update(about) or out)
    assert main(["export", "RUN", "--out", "network.npz"]) == 0 and capsys.readouterr().out == "network.npz\n"
    assert (written["experiment"], written["hash"], written["seed"]) == ("sir", "0123abcd", 3)
    threshold, model = written["threshold_mm"], bench.face_model
    source = embedded_source(bench.benchmark, "validation")
    with torch.no_grad():
        found = variant(torch.from_numpy(np.array(source.images)).float() / 255).identity
    shapes = model.shape(found)[:, model.face_mask]
    first, second = np.triu_indices(len(shapes), 1)
    distances = np.array(
        [float((shapes[a] - shapes[b]).norm(dim=1).mean()) for a, b in zip(first, second, strict=True)]
    )
    same = source.identity[first] == source.identity[second]
    false_accepts, false_rejects = (
        (distances[~same] <= threshold).mean(),
        (distances[same] > threshold).mean(),
    )
    assert abs(false_accepts - false_rejects) < 0.1  # impostors are drawn, so that rates differ a little


@pytest.mark.parametrize(
    ("arguments", "message"), [((), "name a file to write"), (("--out", "x.npz"), "--out needs RUN")]
)
def test_what_is_missing_is_told(arguments, message, capsys):
    assert main(["export", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_onnx_equals_pytorch(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    path, network = export.export_onnx(None, tmp_path / "network.onnx"), open_shipped()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        photo = torch.rand(count, 3, 96, 96, generator=torch.Generator().manual_seed(count))
        with torch.no_grad():
            expected = network.variant(photo)
            vertices = network.face_model.shape(expected.identity)
        found = dict(zip(export.ONNX_OUTPUTS, session.run(None, {"photo": photo.numpy()}), strict=True))
        assert found["vertices"].shape == (count, network.face_model.num_vertices, 3)
        np.testing.assert_allclose(found["vertices"], vertices, atol=1e-4)
        np.testing.assert_allclose(found["shape"], expected.identity, atol=1e-4)
        for name in ("expression", "rotation", "scale", "translation"):
            np.testing.assert_allclose(found[name], getattr(expected, name), atol=1e-4)
