import io
import json
import mmap
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from tests.official.store import HEADER, noise_jpeg, stored_photos, write_store

from recface.data import store as module
from recface.data.store import PhotoStore, StoredPhoto, decoded, finish_store, shard_path, write_shard
from recface.errors import RecfaceError

PHOTOS = stored_photos(people=4, photos_each=5, size=32, landmarks=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    write_store(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "store")


def pixels(photo):
    return np.asarray(Image.open(io.BytesIO(photo.image))).transpose(2, 0, 1)


def test_rows_come_back_as_they_were_written(whole):
    store = PhotoStore(whole)
    rows = np.array([20, 3, 7, 3, 0])
    assert len(store) == 21 and store.size == 32 and store.header.people == 4
    np.testing.assert_array_equal(store.images(rows), [pixels(PHOTOS[row]) for row in rows])  # Pillow's pixels
    assert store.files(rows) == [PHOTOS[row].file for row in rows]
    wanted = [np.full((68, 2), np.nan) if PHOTOS[row].landmarks is None else PHOTOS[row].landmarks for row in rows]
    np.testing.assert_array_equal(store.landmarks(rows), np.array(wanted, np.float32))
    for row in (0, 6, 7, 20):
        photo, written = store.photo(row), PHOTOS[row]
        assert (photo.file, photo.image, photo.identity, photo.split, photo.extra) == (
            *(written.file, written.image, written.identity, written.split, written.extra),
        )
        np.testing.assert_array_equal(photo.landmarks, written.landmarks)


def test_labels_are_codes_of_sorted_names(tmp_path):
    image = noise_jpeg(np.random.default_rng(0), 16)
    rows = [("zoe", "train"), ("", "test"), ("anna", ""), ("zoe", "test")]
    for number, (identity, split) in enumerate(rows):  # a shard each
        write_shard(tmp_path, number, [StoredPhoto(f"{number}.jpg", image, identity, None, split)])
    store = PhotoStore(finish_store(tmp_path, HEADER | {"size": 16}).parent)
    assert store.people == ["anna", "zoe"] and store.identity.tolist() == [1, -1, 0, 1]
    assert store.splits == ["test", "train"] and store.split.tolist() == [1, 0, -1, 0]
    assert store.identity.dtype == np.int32 and not store.has_landmarks.any()


def test_a_worker_opens_the_store_for_itself(whole, monkeypatch):
    monkeypatch.setattr(module, "MOST_OPEN", 1)  # shards close and open again
    store = PhotoStore(whole)
    before = store.images(np.arange(21))
    assert len(store._open) == 1
    copy = pickle.loads(pickle.dumps(store))
    assert not copy._open and np.array_equal(copy.images(np.arange(21)), before)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system takes no advice on memory")
def test_pages_of_photos_do_not_stay_in_memory(tmp_path):
    def resident():
        lines = Path("/proc/self/smaps").read_text().split(str(tmp_path))[1:]
        return sum(int(line.split("Rss:")[1].split()[0]) for line in lines)

    image = noise_jpeg(np.random.default_rng(0), 64)
    write_shard(tmp_path, 0, [StoredPhoto(f"{n}.jpg", image, "a", None, "train") for n in range(900)])
    store = PhotoStore(finish_store(tmp_path, HEADER | {"size": 64}).parent)
    for begin in range(0, 900, 300):
        store.images(np.arange(begin, begin + 300))
        assert resident() < 500  # kB, of some 3 MB


def test_a_shard_that_is_killed_leaves_no_part(tmp_path, monkeypatch):
    def kill(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", kill)  # after its last byte, before it takes its place
    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, 0, PHOTOS)
    assert not list(tmp_path.iterdir())


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def spoil_photo(folder):
    """The bytes of a photo, in the middle of a shard, turn to zeros; sizes stay."""
    path, image = shard_path(folder, 2), PHOTOS[9].image
    content = path.read_bytes()
    path.write_bytes(content.replace(image, bytes(len(image))))


def rewrite(folder, **changes):
    header = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps(header | changes))


