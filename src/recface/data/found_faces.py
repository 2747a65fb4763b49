"""Faces from files: photos, folders of them and videos in; framed faces out, with what was left out and why."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from recface.data.detection import Face, NoDetectorError, detect_turned
from recface.data.framing import five_of, framed, framing_of, placement
from recface.errors import RecfaceError, SkippedError
from recface.files.guard import guarded
from recface.files.images import CAMERAS, read_image

PHOTOS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")

VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
FRAME_QUALITY = 95
LARGEST_CHANGE = 1.5
"""Factor; where landmarks ask for more, either they or the detector are wrong."""


@dataclass(frozen=True)
class FoundFaces:
    """N faces that the detector found, framed; what `recface.data.photos.Photos` has, and the way back to the photos.

    Attributes:
        table: Columns `file` (name, unlike any other), `path` (of the photo), `box` (4 numbers in its pixels),
            `confidence` of the detector.
        images: (N, 3, S, S) uint8.
        turn: (N,) complex; a pixel (x, y) of the photo comes to turn (x - iy) + shift in normalized coordinates.
        shift: (N,) complex.
        frames: Frames of videos as JPEG, by their path.
        skipped: One line for each photo that gave no face.
        remarks: One line for what a reader of the results should know, such as a face that is cut by the border.
    """

    table: pd.DataFrame
    images: np.ndarray
    turn: np.ndarray
    shift: np.ndarray
    frames: dict[str, bytes] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def in_pixels(self, points: np.ndarray) -> np.ndarray:
        """Normalized points (N, P, 2) in the pixels of the photos."""
        place = (points[..., 0] + 1j * points[..., 1] - self.shift[:, None]) / self.turn[:, None]
        return np.stack([place.real, -place.imag], -1)

    def reframed(self, points: np.ndarray, canonical: np.ndarray) -> FoundFaces:
        """The same faces, framed by 68 landmarks as photos with a table are: the detector finds five.

        Args:
            points: Normalized landmarks (N, 68, 2) in the present framing.
            canonical: (68, 2) landmark positions that crops are aligned to.

        Returns:
            The faces anew; one whose frame would grow or shrink by more than `LARGEST_CHANGE` keeps its own.
        """
        turn, shift = framing_of(self.in_pixels(points), canonical)
        change = np.abs(np.log(np.abs(turn / self.turn)))
        kept = change > np.log(LARGEST_CHANGE)
        turn, shift = np.where(kept, self.turn, turn), np.where(kept, self.shift, shift)
        size = self.images.shape[-1]
        places = zip(turn.tolist(), shift.tolist(), strict=True)

        def frame(row: int, place: tuple[complex, complex]) -> np.ndarray:
            return np.asarray(framed(self.photo(row), *place, size))

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # each photo is decoded once more
            images = list(pool.map(frame, range(len(turn)), places))
        return replace(self, images=np.stack(images).transpose(0, 3, 1, 2), turn=turn, shift=shift)

    def photo(self, row: int) -> Image.Image:
        """The upright photo of a face."""
        path = self.table["path"].iloc[row]
        return Image.open(io.BytesIO(self.frames[path])) if path in self.frames else read_image(path)


def find_faces(
    paths: Sequence[Path],
    canonical: np.ndarray,
    size: int,
    all_faces: bool = False,
    every: float = 1.0,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> FoundFaces:
    """Find and frame the faces of photos; a photo that cannot be read or has no face is skipped, and the rest go on.

    Args:
        paths: Photos, videos, and folders, whose photos and videos are taken, also from folders in them.
        canonical: (68, 2) landmark positions that crops are aligned to.
        size: Width and height S of the crops.
        all_faces: Whether to take each face of a photo, the largest first, and not the largest alone.
        every: Seconds between the frames that are taken of a video.
        watch: Called with the files done and their number.

    Raises:
        NoDetectorError: The detector is not installed.
        RecfaceError: No file there, or no face in any.
    """
    files = files_of(paths)
    rows: list[dict[str, object]] = []
    images, places = [], []
    frames: dict[str, bytes] = {}
    skipped, remarks = [], []
    for done, (name, path) in enumerate(files.items(), start=1):
        try:
            for photo, at in frames_of(path, every) if is_video(path) else [(read_image(path), "")]:
                where = f"{path}{at}"
                try:
                    found = _framable(photo, canonical)
                except SkippedError as error:
                    skipped.append(f"{where}: {error}")
                    continue
                if len(found) > 1 and not all_faces:
                    remarks.append(f"{where}: {len(found)} faces, the largest is taken; --all-faces takes each")
                for number, (face, turn, shift) in enumerate(found if all_faces else found[:1], start=1):
                    label = f"{name}{at}" + (f"#{number}" if number > 1 else "")
                    box = face.box.round(1).tolist()
                    rows.append({"file": label, "path": where, "box": box, "confidence": face.confidence})
                    images.append(np.asarray(framed(photo, turn, shift, size)).transpose(2, 0, 1))
                    places.append((turn, shift))
                    if _is_cut(canonical, turn, shift, photo.size):
                        remarks.append(f"{where}: the face is cut by the border; what lies outside is a guess")
                if at:
                    stream = io.BytesIO()
                    photo.save(stream, "JPEG", quality=FRAME_QUALITY)
                    frames[where] = stream.getvalue()
        except NoDetectorError:
            raise
        except RecfaceError as error:
            skipped.append(str(error))
        watch(done, len(files))
    if not rows:
        raise RecfaceError(
            skipped[0] if len(skipped) == 1 else f"no face in {len(files)} files; the first: {skipped[0]}"
        )
    turn, shift = np.array(places).T
    return FoundFaces(pd.DataFrame(rows), np.stack(images), turn, shift, frames, skipped, remarks)


def files_of(paths: Sequence[Path]) -> dict[str, Path]:
    """Name and path of each file that paths mean; names are those below a folder, or whole paths where two are alike.

    Raises:
        RecfaceError: A path is missing, or a folder without photos.
    """
    found: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            known = PHOTOS + CAMERAS + VIDEOS
            below = sorted(file for file in path.rglob("*") if file.suffix.lower() in known)
            if not below:
                raise RecfaceError(f"{path}: no photo or video ({', '.join(PHOTOS + VIDEOS)}) in this folder")
            found += [(file.relative_to(path).as_posix(), file) for file in below]
        elif path.exists():
            found.append((path.name, path))
        else:
            raise RecfaceError(f"{path}: no such file or folder")
    names = [name for name, _ in found]
    return {name if names.count(name) == 1 else path.as_posix(): path for name, path in found}


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its ending."""
    return path.suffix.lower() in VIDEOS


