import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from tests.official.store import write_store

from recface.data.datamodule import MixedDataModule, MixedDataset
from recface.data.framing import crop_photo
from recface.data.photos import LANDMARK_COLUMNS
from recface.data.sources import NO_IDENTITY, Source, manifest_source, store_source
from recface.data.store import PhotoStore, shard_path
from recface.errors import RecfaceError

CANONICAL = np.random.default_rng(0).uniform(-0.6, 0.6, (68, 2))


def photos(count, value=0):
    return np.full((count, 3, 16, 16), value, np.uint8)


def test_an_empty_source_is_named():
    with pytest.raises(RecfaceError, match="source 'mine' is empty"):
        Source("mine", photos(0), identity=np.zeros(0, int))


def test_a_source_without_labels_is_named():
    with pytest.raises(RecfaceError, match="source 'mine' has neither identity nor landmark"):
        Source("mine", photos(2))


def test_rows_must_agree():
    with pytest.raises(RecfaceError, match="3 rows of identity for 2 photos"):
        Source("mine", photos(2), identity=np.arange(3))


def test_mixed_batch_says_what_each_sample_lacks():
    named = Source("named", photos(4, 1), identity=np.array([0, 0, 1, 1]))
    marked = Source("marked", photos(3, 2), landmarks=np.ones((3, 68, 2)))
    also = Source("also", photos(2, 3), identity=np.array([0, 1]))
    data = MixedDataset([named, marked, also], num_parameters=5)
    batch = data[[8, 2, 5, 0]]
    assert data.first_identity[-1] == 4 and len(data) == 9
    assert batch["identity"].tolist() == [1, 0, NO_IDENTITY, 3]  # people of two sources do not collide
    assert batch["image"][:, 0, 0, 0].tolist() == [1, 1, 2, 3]
    assert batch["source"].tolist() == [0, 0, 1, 2] and batch["record"].tolist() == [2, 0, 1, 1]
    assert torch.isnan(batch["landmarks"]).flatten(1).all(1).tolist() == [True, True, False, True]
    assert torch.isnan(batch["identity_parameters"]).all() and batch["image"].dtype == torch.uint8


def test_nobody_known_stays_nobody_behind_another_source():
    first = Source("first", photos(2), identity=np.array([0, 1]))
    second = Source("second", photos(2), identity=np.array([0, NO_IDENTITY]))
    batch = MixedDataset([first, second], num_parameters=5)[[0, 2, 3]]
    assert batch["identity"].tolist() == [0, 2, NO_IDENTITY]


def test_datamodule_augments_by_step_alone():
    rng = np.random.default_rng(0)
    source = Source("s", rng.integers(0, 255, (40, 3, 16, 16), dtype=np.uint8), landmarks=rng.normal(size=(40, 68, 2)))
    results = []
    for noise in (0, 1):
        torch.manual_seed(noise)  # what else has used the global generator must not matter
        module = MixedDataModule([source], [1.0], 5, batch_size=8, steps=3, seed=7)
        batch = next(iter(module.train_dataloader()))
        results.append(module.on_after_batch_transfer(batch, 0))
    assert torch.equal(results[0]["image"], results[1]["image"])
    assert torch.equal(results[0]["landmarks"], results[1]["landmarks"])
    assert (
        results[0]["image"].dtype == torch.float32 and 0 <= results[0]["image"].min() <= results[0]["image"].max() <= 1
    )


