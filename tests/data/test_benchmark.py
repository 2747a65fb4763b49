import errno

import numpy as np
import pytest
import torch

from recface.data.benchmark import BenchmarkConfig, get_benchmark
from recface.data.benchmark.generate import albedo_of_photo, enclosed_holes
from recface.data.benchmark.store import PHOTO_SPLITS
from recface.data.sources import embedded_source
from recface.render import euler_to_matrix, project


def test_sizes_and_labels_of_every_split(benchmark, smoke_config):
    scale = smoke_config["scale"]
    expected = {
        "identity": 12 * 4,
        "landmark": 48,
        "validation": 20 * 3,
        "test": 20 * 3,
        "control_shape": 20 * 3,
        "control_albedo": 20 * 3,
    }
    for split in PHOTO_SPLITS:
        images, labels = benchmark.images(split), benchmark.labels(split)
        assert images.shape == (expected[split], 3, scale["image_size"], scale["image_size"])
        assert all(len(value) == expected[split] for value in labels.values())
        assert images.std() > 20  # no blank pages


def test_training_sources_show_only_their_labels(benchmark):
    named, marked = embedded_source(benchmark, "identity"), embedded_source(benchmark, "landmark")
    assert named.landmarks is None and named.identity_parameters is None and named.num_identities == 12
    assert marked.identity is None and marked.identity_parameters is None and np.isfinite(marked.landmarks).all()
    told = embedded_source(benchmark, "identity", truth=True)
    assert np.array_equal(told.identity_parameters, benchmark.labels("identity")["identity_parameters"])
    assert told.landmarks is None  # a ceiling is told the shape, and no more
    test = embedded_source(benchmark, "test")
    assert test.identity is not None and test.landmarks is not None and test.identity_parameters is not None


def test_nobody_is_in_two_splits(benchmark):
    people = [np.unique(benchmark.labels(split)["identity_parameters"], axis=0) for split in (*PHOTO_SPLITS, "scan")]
    everybody = np.concatenate(people)
    assert len(np.unique(everybody.round(4), axis=0)) == len(everybody)


def test_photos_of_a_person_share_shape_and_albedo_but_not_pose(benchmark):
    labels = benchmark.labels("test")
    first = labels["identity"] == 0
    assert np.ptp(labels["identity_parameters"][first], axis=0).max() == 0
    assert len(np.unique(labels["albedo"][first])) == 1
    assert np.ptp(labels["angles"][first, 1]) > 0


def test_control_sets_share_what_they_say():
    person = np.repeat(np.arange(30), 4)
    assert len(np.unique(albedo_of_photo("control_shape", person))) == len(person)
    shared = albedo_of_photo("control_albedo", person)
    assert len(np.unique(shared)) == 3 and all(len(np.unique(person[shared == a])) == 10 for a in range(3))


def test_landmarks_are_the_projection_of_the_labeled_scene(benchmark, face_model):
    labels = {key: torch.from_numpy(value) for key, value in benchmark.labels("test").items()}
    marks = face_model.landmarks(labels["identity_parameters"], labels["expression"])
    placed = project(marks, euler_to_matrix(labels["angles"]), labels["scale"], labels["translation"])[..., :2]
    torch.testing.assert_close(placed, labels["landmarks"], atol=1e-4, rtol=0)
    assert labels["angles"][:, 1].abs().max() <= np.deg2rad(60) + 1e-6


def test_generation_repeats_to_the_byte_and_the_seed_matters(face_model, tmp_path):
    tiny = dict(
        image_size=16,
        identity_people=2,
        identity_photos=2,
        landmark_photos=3,
        validation_people=1,
        test_people=2,
        photos_each=1,
        control_people=1,
        control_photos=2,
        scan_people=1,
        scans_each=2,
        albedo_modes=3,
    )
    hashes = [
        get_benchmark(face_model, BenchmarkConfig(seed=seed, **tiny), tmp_path / str(run)).manifest_hash
        for run, seed in enumerate((0, 0, 1))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_interrupted_generation_is_begun_again(face_model, tmp_path):
    sizes = dict.fromkeys(BenchmarkConfig.__dataclass_fields__, 2) | {"image_size": 16}
    first = get_benchmark(face_model, BenchmarkConfig(**sizes), tmp_path)
    (first.path / "meta.json").unlink()  # it comes last: without it the folder is unfinished
    (first.path / "test_images.npy").write_bytes(b"cut short")
    again = get_benchmark(face_model, BenchmarkConfig(**sizes), tmp_path)
    assert again.manifest_hash == first.manifest_hash and len(again.images("test")) == 4


def test_albedo_model_spans_faces(benchmark):
    model = benchmark.albedo_model
    color = model(torch.randn(50, model.num_modes))
    assert 0.15 < color.mean() < 0.7
    gram = model.basis.T @ model.basis
    torch.testing.assert_close(gram, torch.eye(model.num_modes), atol=1e-4, rtol=0)
    assert (model.sigma[:-1] >= model.sigma[1:]).all()


def test_holes_are_inside_the_head_only():
    mask = torch.zeros(1, 1, 7, 7, dtype=torch.bool)
    mask[..., 1:6, 1:6] = True
    mask[..., 3, 3] = False
    holes = enclosed_holes(mask)
    assert holes.sum() == 1 and holes[0, 0, 3, 3]


def tiny_config() -> BenchmarkConfig:
    return BenchmarkConfig(**dict.fromkeys(BenchmarkConfig.__dataclass_fields__, 2) | {"image_size": 16})


def test_a_full_disk_leaves_nothing_half_written(face_model, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(OSError, match="No space"):
            get_benchmark(face_model, tiny_config(), tmp_path)
    assert [path.suffix for path in (tmp_path / "benchmark").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    "file", ["meta.json", "albedo_model.pt", "test_images.npy", "test_labels.npz", "scan_labels.npz"]
)
def test_a_damaged_benchmark_is_made_anew(face_model, tmp_path, file):
    first = get_benchmark(face_model, tiny_config(), tmp_path)
    whole = (first.path / file).read_bytes()
    (first.path / file).write_bytes(whole[: len(whole) // 2])
    again = get_benchmark(face_model, tiny_config(), tmp_path)
    assert again.manifest_hash == first.manifest_hash and len((first.path / file).read_bytes()) == len(whole)


def test_a_whole_benchmark_is_read_without_a_lock(face_model, tmp_path, monkeypatch):
    first = get_benchmark(face_model, tiny_config(), tmp_path)
    monkeypatch.setattr("recface.files.cache.FileLock", lambda path: pytest.fail("the cache may be read-only"))
    assert get_benchmark(face_model, tiny_config(), tmp_path).manifest_hash == first.manifest_hash


def test_generation_tells_how_far_it_is(face_model, tmp_path):
    told = []
    get_benchmark(face_model, tiny_config(), tmp_path, lambda done, total: told.append((done, total)))
    assert told[-1] == (22, 22) and sorted(told) == told