def other_columns(folder):
    path = shard_path(folder, 0)
    batch = pa.record_batch({"file": ["a"] * 700})
    with pa.ipc.new_file(str(path), batch.schema) as writer:
        writer.write_batch(batch)
    shards = json.loads((folder / "store.json").read_text())["shards"]
    rewrite(folder, shards=[shards[0] | {"bytes": path.stat().st_size}, *shards[1:]])


def compressed(folder):
    path = shard_path(folder, 0)
    batch = pa.ipc.open_file(str(path)).get_batch(0)
    with pa.ipc.new_file(str(path), batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    shards = json.loads((folder / "store.json").read_text())["shards"]
    rewrite(folder, shards=[shards[0] | {"bytes": path.stat().st_size}, *shards[1:]])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "store.json").unlink(), r"no store\.json there; give a store that `recface prepare`"),
        (shutil.rmtree, r"no store\.json there"),
        (lambda folder: cut(folder / "store.json"), r"store\.json: not a readable store of photos"),
        (lambda folder: rewrite(folder, version=2), "version must be a whole number from 1 to 1, not 2"),
        (lambda folder: rewrite(folder, size="big"), "size must be a whole number from 8 to 1024, not 'big'"),
        (lambda folder: rewrite(folder, photos=20), "21 labels for 21 photos"),
        (lambda folder: cut(shard_path(folder, 2)), r"shard-00002\.arrow: .* bytes, not .*, so it is damaged"),
        (lambda folder: shard_path(folder, 0).unlink(), r"shard-00000\.arrow: no such file"),
        (lambda folder: cut(folder / "index.arrow"), r"index\.arrow: is not the one that store\.json tells of"),
        (other_columns, r"shard-00000\.arrow: not a readable part .*its columns must be file, image"),
        (compressed, r"shard-00000\.arrow: not a readable part"),
        (spoil_photo, r"row 9 \(n000001/0009_01\.jpg\): not a readable photo"),
    ],
)
def test_a_damaged_store_is_one_line(folder, damage, says):
    damage(folder)
    with pytest.raises(RecfaceError, match=says) as error:
        PhotoStore(folder).images(np.arange(21))
    assert str(error.value).count("\n") == 0 and str(folder) in str(error.value)


def test_a_shard_with_other_rows_than_the_header_says(folder):
    write_shard(folder, 1, PHOTOS[:1])
    shards = json.loads((folder / "store.json").read_text())["shards"]
    shards[1]["bytes"] = shard_path(folder, 1).stat().st_size
    shards[0]["rows"], shards[1]["rows"] = 5, 2
    rewrite(folder, shards=shards)
    with pytest.raises(RecfaceError, match=r"shard-00000\.arrow: 7 rows, not 5"):
        PhotoStore(folder).images(np.arange(5))


def test_missing_shards_and_headers_are_named_before_a_store_is_finished(tmp_path):
    write_shard(tmp_path, 1, PHOTOS[:2])
    with pytest.raises(RecfaceError, match=r"shard-00000\.arrow: no such file"):
        finish_store(tmp_path, HEADER | {"size": 32})
    write_shard(tmp_path, 0, PHOTOS[:2])
    with pytest.raises(RecfaceError, match="license is missing"):
        finish_store(tmp_path, {key: value for key, value in HEADER.items() if key != "license"} | {"size": 32})
    assert not (tmp_path / "store.json").exists()


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (noise_jpeg(np.random.default_rng(0), 40), "40 x 40 pixels, not 32 x 32"),
        (b"\xff\xd8" + bytes(100_000), "100,002 bytes for 32 x 32 pixels"),
        (PHOTOS[0].image[:300], "(?i)jpeg|incomplete|input"),
    ],
)
def test_photos_of_false_sizes_are_refused(image, says):
    with pytest.raises((RuntimeError, ValueError), match=says):
        decoded(image, 32)