def write_folder(folder, rows, header="file,identity"):
    (folder / "images").mkdir(parents=True)
    (folder / "faces.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_manifest_reads_identities_and_unknown_ones(tmp_path):
    rows = ["a.png,anna,female,", "b.png,,,white", "c.png,bert,male,black"]
    folder = write_folder(tmp_path, rows, header="file,identity,gender,ethnicity")
    for number, name in enumerate("abc"):
        Image.new("RGB", (20, 20), (number * 10, 0, 0)).save(folder / "images" / f"{name}.png")
    source = manifest_source(folder, CANONICAL, 16, framed=True)
    assert source.identity.tolist() == [0, NO_IDENTITY, 1] and source.landmarks is None
    assert source.images[:][:, 0, 8, 8].tolist() == [0, 10, 20]
    assert source.extra["gender"].tolist() == ["female", "", "male"]
    assert source.extra["ethnicity"].tolist() == ["", "white", "black"] and "expression" not in source.extra


def test_manifest_names_the_unreadable_image_and_its_row(tmp_path):
    folder = write_folder(tmp_path, ["a.png,anna,true", "b.png,bert,true"], header="file,identity,framed")
    Image.new("RGB", (20, 20)).save(folder / "images" / "a.png")
    (folder / "images" / "b.png").write_bytes(b"no image")
    source = manifest_source(folder, CANONICAL, 16)  # decodes nothing yet
    with pytest.raises(RecfaceError, match=r"line 3: .*b\.png: not a readable image"):
        source.images[[0, 1]]
    (folder / "images" / "b.png").unlink()
    with pytest.raises(RecfaceError, match=r"line 3: .*b\.png: no such file"):
        manifest_source(folder, CANONICAL, 16)


def test_manifest_without_table_column_or_label(tmp_path):
    with pytest.raises(RecfaceError, match="no table"):
        manifest_source(tmp_path / "nowhere", CANONICAL, 16)
    folder = write_folder(tmp_path / "one", ["a.png"], header="photo")
    with pytest.raises(RecfaceError, match="no column file"):
        manifest_source(folder, CANONICAL, 16)
    folder = write_folder(tmp_path / "two", ["a.png"], header="file")
    Image.new("RGB", (20, 20)).save(folder / "images" / "a.png")
    with pytest.raises(RecfaceError, match=r"two/images/a\.png: no landmarks to frame it by; add .*column framed"):
        manifest_source(folder, CANONICAL, 16)
    with pytest.raises(RecfaceError, match="neither identity nor landmark"):
        manifest_source(folder, CANONICAL, 16, framed=True)
    (folder / "faces.csv").write_text("file\na.png,1,2\nb.png,1,2,3\n")
    with pytest.raises(RecfaceError, match=r"faces\.csv: line 2: 3 cells under 1 columns"):
        manifest_source(folder, CANONICAL, 16)
    folder = write_folder(tmp_path / "three", [], header="file,identity")
    with pytest.raises(RecfaceError, match="no rows; add at least one"):
        manifest_source(folder, CANONICAL, 16)


def test_manifest_names_a_landmark_that_is_no_number(tmp_path):
    header = ",".join(["file", *LANDMARK_COLUMNS])
    rows = [["a.png", *["5"] * 136], ["b.png", *[""] * 136], ["c.png", *["5"] * 136]]
    rows[2][4] = "left"
    folder = write_folder(tmp_path, [",".join(row) for row in rows], header=header)
    with pytest.raises(RecfaceError, match="source 'manifest': line 4: y2 must be a number, not 'left'"):
        manifest_source(folder, CANONICAL, 16)


def landmark_rows(*rows):
    return [",".join([file, *(f"{value:.1f}" for value in values.ravel())]) for file, values in rows]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda marks: np.where(np.arange(136).reshape(68, 2) == 7, np.nan, marks), "135 of 136 cells of landmarks"),
        (lambda marks: np.zeros_like(marks), "the landmarks span no face"),
        (lambda marks: marks + 5000, "the landmarks lie outside of the photo, 20 x 20"),
        (lambda marks: np.where(np.arange(136).reshape(68, 2) == 7, np.inf, marks), "y4 must be a number, not .*inf"),
    ],
)
def test_manifest_names_landmarks_that_show_no_face(tmp_path, change, says):
    marks = 10 + 8 * CANONICAL * [1, -1]
    rows = landmark_rows(("a.png", marks), ("b.png", change(marks)))
    folder = write_folder(
        tmp_path, [row.replace("nan", "") for row in rows], header=",".join(["file", *LANDMARK_COLUMNS])
    )
    for name in "ab":
        Image.new("RGB", (20, 20)).save(folder / "images" / f"{name}.png")
    with pytest.raises(RecfaceError, match=f"line 3: .*{says}"):
        manifest_source(folder, CANONICAL, 16).images[1]


def test_manifest_with_some_columns_of_landmarks_or_deep_photos(tmp_path):
    folder = write_folder(tmp_path / "one", ["a.png,p,1,2"], header="file,identity,x1,y1")
    Image.new("RGB", (20, 20)).save(folder / "images" / "a.png")
    with pytest.raises(RecfaceError, match="no column x2 beside x1"):
        manifest_source(folder, CANONICAL, 16)
    folder = write_folder(tmp_path / "two", ["a.png,p"])
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(folder / "images" / "a.png")
    with pytest.raises(RecfaceError, match=r"line 2: .*a\.png: more than 8 bits"):
        manifest_source(folder, CANONICAL, 16, framed=True).images[:]
    folder = write_folder(tmp_path / "three", ["a.png,p,"])  # a comma too many
    Image.new("RGB", (20, 20)).save(folder / "images" / "a.png")
    assert manifest_source(folder, CANONICAL, 16, framed=True).num_identities == 1


