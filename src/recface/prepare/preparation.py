"""Preparing a dataset: rows to crops to shards, in worker processes, resumable, with a report at the end."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

import numpy as np

from recface.data.detection import NoDetectorError, face_points
from recface.data.store import HEADER, PLACEMENT, StoredPhoto, finish_store, shard_path, write_shard
from recface.errors import RecfaceError, SkippedError, one_line
from recface.files.atomic import sweep_up, write_arrays, write_bytes, write_json
from recface.files.guard import guarded
from recface.files.json_files import read_json
from recface.files.meshes import read_mesh
from recface.prepare.catalog import dataset_named
from recface.prepare.crops import crop
from recface.prepare.dataset import Dataset, Row, require_layout
from recface.prepare.report import write_report

SHARD = 2_000  # photos, at most: what a kill can lose for each worker
LARGEST_FILE = 500_000_000
PLAN, PARTS, PAIRS, SCANS = "prepare.json", ".parts", "pairs.csv", "scans.csv"
VERSION = 1
Watch = Callable[[int, int], None]


def canonical_points() -> np.ndarray:
    """The framing of all stores, (68, 2) normalized: `canonical_landmarks` of the embedded face model, kept as numbers.

    A store is therefore the same for every face model that is trained on it.
    """
    path = Path(__file__).with_name("canonical68.json")
    return np.array(json.loads(path.read_text())["landmarks"], np.float64)


@dataclass(frozen=True)
class Job:
    """A shard to make: what a worker needs for it."""

    dataset: str
    out: Path
    size: int
    number: int
    rows: list[Row]

    @property
    def digest(self) -> str:
        """Hash over what the rows tell, by which a shard that is there already is recognized."""
        return hashlib.sha256("\0".join(map(_told, self.rows)).encode()).hexdigest()

    @property
    def summary(self) -> Path:
        """File that tells of the finished shard."""
        return self.out / PARTS / f"{self.number:05d}.json"


def _told(row: Row) -> str:
    """Name, labels and positions of a row."""
    places = [None if points is None else points.tolist() for points in (row.landmarks, row.five)]
    return repr((row.file, row.identity, row.split, row.framed, row.box, row.extra, *places))


def prepare(
    name: str,
    raw: Path,
    out: Path,
    size: int = 224,
    workers: int = 1,
    limit: int | None = None,
    watch: Watch = lambda done, total: None,
    shard: int = SHARD,
) -> Path:
    """Turn a dataset's official folder into a store of framed photos, or into a folder of scans.

    A killed preparation goes on where it was: finished shards are kept. Nothing outside of `out` is written.

    Args:
        name: Of `recface.prepare.catalog.DATASETS`.
        raw: The official folder.
        out: A new folder, or one of the same preparation that was interrupted.
        size: Width and height of the crops.
        workers: Processes; 1 is this one.
        limit: Take only so many photos, the first ones.
        watch: Called with the photos that are done, and their number.
        shard: Photos a shard, at most.

    Returns:
        The store's header, or the table of scans.

    Raises:
        RecfaceError: The folder is not the dataset's, `out` holds something else, or no photo can be used.
    """
    dataset = dataset_named(name)
    require_layout(dataset, raw)
    if out.resolve().is_relative_to(raw.resolve()):
        raise RecfaceError(f"{out}: lies in the dataset's own folder {raw}; give --out elsewhere")
    plan = {
        "version": VERSION,
        "dataset": name,
        "raw": str(raw.resolve()),
        "size": size,
        "limit": limit,
        "shard": shard,
    }
    _require_same_plan(out, plan)
    goal = out / (SCANS if dataset.meshes else HEADER)
    if goal.is_file():
        return goal
    write_json(out / PLAN, plan)
    sweep_up(out)
    total = sum(1 for _ in itertools.islice(dataset.rows(raw), limit))
    rows = itertools.islice(dataset.rows(raw), limit)
    if dataset.meshes:
        return _write_scans(dataset, rows, out, total, watch)
    chunks = iter(lambda: list(itertools.islice(rows, shard)), [])
    jobs = (Job(name, out, size, number, chunk) for number, chunk in enumerate(chunks))
    summaries, done = {}, 0
    for number, summary in _made(jobs, workers):
        summaries[number] = summary
        done += summary["rows"]
        watch(done, total)
    parts = [summaries[number] for number in sorted(summaries)]
    for number in itertools.count(len(parts)):  # of an earlier, longer list of photos
        if not shard_path(out, number).is_file():
            break
        shard_path(out, number).unlink()
    if not sum(part["kept"] for part in parts):
        reasons = Counter(reason for part in parts for _, reason in part["skipped"]).most_common(1)
        raise RecfaceError(f"{raw}: none of {total:,} photos can be used: {reasons[0][0] if reasons else 'none found'}")
    if dataset.pairs is not None:
        _write_pairs(out / PAIRS, dataset.pairs(raw))
    header = {"name": name, "size": size, "framing": f"the suite's, by {dataset.framing}"}
    goal = finish_store(out, header | {"license": dataset.license, "source": f"{dataset.title}, {dataset.ask}"})
    write_report(out, dataset, parts)
    shutil.rmtree(out / PARTS)
    return goal


def _require_same_plan(out: Path, plan: dict[str, Any]) -> None:
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / PLAN).is_file()):
        raise RecfaceError(f"{out}: holds something else; give a new folder")
    if (out / PLAN).is_file() and (before := read_json(out / PLAN)) != plan:
        key = next(key for key in (*plan, *before) if plan.get(key) != before.get(key))
        raise RecfaceError(
            f"{out}: was prepared with {key} {before.get(key)}, not {plan.get(key)}; give a new folder or remove it"
        )


def _made(jobs: Iterable[Job], workers: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and summary of each shard as it is done; few jobs are in memory at a time."""
    if workers == 1:
        for job in jobs:
            yield job.number, make_shard(job)
        return
    waiting: dict[Future[dict[str, Any]], int] = {}
    with _pool(workers) as pool:
        jobs = iter(jobs)
        while True:
            for job in itertools.islice(jobs, 2 * workers - len(waiting)):
                waiting[pool.submit(make_shard, job)] = job.number
            if not waiting:
                break
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future.result()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one, however it ends."""
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise


def _begin_worker() -> None:
    """Leave signals to the parent, and end with it; one thread each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait_for([parent.sentinel]), os._exit(1)), daemon=True).start()
    import torch

    torch.set_num_threads(1)