def frames_of(path: Path, every: float) -> Iterator[tuple[Image.Image, str]]:
    """Frames of a video, one in so many seconds, upright as a player shows them, and their times, such as "@2.50s".

    Raises:
        RecfaceError: PyAV is not installed, or the video is not readable or has no frame.
    """
    try:
        import av
    except ImportError:
        raise RecfaceError(
            f"{path}: videos need PyAV: pip install 'recface[photos]'; or give a folder of frames"
        ) from None
    due: float | None = None
    with guarded(path, "video", "give a folder of its frames"), av.open(str(path)) as video:
        for frame in video.decode(video=0) if video.streams.video else ():
            seconds = float(frame.time or 0.0)
            if due is None or seconds >= due:
                picture = frame.to_image()
                yield picture.rotate(frame.rotation, expand=True) if frame.rotation else picture, f"@{seconds:.2f}s"
                due = seconds + every
    if due is None:
        raise RecfaceError(f"{path}: no frame in this video; export it again, or give a folder of its frames")


def _framable(photo: Image.Image, canonical: np.ndarray) -> list[tuple[Face, complex, complex]]:
    """Faces of a photo with their `placement`, the largest first; raises SkippedError where there is none."""
    found, reason = [], SkippedError("no face found (20 pixels wide or more, looking to the camera)")
    for face in detect_turned(photo):
        try:
            found.append((face, *placement(face.five, five_of(canonical), photo.size)))
        except SkippedError as error:
            reason = error
    if not found:
        raise reason
    return found


def _is_cut(canonical: np.ndarray, turn: complex, shift: complex, size: tuple[int, int]) -> bool:
    """Whether a landmark of the mean face lies outside of the photo."""
    place = (canonical[:, 0] + 1j * canonical[:, 1] - shift) / turn
    inside = (place.real >= 0) & (place.real <= size[0]) & (-place.imag >= 0) & (-place.imag <= size[1])
    return not bool(inside.all())