def test_people_may_be_called_as_pandas_calls_what_is_missing(tmp_path):
    rows = ["a.png, NA", "b.png, None", "c.png, null", "d.png,"]
    folder = write_folder(tmp_path, rows, header="file, identity")
    for name in "abcd":
        Image.new("RGB", (20, 20)).save(folder / "images" / f"{name}.png")
    assert manifest_source(folder, CANONICAL, 16, framed=True).identity.tolist() == [0, 1, 2, NO_IDENTITY]


@pytest.mark.data
def test_london_photos_are_framed_like_rendered_ones(shared_data, face_model):
    from recface.data.framing import canonical_landmarks

    canonical = canonical_landmarks(face_model)
    source = manifest_source(shared_data / "london", canonical, 64)
    assert len(source) == 120 and source.num_identities == 60
    assert set(source.extra["expression"]) == {"neutral", "smiling"}
    # Aligned to the mean face, a person's landmarks differ from it by a few per cent of the crop only.
    assert np.abs(source.landmarks - canonical).mean() < 0.05


def test_lightning_shows_every_photo_not_the_first_epoch_again():
    import lightning

    seen = []

    class Watch(lightning.LightningModule):
        def training_step(self, batch, index):
            seen.extend(batch["record"].tolist())

        def configure_optimizers(self):
            return None

    source = Source("s", photos(40), landmarks=np.zeros((40, 68, 2)))
    data = MixedDataModule([source], [1.0], 5, batch_size=8, steps=2, seed=0, augment=0.0)
    options = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=5, use_distributed_sampler=False, num_sanity_val_steps=0, **options
    )
    trainer.fit(Watch(), data)
    assert sorted(seen[:40]) == list(range(40))  # five epochs of two batches of eight: each photo twice
    assert sorted(seen[40:]) == list(range(40))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    write_store(folder, people=4, photos_each=5, size=32)
    return folder


def test_a_store_is_read_by_rows(store):
    whole, train = store_source(store, 32), store_source(store, 32, split="train", labels="identity")
    assert len(whole) == 21 and whole.images.shape == (21, 3, 32, 32) and whole.num_identities == 4
    assert len(train) == 16 and train.landmarks is None and train.num_identities == 3
    rows = np.array([14, 2])
    np.testing.assert_array_equal(train.images[rows], PhotoStore(store).images(rows))
    np.testing.assert_array_equal(whole.images[3:5], whole.images[[3, 4]])
    np.testing.assert_array_equal(whole.images[-1], whole.images[20])
    batch = whole.batch(np.array([20, 1]), 5, 0)
    assert batch["identity"].tolist() == [NO_IDENTITY, 0]
    assert torch.isnan(batch["landmarks"]).flatten(1).all(1).tolist() == [True, False]


def test_people_and_photos_of_a_split_are_counted_anew(store):
    test = store_source(store, 32, split="test", labels="identity")
    assert test.identity.tolist() == [0] * 5 and test.num_identities == 1  # the fourth person
    marks = store_source(store, 32, split="train", labels="landmarks")
    assert marks.identity is None and np.isfinite(marks.landmarks[:15]).all() and np.isnan(marks.landmarks[15]).all()
    np.testing.assert_array_equal(test.images[0], PhotoStore(store).images(np.array([15]))[0])


def test_larger_photos_of_a_store_are_scaled_down(store):
    source = store_source(store, 16)
    whole = PhotoStore(store).images(np.arange(21))
    wanted = [Image.fromarray(photo.transpose(1, 2, 0)).resize((16, 16), Image.Resampling.BILINEAR) for photo in whole]
    assert np.abs(source.images[:].transpose(0, 2, 3, 1) - np.array(wanted, float)).max() <= 1
    with pytest.raises(RecfaceError, match=r"source 'vgg': .*photos of 32 pixels for scale.image_size=64; prepare"):
        store_source(store, 64, "vgg")
    with pytest.raises(RecfaceError, match="no split 'val'; it has test, train"):
        store_source(store, 32, split="val")
    with pytest.raises(RecfaceError, match=r"source 'vgg': .*no store\.json there"):
        store_source(store / "nowhere", 32, "vgg")


