"""Networks as one small file: what is rounded, what comes with the package, and damaged files."""

import json
import zipfile

import numpy as np
import pytest
import torch
from tests.conftest import SHARED

from recface.data.benchmark import BenchmarkConfig, get_benchmark
from recface.data.sources import embedded_source
from recface.errors import RecfaceError
from recface.face_model import load, save
from recface.face_model.albedo import AlbedoModel
from recface.face_model.residual import ResidualFaceModel
from recface.metrics import masked_basis
from recface.metrics.functional.geometry import geometry_distance_pairs
from recface.run.shipped import SHIPPED, _codes, _decoded, open_shipped, plain_network, write_shipped
from recface.variants import variant_class

ABOUT = {
    "experiment": "sir",
    "title": "SIR",
    "hash": "0123abcd",
    "seed": 0,
    "versions": {"benchmark": 1},
    "license": "CC0-1.0",
    "threshold_mm": 2.0,
}


@pytest.fixture(scope="module")
def photos(benchmark):
    """Test photos in 0..1."""
    return torch.from_numpy(np.array(embedded_source(benchmark, "test").images[:8])).float() / 255


@pytest.fixture(scope="module")
def head(face_model):
    """The embedded head with a few modes."""
    few = {name: getattr(face_model, name)[..., :6] for name in ("identity_basis", "identity_sigma")}
    blend = {
        "expression_basis": face_model.expression_basis[:, :4],
        "expression_names": face_model.expression_names[:4],
    }
    return face_model.changed(**few, **blend)


@pytest.fixture(scope="module")
def albedo(benchmark):
    """Its colors, likewise."""
    model = benchmark.albedo_model
    return AlbedoModel(model.mean, model.basis[:, :3], model.sigma[:3])


def network(config, face_model, albedo_model):
    """An untrained network whose predictions differ from photo to photo."""
    torch.manual_seed(0)
    variant = variant_class("sir")(config, face_model, albedo_model, 5, stage=2).eval()
    torch.nn.init.normal_(variant.encoders.shape.head.weight, std=1.5)
    torch.nn.init.normal_(variant.encoders.scene.head.weight, std=0.05)
    return variant


@pytest.fixture(scope="module")
def variant(smoke_config, head, albedo):
    """A network of the embedded head."""
    return network(smoke_config, head, albedo)


@pytest.fixture(scope="module")
def file(variant, tmp_path_factory):
    """The network's file."""
    return write_shipped(variant, ABOUT, tmp_path_factory.mktemp("shipped") / "network.npz")


@torch.no_grad()
def test_predictions_are_those_of_the_network(file, variant, photos):
    opened = open_shipped(file)
    expected, found = variant(photos), opened.variant(photos)
    shapes = variant.face_model.shape(expected.identity, expected.expression)
    moved = (opened.face_model.shape(found.identity, found.expression) - shapes).norm(dim=-1).mean(dim=1)
    spread = (shapes - shapes.mean(0)).norm(dim=-1).mean()
    assert moved.max() < 0.02 < 0.1 < spread  # mm
    for name in ("rotation", "scale", "translation", "light", "albedo"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=0.01, rtol=0.01)
    assert opened.about.title == "SIR" and opened.threshold_mm == 2.0
    assert opened.image_size == photos.shape[-1] and opened.canonical.shape == (68, 2)


def test_the_same_network_gives_the_same_bytes(file, variant, tmp_path):
    assert write_shipped(variant, ABOUT, tmp_path / "again.npz").read_bytes() == file.read_bytes()


def test_its_face_model_can_be_saved_and_loaded(file, tmp_path):
    opened = open_shipped(file).face_model
    assert load(save(opened, tmp_path / "head.npz")).checksum == opened.checksum


@torch.no_grad()
def test_a_learned_basis_is_folded_in(smoke_config, head, albedo, photos):
    variant = network(smoke_config, head, albedo)
    variant.face_model = ResidualFaceModel(head)
    torch.nn.init.normal_(variant.face_model.residual_steps, std=2.0)
    plain = plain_network(variant)
    expected, found = variant(photos).identity, plain(photos).identity
    assert type(plain.face_model) is type(head) and not torch.allclose(found, expected, atol=0.1)
    torch.testing.assert_close(plain.face_model.shape(found), variant.face_model.shape(expected), atol=2e-3, rtol=0)


