"""Reconstruct photos with a trained network: shapes, landmarks and meshes as files, and a picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from recface.data.found_faces import PHOTOS, FoundFaces
from recface.data.framing import canonical_landmarks
from recface.data.photos import LazyRows, Photos, load_photos, read_photos
from recface.data.sources import Selection
from recface.data.store import HEADER, PLACEMENT, PhotoStore
from recface.data.workbench import Workbench, open_workbench
from recface.errors import RecfaceError
from recface.face_model import save
from recface.figures.reconstruction_picture import reconstruction_picture
from recface.files.atomic import require_empty, write_arrays, write_bytes
from recface.files.meshes import obj_text
from recface.metrics.protocols.scans import SEVEN_OF_68
from recface.metrics.readers.predictions import write_predictions
from recface.networks import Coefficients
from recface.run.evaluation import CHUNK
from recface.run.experiment import set_up_torch, trained_variant
from recface.run.face_files import NEUTRAL, Predicted, folder_names, write_faces
from recface.run.handed_in import HANDED_IN, require_places, write_handed_in
from recface.run.shipped import TrainedNetwork, open_shipped
from recface.tracking import RunFolder, read_record
from recface.variants import Reconstruction

PICTURED = 8
Images = np.ndarray | LazyRows
"""Photos (N, 3, S, S) uint8, in memory or read when they are asked for."""


def open_run(path: Path, cache: Path | None = None) -> tuple[Workbench, Reconstruction]:
    """The bench and the network of a finished run, by its folder; cached data lies in `cache`, or in the run's own.

    Raises:
        RecfaceError: The folder holds no finished run of a network, or its weights or face model are missing.
    """
    record = read_record(path)
    if record.state != "finished" or "variant" not in record.config:
        raise RecfaceError(f"{path}: must be a finished run of a network, not {record.experiment} ({record.state})")
    folder = RunFolder.open(path)
    config: dict[str, Any] = dict(record.config)
    # Stage 1 and scan models lie beside the run, wherever it was moved.
    config["paths"] = record.config["paths"] | {"runs": str(path.resolve().parents[2])}
    if cache is not None:
        config["paths"]["cache"] = str(cache)
    set_up_torch(config)
    bench = open_workbench(config, training=False)
    return bench, trained_variant(bench, folder)


def open_network(run: Path | None, cache: Path | None = None) -> tuple[Workbench | TrainedNetwork, Reconstruction]:
    """Open a run as `open_run` does, or without one the network that comes with the package."""
    if run is not None:
        return open_run(run, cache)
    shipped = open_shipped()
    return shipped, shipped.variant


def is_prepared(path: Path) -> bool:
    """Whether a path is a table of photos or a prepared store, and not photos in which faces are to be found."""
    return path.suffix.lower() == ".csv" or (path / "faces.csv").is_file() or (path / HEADER).is_file()


def open_faces(path: Path, bench: Workbench | TrainedNetwork, framed: bool = False) -> Photos | StoredFaces:
    """Open photos: a prepared store, a table as of training sources, or a folder of photos, also in folders of it.

    Photos without landmarks must be `framed`, as a store's are.

    Raises:
        RecfaceError: No photo there, or as `read_photos`.
    """
    canonical, size = canonical_landmarks(bench.face_model), bench.config["scale"]["image_size"]
    if path.is_file() or (path / "faces.csv").is_file():
        return read_photos(path, canonical, size, "photos", framed)
    if (path / HEADER).is_file():
        return stored_faces(path, size)
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.suffix.lower() in PHOTOS)
    if not files:
        raise RecfaceError(f"photos: {path}: no faces.csv and no photo ({', '.join(PHOTOS)}) there")
    return load_photos(pd.DataFrame({"file": files}), path, canonical, size, "photos", framed)


@dataclass(frozen=True)
class StoredFaces:
    """The photos (N, 3, S, S) of a prepared store, as `Photos`."""

    store: PhotoStore
    table: pd.DataFrame
    images: LazyRows

    def in_pixels(self, points: np.ndarray) -> np.ndarray:
        """Normalized points (N, P, 2) in the pixels of the original photos; NaN where the store does not know them."""
        found = np.full_like(points, np.nan)
        for row, marks in enumerate(points):
            if place := self.store.photo(row).extra.get(PLACEMENT):
                turn, shift = (complex(text) for text in place.split())
                moved = (marks[:, 0] + 1j * marks[:, 1] - shift) / turn
                found[row] = np.stack([moved.real, -moved.imag], -1)
        return found


def stored_faces(path: Path, size: int) -> StoredFaces:
    """Open a prepared store, whose photos are resized as in training where they are of another size."""
    store = PhotoStore(path)
    table = pd.DataFrame({"file": store.files(np.arange(len(store)))})
    return StoredFaces(store, table, LazyRows(Selection(store, None, size).images, (len(store), 3, size, size)))


def predict(
    variant: Reconstruction, images: Images, watch: Callable[[int, int], None] = lambda done, total: None
) -> Predicted:
    """Run a network over photos (N, 3, S, S) uint8, on the CPU."""
    model, turn = variant.cpu().eval().exported()
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), CHUNK):
            parts.append(variant(torch.from_numpy(images[start : start + CHUNK]).float() / 255))
            watch(min(start + CHUNK, len(images)), len(images))
    found = {field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Coefficients)}
    if turn is not None:
        found["identity"] = found["identity"] @ turn
    return Predicted(model, variant.albedo_model, Coefficients(**found))


def reframe(variant: Reconstruction, photos: FoundFaces, canonical: np.ndarray) -> FoundFaces:
    """Found faces, framed anew by the 68 landmarks that the network sees in them, as its training photos are framed.

    Args:
        variant: The network.
        photos: As the detector's five points frame them.
        canonical: (68, 2), from `canonical_landmarks`.
    """
    found = predict(variant, photos.images)
    c = found.coefficients
    marks = found.placed(found.face_model.landmarks(c.identity, c.expression))[..., :2]
    return photos.reframed(marks.double().numpy(), canonical)


def reconstruct_photos(
    bench: Workbench | TrainedNetwork,
    variant: Reconstruction,
    photos: Photos | StoredFaces | FoundFaces,
    out: Path,
    meshes: bool = False,
    benchmark: str | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
    one_person: bool = False,
) -> Path:
    """Reconstruct photos and write what `recface evaluate --predictions` reads; returns the folder.

    Args:
        bench: Of the run.
        variant: Its network.
        photos: Of any number N.
        out: New or empty; gets `ids.csv` (the column `file`), `parameters.npy` (N, K) whitened, `weights.npy` (K,) mm,
            `landmarks.npy` (N, 68, 2) in the files' pixels, `points.npy` (N, 7, 3) mm, `face_model.npz` that these are
            parameters of, and `picture.png` of the first photos. Where the face model knows how its own files count
            (`recface.face_model.official`), `own_coefficients.npz` has `identity` (N, L) and `expression` (N, E) in
            that way. Faces that were found in photos get what `write_faces` writes, too, unless it is for
            a benchmark.
        meshes: Whether to write the neutral shapes too: OBJ files in mm, which `ids.csv` names, `vertices.npy`
            (N, V, 3) and `triangles.npy` (F, 3).
        benchmark: A key of `LAYOUTS`: write what it wants handed in. For those on scans these are meshes and landmarks
            as of `write_handed_in` in place of the arrays; for `bin` the arrays and `mirrored.npy` (N, K), the
            parameters of the mirrored photos.
        watch: Called with the photos done and their number.
        one_person: Whether all found faces are one person's; see `write_faces`.

    Raises:
        RecfaceError: No photo, two of one name, or a folder that is not empty.
    """
    ids = photos.table["file"].astype(str).tolist()
    if not ids:
        raise RecfaceError("photos: no photo in the table")
    require_empty(out)
    if len(set(ids)) < len(ids):
        raise RecfaceError(f"photos: {next(name for name in ids if ids.count(name) > 1)} is there twice")
    if benchmark in HANDED_IN:
        require_places(benchmark, ids)  # before the work, not after it
    if isinstance(photos, FoundFaces):
        photos = reframe(variant, photos, canonical_landmarks(bench.face_model))
    found = predict(variant, photos.images, watch)
    model, identity, expression = found.face_model, found.coefficients.identity, found.coefficients.expression
    arrays = {
        "parameters": identity.numpy(),
        "weights": model.identity_sigma.numpy(),
        "points": model.landmarks(identity)[:, list(SEVEN_OF_68)].numpy(),
    }
    marks = found.placed(model.landmarks(identity, expression))[..., :2]
    pixels = photos.in_pixels(marks.double().numpy()).astype(np.float32)
    if np.isfinite(pixels).all():
        arrays["landmarks"] = pixels
    if benchmark == "bin":
        mirrored = LazyRows(lambda rows: np.ascontiguousarray(photos.images[rows][..., ::-1]), photos.images.shape)
        arrays["mirrored"] = predict(variant, mirrored).coefficients.identity.numpy()
    names, faces = pd.DataFrame({"id": ids}), isinstance(photos, FoundFaces) and benchmark is None
    if faces:
        names["file"] = [f"{folder}/{NEUTRAL}" for folder in folder_names(ids)]
    if benchmark in HANDED_IN:
        shapes = model.shape(identity).numpy()
        write_handed_in(benchmark, out, ids, shapes, arrays["points"], model)
    elif meshes:  # what protocols on scans need
        arrays |= {"vertices": model.shape(identity).numpy(), "triangles": model.triangles.numpy()}
        if not faces:
            names["mesh"] = [f"meshes/{row:05d}_{Path(name).stem}.obj" for row, name in enumerate(ids)]
            for place, shape in zip(names["mesh"], arrays["vertices"], strict=True):
                write_bytes(out / place, obj_text(shape, arrays["triangles"]).encode())
    if benchmark not in HANDED_IN:
        write_predictions(out, names, arrays)
    save(model, out / "face_model.npz")
    if model.own_identity is not None:
        own = (identity @ model.own_identity.T).numpy()
        write_arrays(out / "own_coefficients.npz", {"identity": own, "expression": expression.numpy()})
    shown = torch.from_numpy(photos.images[:PICTURED]).float() / 255
    stream = io.BytesIO()
    Image.fromarray(reconstruction_picture(variant, shown)).save(stream, "PNG")
    write_bytes(out / "picture.png", stream.getvalue())
    if isinstance(photos, FoundFaces) and faces:
        write_faces(out, photos, found, one_person, watch)
    return out
