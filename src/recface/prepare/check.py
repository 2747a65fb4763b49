"""Checks of prepared stores: damaged photos, duplicates and leakage, implausible landmarks, and how labels lie."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from recface.data.framing import similarity_2d
from recface.data.store import PhotoStore, StoredPhoto
from recface.errors import one_line
from recface.face_model.model import FLIP68
from recface.prepare.preparation import canonical_points

SIDE = 16  # of the fingerprint: 256 bits
BANDS = 8  # of 32 bits, so that of two fingerprints within NEAR bits one band at least is the same
NEAR = BANDS - 1
NEIGHBORS = 50  # fingerprints of one band that are compared with each, in the order of all their bits
FLAT = 4  # gray levels: a smaller step counts as none, so that plain areas and edges of the photo say nothing
SHOWN = 20  # findings of a kind
FARTHEST = 1.5  # half images from the center that a landmark may lie
STRANGEST = 0.5  # half images, root mean square, between landmarks and the mean face's after a similarity
YAWS = (0, 30, 60, 90)


def fingerprint(image: bytes) -> np.ndarray:
    """Difference hash of a photo (256,) bool: whether each of 16 x 16 areas is brighter than the one to its left.

    Source: N. Krawetz, "Kind of like that", 2013, with 256 bits instead of 64, since aligned faces are much alike.

    Raises:
        Exception: The image cannot be decoded.
    """
    with Image.open(io.BytesIO(image), formats=("JPEG",)) as photo:
        photo.draft("L", (4 * SIDE, 4 * SIDE))
        gray = np.asarray(photo.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX), np.int16)
    return (gray[:, 1:] > gray[:, :-1] + FLAT).ravel()


def near_pairs(bits: np.ndarray) -> np.ndarray:
    """Pairs (M, 2) of fingerprints (N, 256) that differ in at most 7 bits; (i, j) with i < j, sorted.

    Two such have one of eight bands in common. Within a band, each is compared with the next 50 in the order of all
    bits, so that millions of photos take minutes; in larger groups of equal bands a pair may be missed.
    """
    packed = np.packbits(bits, axis=1)
    words = packed.view(">u4").astype(np.uint32)
    found = []
    for band in range(BANDS):
        order = np.lexsort((*(words[:, other] for other in range(BANDS) if other != band), words[:, band]))
        for step in range(1, min(NEIGHBORS, len(order) - 1) + 1):
            first, second = order[:-step], order[step:]
            same = words[first, band] == words[second, band]
            if not same.any():
                break
            first, second = first[same], second[same]
            apart = np.bitwise_count(packed[first] ^ packed[second]).sum(axis=1, dtype=np.int64)
            close = apart <= NEAR
            found.append(np.sort(np.stack([first[close], second[close]], axis=1), axis=1))
    return np.unique(np.concatenate(found), axis=0) if found else np.empty((0, 2), np.int64)


def strange_landmarks(landmarks: np.ndarray, canonical: np.ndarray) -> str | None:
    """Why landmarks (68, 2) cannot be those of a framed face, or None.

    Args:
        landmarks: Normalized.
        canonical: (68, 2) the mean face's.
    """
    if np.abs(landmarks).max() > FARTHEST:
        return "a landmark far outside of the photo"
    if np.ptp(landmarks, axis=0).min() < 0.05:
        return "all landmarks in one place or line"

    def residual(points: np.ndarray) -> float:
        a, b = similarity_2d(points, canonical)
        moved = a * (points[:, 0] + 1j * points[:, 1]) + b
        return float(np.sqrt(np.mean(np.abs(moved - (canonical[:, 0] + 1j * canonical[:, 1])) ** 2)))

    own = residual(landmarks)
    if residual(landmarks[FLIP68]) < 0.5 * own:
        return "left and right are exchanged"
    return "landmarks in no shape of a face" if own > STRANGEST else None


def check_stores(
    folders: Sequence[Path], watch: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[str], list[str]]:
    """Look at every photo of stores.

    Returns:
        Facts, a line each: sizes and how labels are distributed; and findings, a line each.

    Raises:
        RecfaceError: A folder holds no store.
    """
    stores = [PhotoStore(folder) for folder in folders]
    total, done = sum(map(len, stores)), 0
    facts: list[str] = []
    canonical = canonical_points()
    damaged: list[str] = []
    strange: list[str] = []
    bits, places = [], list[tuple[int, int]]()
    for number, store in enumerate(stores):
        damaged += [f"{path}: changed since the store was made; prepare it again" for path in store.changed_shards()]
        people: Counter[str] = Counter()
        splits: Counter[str] = Counter()
        yaws: Counter[str] = Counter()
        for row in range(len(store)):
            photo, where = store.photo(row), f"{store.folder}: row {row}"
            people.update([photo.identity] if photo.identity else [])
            splits[photo.split] += 1
            yaws.update(_yaw_bin(photo))
            try:
                bits.append(fingerprint(photo.image))
                places.append((number, row))
            except Exception as error:
                damaged.append(f"{where} ({photo.file}): damaged photo ({one_line(error, 60)}); prepare it again")
            if photo.landmarks is not None and (why := strange_landmarks(photo.landmarks.astype(float), canonical)):
                strange.append(f"{where} ({photo.file}): {why}; look at it, or leave it out")
            done += 1
            watch(done, total)
        facts += _facts(store, people, splits, yaws)
    pairs = near_pairs(np.array(bits)) if len(bits) > 1 else np.empty((0, 2), np.int64)
    return facts, [*_some(damaged), *_some(strange), *_duplicates(stores, places, pairs), *_shared_people(stores)]


def _yaw_bin(photo: StoredPhoto) -> list[str]:
    try:
        yaw = abs(float(photo.extra["yaw"]))
    except (KeyError, ValueError):
        return []
    return [f"{low} to {high}" for low, high in zip(YAWS, (*YAWS[1:], float("inf")), strict=True) if low <= yaw < high]


def _facts(store: PhotoStore, people: Counter[str], splits: Counter[str], yaws: Counter[str]) -> Iterator[str]:
    marked = int(store.has_landmarks.sum())
    size = f"{len(store):,} photos of {store.size} pixels, {marked:,} with landmarks; {len(people):,} people"
    yield f"{store.folder}: {size}"
    yield f"{store.folder}: splits: {', '.join(f'{name} {count:,}' for name, count in sorted(splits.items()))}"
    if people:
        low, *middle, high = np.percentile(list(people.values()), (0, 25, 50, 75, 100)).astype(int)
        yield f"{store.folder}: photos a person: {low} to {high}, quartiles {', '.join(map(str, middle))}"
    if yaws:
        yield f"{store.folder}: |yaw| in degrees: {', '.join(f'{name}: {n:,}' for name, n in sorted(yaws.items()))}"


def _some(findings: list[str]) -> list[str]:
    """The first findings of a kind, and how many more there are."""
    more = len(findings) - SHOWN
    return findings if more <= 0 else [*findings[:SHOWN], f"... and {more:,} more such"]


def _duplicates(stores: Sequence[PhotoStore], places: Sequence[tuple[int, int]], pairs: np.ndarray) -> list[str]:
    """Findings, those of training and test photos first, then those of different people, then of one."""
    kinds: dict[int, list[str]] = defaultdict(list)
    for i, j in pairs.tolist():
        (one, row), (two, other) = places[i], places[j]
        first, second = stores[one].photo(row), stores[two].photo(other)
        exact = "the same photo" if first.image == second.image else "nearly the same photo"
        where = f"{stores[one].folder}: row {row} ({first.file}) and {stores[two].folder}: row {other} ({second.file})"
        if first.split != second.split:
            kinds[0].append(f"{where}: {exact} in {first.split} and {second.split}: leakage; leave one out")
        elif first.identity != second.identity:
            kinds[1].append(f"{where}: {exact} of '{first.identity}' and '{second.identity}'; leave one out")
        else:
            kinds[2].append(f"{where}: {exact} twice; leave one out")
    return [line for kind in sorted(kinds) for line in _some(kinds[kind])]


def _shared_people(stores: Sequence[PhotoStore]) -> list[str]:
    """People with photos of more than one split within a store: its test measures nobody unseen."""
    found = []
    for store in stores:
        known = store.identity >= 0
        pairs = np.unique(np.stack([store.identity[known], store.split[known]], axis=1), axis=0)
        people, counts = np.unique(pairs[:, 0], return_counts=True)
        for person in people[counts > 1].tolist():
            found.append(
                f"{store.folder}: '{store.people[person]}' is in more than one split: leakage; move the photos"
            )
    return _some(found)
