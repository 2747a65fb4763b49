"""A finished run in at most 256 kB: its record, its predictions as float16, influences on its metrics, its losses.

Records are committed in this form, and lie in it among the files of a W&B run, so that tables are built from either.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError
from recface.files.arrays import read_arrays
from recface.files.atomic import write_bytes
from recface.files.guard import guarded, is_file
from recface.files.json_files import read_json_lines
from recface.tracking.record import RunRecord, read_record

LIMIT_BYTES = 256_000
# (..., K) arrays of modes: all are cut to the same leading modes, which carry most of the shape.
MODES_LAST = (
    "test_parameters",
    "test_true",
    "photos_parameters",
    "control_shape_parameters",
    "control_albedo_parameters",
    "identity_sigma",
)
# A Gram matrix in float16 would no longer be positive definite.
KEEP_FLOAT32 = ("basis_gram", "identity_sigma")
INFLUENCE = "influence_"
"""Beginning of the names of influences, which are never dropped: all intervals come from them."""
DROPPED_FIRST = ("control_", "test_yaw_abs", "test_expression_norm")
CURVE_POINTS = 100


def record_stem(record: RunRecord) -> str:
    """File name of an archived run, without its ending: `<experiment>-<hash>-seed<n>`."""
    return f"{record.experiment}-{record.hash}-seed{record.seed}"


def zip_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Content of a compressed npz file; its bytes depend on names and arrays alone, not on their order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive_file:
        for name in sorted(arrays):
            inner = io.BytesIO()
            np.lib.format.write_array(inner, np.asarray(arrays[name], order="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, as NumPy does
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive_file.writestr(entry, inner.getvalue(), compresslevel=6)
    return buffer.getvalue()


def small_array(name: str, array: np.ndarray) -> np.ndarray:
    """The smallest type that serves: float16 for floats (Gram matrix: float32), int16 or int32 for integers.

    Influences become float16; the people they are of keep their type.
    """
    if array.dtype.kind == "f":
        return array.astype(np.float32 if name in KEEP_FLOAT32 else np.float16)
    if array.dtype.kind in "iu" and not name.startswith(INFLUENCE):
        fits = array.size == 0 or (array.min() >= -32768 and array.max() <= 32767)
        return array.astype(np.int16 if fits else np.int32)
    return array


def _cut(arrays: Mapping[str, np.ndarray], modes: int) -> dict[str, np.ndarray]:
    """Keep the leading modes of every array that has a modes axis."""
    result = {name: array[..., :modes] if name in MODES_LAST else array for name, array in arrays.items()}
    if "basis_gram" in result:
        result["basis_gram"] = result["basis_gram"][:modes, :modes]
    return result | {"modes_kept": np.array(modes, np.int16)}


def reduce_predictions(arrays: Mapping[str, np.ndarray], limit: int = LIMIT_BYTES) -> dict[str, np.ndarray]:
    """Shrink predictions until their npz fits: float16, then without control sets and poses, then fewer modes.

    Influences always stay.

    Args:
        arrays: Content of predictions.npz; `test_parameters` (N, K) must be there.
        limit: Largest size of the npz in bytes.

    Returns:
        The arrays to keep, with `modes_kept` and `modes_total` beside them. Equal input gives equal output, so that
        statistics from a run's folder and from its archived copy agree to the last digit.

    Raises:
        RecfaceError: `test_parameters` is missing, or not even one mode fits.
    """
    if "test_parameters" not in arrays:
        raise RecfaceError("predictions.npz lacks test_parameters; run it again")
    if "modes_kept" in arrays:
        return dict(arrays)
    total = int(np.asarray(arrays["test_parameters"]).shape[-1])
    small = {name: small_array(name, np.asarray(array)) for name, array in arrays.items()}
    small["modes_total"] = np.array(total, np.int16)

    def fits(candidate: Mapping[str, np.ndarray]) -> bool:
        return len(zip_arrays(candidate)) <= limit

    if fits(whole := _cut(small, total)):
        return whole
    small = {name: array for name, array in small.items() if not name.startswith(DROPPED_FIRST)}
    low, high = 0, total + 1  # invariant: `low` modes fit (0 is a sentinel), `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(_cut(small, middle)) else (low, middle)
    if low == 0:
        raise RecfaceError(f"predictions do not fit into {limit} bytes even with one mode; evaluate fewer photos")
    return _cut(small, low)


def training_curves(metrics: str | Path) -> dict[str, np.ndarray]:
    """Losses along stage 2, thinned to evenly spaced steps, in the form of the archived arrays.

    Args:
        metrics: The run's metrics.jsonl, whose lines hold "stage", "step" and "loss/TERM".

    Returns:
        `training_step` (T,), T at most `CURVE_POINTS`, and `training_TERM` (T,) in the unit of each term, NaN where it
        was not finite; {} where the file is missing or holds no step of stage 2.

    Raises:
        RecfaceError: The file is damaged.
    """
    if not is_file(metrics):
        return {}
    with guarded(metrics, "log of losses", "remove it; the run then has no curves"):
        # A run that was killed repeats the lines after its last checkpoint: the last line of a step counts.
        found = {row["step"]: row for row in read_json_lines(metrics) if row.get("stage") == 2}
        places = np.linspace(0, len(found) - 1, min(len(found), CURVE_POINTS)).round().astype(int)
        rows = [found[step] for step in np.array(sorted(found), np.int64)[places].tolist()]
        terms = sorted({key for row in rows for key in row if key.startswith("loss/")})
        curves = {f"training_{key[5:]}": np.array([row.get(key) for row in rows], float) for key in terms}
        return curves and {"training_step": np.array([row["step"] for row in rows], np.int64)} | curves


def archive(run_folder: str | Path, records_dir: str | Path, limit: int = LIMIT_BYTES) -> Path:
    """Copy a finished run's record, and its reduced predictions and losses where it has any, into the records folder.

    Returns:
        Path of the archived record. Files whose content would not change are not touched.

    Raises:
        RecfaceError: The run is not finished, or its predictions cannot be read or do not fit.
    """
    run_folder, records_dir = Path(run_folder), Path(records_dir)
    record = read_record(run_folder)
    if record.state != "finished":
        raise RecfaceError(f"{run_folder}: the run is {record.state}, only a finished one can be archived")
    stem = record_stem(record)
    predictions = run_folder / "predictions.npz"
    if predictions.is_file():
        arrays = read_arrays(predictions) | training_curves(run_folder / "metrics.jsonl")
        write_bytes(records_dir / f"{stem}.npz", zip_arrays(reduce_predictions(arrays, limit)))
    else:
        (records_dir / f"{stem}.npz").unlink(missing_ok=True)
    write_bytes(records_dir / f"{stem}.json", (run_folder / "run.json").read_bytes())
    return records_dir / f"{stem}.json"


RECORD_FILE = "record/run.json"
PREDICTIONS_FILE = "record/predictions.npz"


def stage_record(run_folder: str | Path, target: str | Path) -> list[Path]:
    """Copy a run's record, and, of a finished one, its reduced predictions into the folder that W&B uploads.

    Returns:
        The files, at `RECORD_FILE` and `PREDICTIONS_FILE` under the target.
    """
    run_folder, target = Path(run_folder), Path(target)
    write_bytes(target / RECORD_FILE, (run_folder / "run.json").read_bytes())
    staged = [target / RECORD_FILE]
    if read_record(run_folder).state == "finished":
        with tempfile.TemporaryDirectory() as folder:
            predictions = archive(run_folder, folder).with_suffix(".npz")
            if predictions.is_file():
                write_bytes(target / PREDICTIONS_FILE, predictions.read_bytes())
                staged.append(target / PREDICTIONS_FILE)
    return staged
