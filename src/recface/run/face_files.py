"""What is written of each face that was found in a photo: meshes, parameters, pictures, and one page of all."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from recface.data.found_faces import PHOTOS, FoundFaces
from recface.face_model import FaceModel
from recface.face_model.albedo import AlbedoModel
from recface.figures.faces_page import Shown, faces_page
from recface.figures.overlay import overlay, three_views
from recface.files.atomic import write_arrays, write_bytes
from recface.files.meshes import obj_text, write_glb
from recface.losses.center import center_weight
from recface.networks import Coefficients
from recface.render import matrix_to_euler, project
from recface.run.photo_colors import photo_colors, seen_share

TILE = 256  # pixels, of the pictures on the page
MARGIN = 0.25  # of the framing's half width, around a face on the page
PERSON, NEUTRAL = "person", "neutral.obj"


@dataclass(frozen=True)
class Predicted:
    """Coefficients of N photos, on the CPU, with the models that they are coefficients of."""

    face_model: FaceModel
    albedo_model: AlbedoModel
    coefficients: Coefficients

    def one(self, row: int) -> Predicted:
        """The prediction of one photo, as of a batch of it alone."""
        return Predicted(self.face_model, self.albedo_model, self.coefficients.index(slice(row, row + 1)))

    def placed(self, points: Tensor) -> Tensor:
        """Points (N, P, 3) in mm under the cameras of the photos, normalized; see `project`."""
        c = self.coefficients
        return project(points, c.rotation, c.scale, c.translation)

    def angles(self) -> Tensor:
        """Pitch, yaw and roll (N, 3) in radians."""
        return matrix_to_euler(self.coefficients.rotation)

    def fused(self) -> tuple[Tensor, Tensor]:
        """Shape (1, K) and albedo (1, A) of one person in all photos: means by `center_weight`."""
        c = self.coefficients
        weight = center_weight(self.angles(), c.expression)
        weight = weight if float(weight.sum()) > 0 else torch.ones_like(weight)  # all in profile
        share = (weight / weight.sum())[None]
        return share @ c.identity, share @ c.albedo


def folder_names(names: Sequence[str]) -> list[str]:
    """A plain name for the folder of each face, no two alike, also where case does not count."""
    taken, found = {PERSON}, []
    for name in names:
        bare = re.sub(rf"(?i)({'|'.join(map(re.escape, PHOTOS))})(?=#|$)", "", name)
        candidate = plain = re.sub(r"[^\w.=+-]+", "_", bare).strip("._")[-80:] or "face"
        number = 1
        while candidate.lower() in taken:
            number += 1
            candidate = f"{plain}-{number}"
        taken.add(candidate.lower())
        found.append(candidate)
    return found


def write_faces(
    out: Path,
    photos: FoundFaces,
    found: Predicted,
    one_person: bool = False,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write a folder for each of N faces, and index.html, which shows them all.

    A face's folder has `neutral.obj`, `neutral.glb` and `posed.obj`, `posed.glb` (with expression and turned as in the
    photo; colors are the photo's where it shows the face, else estimated), `parameters.npz`, `parameters.json` and
    `overlay.jpg`.

    Args:
        out: The folder.
        photos: Where the faces come from.
        found: Their coefficients.
        one_person: Whether all are one person, whose fused shape is written to the folder `person`.
        watch: Called with the faces done and their number.
    """
    names, shown = folder_names(photos.table["file"].tolist()), []
    if one_person:
        identity, albedo = found.fused()
        shown.append(_write_person(out / PERSON, found, identity, albedo))

    def write(row: int) -> Shown:
        return _write_face(out / names[row], photos, row, found.one(row))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # kernels, pictures and files wait for one another in turn
        for done, face in enumerate(pool.map(write, range(len(names))), start=1):
            shown.append(face)
            watch(done, len(names))
    page = faces_page(shown, photos.skipped, photos.remarks)
    write_bytes(out / "index.html", page.encode())


class Drawn(NamedTuple):
    """One face of a photo, decoded and drawn.

    Attributes:
        neutral: Shape (V, 3) in mm.
        posed: The same with expression, turned as in the photo.
        colors: (V, 3) in 0..1.
        photo: Part of the photo around the face.
        overlay: The shape over the whole photo.
        over: The part of `overlay` that `photo` shows.
        views: From `three_views`, colored.
    """

    neutral: Tensor
    posed: Tensor
    colors: np.ndarray
    photo: Image.Image
    overlay: Image.Image
    over: Image.Image
    views: Image.Image


def draw_face(photos: FoundFaces, row: int, one: Predicted) -> Drawn:
    """Decode and draw face number `row`, whose prediction is `one`."""
    model, c, photo = one.face_model, one.coefficients, photos.photo(row)
    neutral, moving = model.shape(c.identity)[0], model.shape(c.identity, c.expression)
    turn, shift = complex(photos.turn[row]), complex(photos.shift[row])
    projected = one.placed(moving)[0]
    placed = projected.numpy().astype(np.float64)
    center = (placed[:, 0] + 1j * placed[:, 1] - shift) / turn
    pixels = np.stack([center.real, -center.imag, placed[:, 2] / abs(turn)], axis=1)
    albedo = one.albedo_model(c.albedo)[0].clamp(0, 1).numpy()
    colors = photo_colors(photo, pixels[:, :2], seen_share(projected, model), albedo, model)
    drawn, crop = overlay(photo, pixels, model), _around(turn, shift)
    views = three_views(neutral, model.triangles, TILE, torch.from_numpy(colors).float())
    turned = (moving @ c.rotation.transpose(-1, -2))[0]
    return Drawn(neutral, turned, colors, photo.crop(crop), drawn, drawn.crop(crop), views)