def lazy_sources(store, folder):
    """A store, and a table of photos with landmarks, of which nothing is decoded yet."""
    random = np.random.default_rng(2)
    marks = [10 + 8 * CANONICAL * [1, -1] + random.normal(size=(68, 2)) for _ in range(6)]
    rows = landmark_rows(*((f"{number}.png", points) for number, points in enumerate(marks)))
    write_folder(folder, rows, header=",".join(["file", *LANDMARK_COLUMNS]))
    for number in range(6):
        pixels = random.integers(0, 255, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    return [store_source(store, 16, "store"), manifest_source(folder, CANONICAL, 16)], marks


def test_workers_give_the_batches_that_one_process_gives(store, tmp_path):
    sources, _ = lazy_sources(store, tmp_path / "table")

    def batches(workers):
        data = MixedDataModule(sources, [0.5, 0.5], 5, 8, steps=3, seed=0, workers=workers, photos_of_person=2)
        return list(data.train_dataloader())

    for alone, worked in zip(batches(0), batches(2), strict=True):
        assert all(torch.equal(alone[key], worked[key]) or alone[key].isnan().any() for key in alone)
        assert torch.equal(alone["landmarks"].nan_to_num(9), worked["landmarks"].nan_to_num(9))
        assert sorted(np.unique(alone["identity"][:4], return_counts=True)[1]) == [2, 2]


def test_photos_of_a_table_are_cropped_in_the_batches_that_need_them(store, tmp_path):
    (_, table), marks = lazy_sources(store, tmp_path / "table")
    for row in (5, 0):
        with Image.open(tmp_path / "table" / "images" / f"{row}.png") as photo:
            written = np.round(marks[row], 1)  # as the table has them
            crop, points = crop_photo(photo, written, CANONICAL, 16)
        np.testing.assert_array_equal(table.images[row], crop)
        np.testing.assert_allclose(table.landmarks[row], points, atol=1e-12)


def test_a_photo_that_a_worker_cannot_read_is_one_line(store, tmp_path):
    sources, _ = lazy_sources(store, tmp_path / "table")
    for number in range(6):
        (tmp_path / "table" / "images" / f"{number}.png").write_bytes(b"spoiled since")
    for workers in (0, 1):
        data = MixedDataModule(sources, [0.5, 0.5], 5, 8, steps=3, seed=0, workers=workers)
        with pytest.raises(RecfaceError, match=r"^data source 'manifest': line \d: .*\.png: not a readable image"):
            next(iter(data.train_dataloader()))


def test_workers_get_no_photo_with_their_source(tmp_path):
    sizes = []
    for size in (16, 128):
        write_store(tmp_path / f"{size:03d}", people=2, photos_each=4, size=size)
        source = store_source(tmp_path / f"{size:03d}", 16)
        source.images[:]
        sizes.append(len(pickle.dumps(source)))
    assert abs(sizes[0] - sizes[1]) < 20 and shard_path(tmp_path / "128", 0).stat().st_size > 10 * sizes[1]


def test_a_run_reads_stores_and_its_hash_their_content(store, tmp_path, cache_dir):
    from recface.data.workbench import build_data, open_workbench, stage_sources
    from recface.run.identity import run_hash
    from recface.settings.compose import compose_config
    from recface.settings.run_settings import check_config

    paths = [f"data.sources.{name}.path={store}" for name in ("identity", "landmark")]
    chosen = ("+experiment=sir", "scale=smoke", "data=paper", f"paths.cache={cache_dir}", "data.workers=0", *paths)
    config = compose_config(*chosen, "data.photos_of_person=4")
    check_config(config)
    bench = open_workbench(config)
    assert stage_sources(bench, 1) == ["landmark"] and stage_sources(bench, 2) == ["identity", "landmark"]
    assert bench.num_identities == 3  # those of the split train
    batch = next(iter(build_data(bench, 2).train_dataloader()))
    assert batch["image"].shape == (16, 3, 32, 32)
    assert np.unique(batch["identity"][:8], return_counts=True)[1].tolist() == [4, 4]
    assert (batch["identity"][8:] == NO_IDENTITY).all() and batch["landmarks"][:8].isnan().all()
    before = run_hash(config)
    copy = tmp_path / "copy"
    write_store(copy, people=4, photos_each=5, size=32)
    moved = compose_config(
        *chosen[:-2], *(text.replace(str(store), str(copy)) for text in paths), "data.photos_of_person=4"
    )
    assert run_hash(moved) == before
    write_store(copy, people=4, photos_each=6, size=32)
    assert run_hash(moved) != before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("data.sources.identity.path=null", "needs path: the folder that `recface prepare` wrote"),
        ("data.sources.identity.labels=faces", "labels must be 'identity', 'landmarks' or None"),
        ("data.photos_of_person=0", "data.photos_of_person must be a whole number >= 1, not 0"),
    ],
)
def test_wrong_settings_of_stores_are_named(change, says):
    from recface.settings.compose import compose_config
    from recface.settings.run_settings import check_config

    paths = ("data.sources.identity.path=A", "data.sources.landmark.path=B")
    with pytest.raises(RecfaceError, match=says):
        check_config(compose_config("+experiment=sir", "data=paper", *paths, change))