def test_rounding_is_to_the_nearest_step():
    values = np.random.default_rng(0).normal(0, 5, (7, 5)).astype(np.float32)
    for step in (0.002, 0.3):
        codes = _codes(values, step)
        assert codes.dtype == np.uint8 and codes.shape == (2, 7, 5)
        assert np.abs(_decoded(codes, step) - values).max() <= 0.5 * step + 1e-5
    with pytest.raises(RecfaceError, match="beyond 32,767 steps"):
        _codes(values, 1e-4)


def rewritten(file, to, change):
    """A copy of a file with other arrays."""
    with np.load(file) as stored:
        arrays = dict(stored)
    change(arrays)
    np.savez(to, **arrays)
    return to


def told(**fields):
    def change(arrays):
        arrays["about"] = np.array(json.dumps(json.loads(str(arrays["about"])) | fields))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("about"), "experiment is missing"),
        (told(threshold_mm=-1.0), "threshold_mm must be a number > 0, not -1.0"),
        (told(image_size=10**9), "image_size must be a whole number from 8 to 1024"),
        (told(checksum="0"), "its arrays are not those that it was written with"),
        (lambda arrays: arrays.update({"albedo.mean": arrays["albedo.mean"] + 1}), "its arrays are not those"),
        (lambda arrays: arrays.update(about=np.array("{")), "not a readable network"),
    ],
)
def test_other_files_are_refused(file, tmp_path, change, message):
    other = rewritten(file, tmp_path / "other.npz", change)
    with pytest.raises(RecfaceError, match=message) as raised:
        open_shipped(other)
    assert "\n" not in str(raised.value) and str(raised.value).startswith(str(other))


def test_damaged_and_missing_files_are_told(file, tmp_path):
    (tmp_path / "cut.npz").write_bytes(file.read_bytes()[:-1000])
    for name, message in (("cut.npz", "not a readable"), ("none.npz", "no such file")):
        with pytest.raises(RecfaceError, match=message):
            open_shipped(tmp_path / name)


@pytest.fixture
def sharp(face_model, smoke_config, tmp_path):
    """Photos as large as the package's network takes them, though of another face model."""
    sizes = {key: value for key, value in smoke_config["scale"].items() if key in BenchmarkConfig.__dataclass_fields__}
    return get_benchmark(face_model, BenchmarkConfig(seed=0, albedo_modes=4, **sizes | {"image_size": 96}), tmp_path)


@torch.no_grad()
def test_the_package_brings_a_network_that_beats_the_mean_face(sharp):
    assert SHIPPED.stat().st_size < 10_000_000
    with zipfile.ZipFile(SHIPPED) as archive:
        assert all(entry.date_time[0] == 1980 for entry in archive.infolist())
    shipped = open_shipped()
    assert shipped.face_model.licence == "MIT" == shipped.about.license
    assert shipped.image_size == 96 and 0.5 < shipped.threshold_mm < 5
    crops = torch.from_numpy(np.array(sharp.images("test")[:24])).float() / 255
    marks = torch.from_numpy(sharp.labels("test")["landmarks"][:24])
    found = shipped.variant(crops)
    placed = shipped.face_model.landmarks(found.identity, found.expression) @ found.rotation.transpose(1, 2)
    placed = found.scale[:, None, None] * placed[..., :2] + found.translation[:, None]
    mean = torch.from_numpy(shipped.canonical).float()
    assert (placed - marks).norm(dim=-1).mean() < 0.5 * (mean - marks).norm(dim=-1).mean()


@pytest.mark.data
@torch.no_grad()
def test_the_threshold_tells_real_people_apart():
    from recface.run.evaluation import Network, open_photos

    shipped = open_shipped()
    source = open_photos(shipped, SHARED / "london")
    found, model = Network(shipped.variant)(source)["identity"], shipped.face_model
    neutral = torch.from_numpy(source.extra["expression"] == "neutral")
    first, second = torch.cartesian_prod(neutral.nonzero().flatten(), (~neutral).nonzero().flatten()).T
    people = torch.from_numpy(source.identity)
    basis = masked_basis(model.identity_basis, model.identity_sigma, model.face_mask)
    near = geometry_distance_pairs(found, first, second, basis) <= shipped.threshold_mm
    same = people[first] == people[second]
    assert near[same].float().mean() > 0.9 and near[~same].float().mean() < 0.25