def make_shard(job: Job) -> dict[str, Any]:
    """Crop the photos of a shard and write it; one that is there already is kept.

    Returns:
        How many rows it had, how many were kept, which were skipped and why, and the photos of each person.

    Raises:
        NoDetectorError: A photo needs the detector, which is not installed.
    """
    with suppress(RecfaceError):
        summary = read_json(job.summary)
        if summary.get("digest") == job.digest and shard_path(job.out, job.number).is_file():
            return summary
    dataset, canonical = dataset_named(job.dataset), canonical_points()
    photos: list[StoredPhoto] = []
    skipped = []
    for row in job.rows:
        try:
            whole = dataset.complete(row)
            image, landmarks, (a, b) = crop(_data(whole), whole, canonical, job.size, face_points)
            extra = {**whole.extra, PLACEMENT: f"{a} {b}"}
            photos.append(StoredPhoto(whole.file, image, whole.identity, landmarks, whole.split, extra))
        except NoDetectorError as error:
            raise NoDetectorError(f"{job.dataset}: {row.file}: {error}") from None
        except (SkippedError, RecfaceError) as error:
            skipped.append((row.file, str(error)))
    write_shard(job.out, job.number, photos)
    summary = {
        "digest": job.digest,
        "rows": len(job.rows),
        "kept": len(photos),
        "skipped": skipped,
        "people": Counter(photo.identity for photo in photos if photo.identity),
        "splits": Counter(photo.split for photo in photos),
        "landmarks": sum(photo.landmarks is not None for photo in photos),
    }
    write_json(job.summary, summary)
    return summary


def _data(row: Row) -> bytes:
    """The image file of a row."""
    if isinstance(row.photo, bytes):
        return row.photo
    if isinstance(row.photo, tuple):
        raise RecfaceError("a record that was not read")
    if not row.photo.is_file():
        raise SkippedError("no such file")
    with guarded(row.photo, "image", limit=LARGEST_FILE):
        return row.photo.read_bytes()


def _write_pairs(path: Path, pairs: Iterable[tuple[str, str, bool, int]]) -> None:
    """The verification list as `recface evaluate` reads it; none where the folder has no list."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("first", "second", "same", "fold"))
    rows = [(first, second, int(same), fold) for first, second, same, fold in pairs]
    writer.writerows(rows)
    if rows:
        write_bytes(path, stream.getvalue().encode())


def _write_scans(dataset: Dataset, rows: Iterable[Row], out: Path, total: int, watch: Watch) -> Path:
    """Meshes in millimeters, and the table that `recface scans` reads, at last."""
    table, skipped = [], []
    for number, row in enumerate(rows):
        file = f"meshes/{number:06d}.npz"
        try:
            if not (out / file).is_file():
                assert isinstance(row.photo, Path)
                vertices, triangles = read_mesh(row.photo)
                if triangles is None:
                    raise RecfaceError("a mesh without triangles")
                scaled = (dataset.scale * vertices).astype(np.float32)
                write_arrays(out / file, {"vertices": scaled, "triangles": triangles.astype(np.int32)})
            table.append((file, row.identity, row.extra.get("expression", ""), row.file))
        except RecfaceError as error:
            skipped.append((row.file, one_line(error)))
        watch(number + 1, total)
    if not table:
        raise RecfaceError(f"{out}: no mesh can be used: {skipped[0][1] if skipped else 'none found'}")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("file", "identity", "expression", "source"))
    writer.writerows(table)
    people = Counter(identity for _, identity, _, _ in table)
    part = {"rows": total, "kept": len(table), "skipped": skipped, "people": people, "splits": {}, "landmarks": 0}
    write_report(out, dataset, [part])
    write_bytes(out / SCANS, stream.getvalue().encode())
    return out / SCANS
