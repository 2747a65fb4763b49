import numpy as np
import pytest
import torch
from PIL import Image

from recface.data.datamodule import MixedDataModule, MixedDataset
from recface.data.photos import LANDMARK_COLUMNS
from recface.data.sources import NO_IDENTITY, Source, manifest_source
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
    assert source.images[:, 0, 8, 8].tolist() == [0, 10, 20]
    assert source.extra["gender"].tolist() == ["female", "", "male"]
    assert source.extra["ethnicity"].tolist() == ["", "white", "black"] and "expression" not in source.extra


def test_manifest_names_the_unreadable_image_and_its_row(tmp_path):
    folder = write_folder(tmp_path, ["a.png,anna,true", "b.png,bert,true"], header="file,identity,framed")
    Image.new("RGB", (20, 20)).save(folder / "images" / "a.png")
    (folder / "images" / "b.png").write_bytes(b"no image")
    with pytest.raises(RecfaceError, match=r"line 3: .*b\.png: not a readable image"):
        manifest_source(folder, CANONICAL, 16)
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
        manifest_source(folder, CANONICAL, 16)


def test_manifest_with_some_columns_of_landmarks_or_deep_photos(tmp_path):
    folder = write_folder(tmp_path / "one", ["a.png,p,1,2"], header="file,identity,x1,y1")
    Image.new("RGB", (20, 20)).save(folder / "images" / "a.png")
    with pytest.raises(RecfaceError, match="no column x2 beside x1"):
        manifest_source(folder, CANONICAL, 16)
    folder = write_folder(tmp_path / "two", ["a.png,p"])
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(folder / "images" / "a.png")
    with pytest.raises(RecfaceError, match=r"line 2: .*a\.png: more than 8 bits"):
        manifest_source(folder, CANONICAL, 16)
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