def picture_of_faces(photos: FoundFaces, found: Predicted) -> Image.Image:
    """A row for each of N faces: the photo, the shape over it, and the neutral shape from three sides, twice."""
    size = 2 * TILE
    page = Image.new("RGB", (2 * size + 3 * TILE, size * len(photos.table)), "white")
    for row in range(len(photos.table)):
        drawn = draw_face(photos, row, found.one(row))
        for column, part in enumerate((drawn.photo, drawn.over)):
            page.paste(part.resize((size, size), Image.Resampling.LANCZOS), (column * size, row * size))
        page.paste(drawn.views, (2 * size, row * size))
    return page


def _write_face(folder: Path, photos: FoundFaces, row: int, one: Predicted) -> Shown:
    model, c = one.face_model, one.coefficients
    turn, shift = complex(photos.turn[row]), complex(photos.shift[row])
    drawn = draw_face(photos, row, one)
    write_bytes(folder / "overlay.jpg", _jpeg(drawn.overlay, 90))
    _write_mesh(folder / "neutral", drawn.neutral, model, drawn.colors)
    _write_mesh(folder / "posed", drawn.posed, model, drawn.colors)
    marks = one.placed(model.landmarks(c.identity, c.expression))[..., :2].numpy().astype(np.float64)
    place = (marks[0, :, 0] + 1j * marks[0, :, 1] - shift) / turn
    line = photos.table.iloc[row]
    pitch, yaw, roll = (round(angle, 2) for angle in one.angles()[0].rad2deg().tolist())
    arrays = {
        "identity": c.identity[0],
        "expression": c.expression[0],
        "albedo": c.albedo[0],
        "rotation": c.rotation[0],
        "scale": c.scale[0],
        "translation": c.translation[0],
        "light": c.light[0],
        "landmarks": np.stack([place.real, -place.imag], -1),
        "turn": np.array([turn.real, turn.imag]),
        "shift": np.array([shift.real, shift.imag]),
    }
    if model.own_identity is not None:
        arrays["own_identity"] = model.own_identity @ c.identity[0]
    write_arrays(folder / "parameters.npz", {key: np.asarray(value) for key, value in arrays.items()})
    about = {
        "file": line["file"],
        "box": line["box"],
        "confidence": float(line["confidence"]),
        "face_model": {"name": model.name, "checksum": model.checksum, "license": model.licence},
        "pose_degrees": {"pitch": pitch, "yaw": yaw, "roll": roll},
    }
    named = dict(zip(model.expression_names, c.expression[0].tolist(), strict=True))
    _write_parameters(folder, about | arrays | {"expression": named})
    strongest = max(named, key=lambda name: abs(named[name]), default="")
    text = f"Head turned by {yaw:.0f}° (yaw), {pitch:.0f}° (pitch), {roll:.0f}° (roll)"
    return Shown(
        str(line["file"]),
        folder.name,
        f"{text}; strongest expression: {strongest.replace('_', ' ')} {named.get(strongest, 0):.2f}",
        _uri(drawn.photo),
        _uri(drawn.over),
        _uri(drawn.views, None),
    )


def _write_person(folder: Path, found: Predicted, identity: Tensor, albedo: Tensor) -> Shown:
    """The fused shape of one person."""
    model, shape = found.face_model, found.face_model.shape(identity)
    colors = found.albedo_model(albedo)[0].clamp(0, 1)
    _write_mesh(folder / "neutral", shape[0], model, colors.numpy())
    arrays = {"identity": identity[0].numpy(), "albedo": albedo[0].numpy()}
    if model.own_identity is not None:
        arrays["own_identity"] = (model.own_identity @ identity[0]).numpy()
    write_arrays(folder / "parameters.npz", arrays)
    _write_parameters(folder, {"photos": len(found.coefficients), **arrays})
    text = f"Mean shape of {len(found.coefficients)} photos, weighted by how frontal and neutral each is"
    views = _uri(three_views(shape[0], model.triangles, TILE, colors), None)
    return Shown("All photos fused", folder.name, text, views=views)


def _write_parameters(folder: Path, values: dict[str, Any]) -> None:
    """Write parameters.json, a line for each value."""
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=lambda array: array.tolist())
    lines = ",\n".join(f"  {encoder.encode(key)}: {encoder.encode(value)}" for key, value in values.items())
    write_bytes(folder / "parameters.json", f"{{\n{lines}\n}}\n".encode())


def _write_mesh(path: Path, vertices: Tensor, model: FaceModel, colors: np.ndarray) -> None:
    points, triangles = vertices.numpy(), model.triangles.numpy()
    write_bytes(path.with_suffix(".obj"), obj_text(points, triangles).encode())
    write_glb(path.with_suffix(".glb"), points, triangles, colors)


def _around(turn: complex, shift: complex) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the photo's upright square around the suite's framing, with a margin."""
    center, half = -shift / turn, (1 + MARGIN) / abs(turn)
    left, top = round(center.real - half), round(-center.imag - half)
    return left, top, left + round(2 * half), top + round(2 * half)


def _uri(picture: Image.Image, size: int | None = TILE) -> str:
    """A picture as a data URI, scaled to a square."""
    scaled = picture if size is None else picture.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return f"data:image/jpeg;base64,{base64.b64encode(_jpeg(scaled, 82)).decode()}"


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return stream.getvalue()
