"""`recface baselines`, `scans` and `reconstruct`: third-party baselines, SFM's scan stage, networks on photos."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from recface.cli.declaration import BENCHMARK_FOLDERS, argument, command, flag, path, progress
from recface.errors import RecfaceError
from recface.files.atomic import require_empty
from recface.files.guard import reason

if TYPE_CHECKING:
    from recface.data.found_faces import FoundFaces
    from recface.data.workbench import Workbench
    from recface.run.shipped import TrainedNetwork

_KEYS = "configuration keys as of `recface run`, such as face_model=ict"
_SEEDS = "configuration keys such as sfm.scan.people=500; seed=0,1,2 for several seeds"


@command(
    "baselines",
    argument("name", metavar="NAME", help="of configs/baselines/, external/NAME, several with commas, or all"),
    argument("--search", type=int, metavar="N", help="try N settings of one on validation people; write none"),
    overrides=f"{_KEYS}; baselines.KEY=value sets the method's own",
    one_thread=True,
)
def baselines(options: argparse.Namespace) -> None:
    """Evaluate third-party baselines on the same photos: recface baselines mean_face,eos.

    The record goes to the folder of runs, where `recface tables` finds it; finished ones are skipped.
    """
    if options.search is not None:
        return _search(options)
    from recface.baselines.configuration import baseline_config, known_baselines

    names = known_baselines() if options.name == "all" else options.name.split(",")
    configs = [baseline_config(name, options.overrides) for name in names]
    from recface.baselines.run_baseline import run_baseline  # imports torch, once the configurations are right

    for config in configs:
        print(run_baseline(config, options.overrides).record_path, flush=True)


def _search(options: argparse.Namespace) -> None:
    from recface.baselines.tuning import Trial, search

    def text(trial: Trial) -> str:
        settings = " ".join(f"baselines.{key}={value:.3g}" for key, value in trial.settings.items())
        return f"{trial.error_mm:.4f} mm  {settings}"

    best = search(options.name, options.overrides, options.search, watch=lambda t: print(text(t), flush=True))[0]
    print(f"best: {text(best)}")


@command("baselines export", path("folder", "DIR", "folder to write to"), overrides=_KEYS)
def export(options: argparse.Namespace) -> None:
    """Write the benchmark's evaluation photos for a method that runs elsewhere.

    external/README.md has the whole way from these photos to a row of the table.
    """
    from recface.baselines.run_elsewhere import export_benchmark
    from recface.data.workbench import open_workbench

    config = _checked_config(options.overrides)
    bench = open_workbench(config, training=False)
    with progress("photos") as show:
        path = export_benchmark(bench.benchmark, bench.face_model, options.folder, show)
    print(path)


@command(
    "baselines register",
    path("meshes", "MESHES", "folder of OBJ or PLY, or arrays with triangles"),
    path("landmarks", "LANDMARKS", "vertices of the 68 landmarks, counted from 0; -1 for unknown ones"),
    path("out", "OUT", "new folder to write to"),
    overrides=_KEYS,
    one_thread=True,
)
def register(options: argparse.Namespace) -> None:
    """Turn meshes of any topology into shapes of the face model.

    `recface baselines external/NAME` then makes the row of the comparison table: external/README.md.
    """
    from recface.baselines.registration import doubtful, read_landmark_rows, register_predictions, write_registered
    from recface.face_model import get
    from recface.metrics.readers.predictions import read_predictions

    config, rows = _checked_config(options.overrides), read_landmark_rows(options.landmarks)
    found = read_predictions(options.meshes)
    require_empty(options.out)  # before the work, not after it
    face_model = get(config["face_model"]["name"], config["face_model"]["path"], Path(config["paths"]["cache"]))
    with progress("meshes") as show:
        shapes, registered = register_predictions(found, face_model, rows, show)
    distances = sorted(one.rms_mm for one in registered)
    print(f"distance to the meshes: median {distances[len(distances) // 2]:.2f} mm, largest {distances[-1]:.2f} mm")
    if count := doubtful(registered):
        print(
            f"{count} of {len(registered)} registrations look wrong (share, parameter_rms): are the landmarks in order?"
        )
    print(write_registered(options.out, found, shapes, registered))


def _checked_config(overrides: list[str]) -> dict[str, Any]:
    from recface.settings.compose import check_overrides, compose_config

    check_overrides(overrides)
    return compose_config("+baselines=mean_face", *overrides)


def scan_configurations(overrides: list[str]) -> list[dict[str, Any]]:
    """The configuration of each seed of `seed=0,1,...`, all checked before the first is used."""
    from recface.settings.compose import check_overrides, compose_config
    from recface.settings.run_settings import check_config

    seeds = [text.removeprefix("seed=") for text in overrides if text.startswith("seed=")]
    rest = [text for text in overrides if not text.startswith("seed=")]
    check_overrides(rest)
    configs = []
    for seed in (seeds[-1] if seeds else "0").split(","):
        config = compose_config("+sfm=default", "+sfm_model=default", *rest, f"seed={seed}")
        check_config(config)
        configs.append(config)
    return configs


def learn_scan_model(config: dict[str, Any]) -> Path:
    """Learn a scan model, unless it is there; returns the path of sfm.npz."""
    from recface.run.experiment import set_up_torch  # torch is imported only when there is something to train
    from recface.scan_stage.stage import open_scan_bench, open_scans, scan_model

    set_up_torch(config)
    face_model, benchmark = open_scan_bench(config)
    manifest = None if benchmark is None else benchmark.manifest_hash
    return scan_model(config, face_model, open_scans(config, face_model, benchmark), manifest=manifest).model_path


def measure_scan_models(config: dict[str, Any]) -> Path:
    """Learn and measure all rows of the table sfm_model; returns the path of the record."""
    from recface.run.experiment import set_up_torch
    from recface.scan_stage.shape_model_table import evaluate_scan_models
    from recface.scan_stage.stage import open_scan_bench

    set_up_torch(config)
    return evaluate_scan_models(config, *open_scan_bench(config)).record_path


@command("scans", overrides=_SEEDS, alias="scans learn")
def scans(options: argparse.Namespace) -> None:
    """Learn a shape model from scans: SFM's first stage alone.

    Prints the path of sfm.npz, which any run takes: face_model=npz face_model.path=...
    """
    for config in scan_configurations(options.overrides):
        print(learn_scan_model(config), flush=True)


@command("scans evaluate", overrides=_SEEDS)
def evaluate_scans(options: argparse.Namespace) -> None:
    """Learn and measure all rows of the table sfm_model.

    Prints the records that `recface tables` builds results/sfm_model.md from.
    """
    for config in scan_configurations(options.overrides):
        print(measure_scan_models(config), flush=True)


@command("scans eos", path("face_model", "NPZ", "a face model such as sfm.npz"), path("out", "BIN", "file to write"))
def export_eos(options: argparse.Namespace) -> None:
    """Write a face model in eos's format."""
    from recface.face_model import load
    from recface.face_model.eos_format import save_eos

    print(save_eos(load(options.face_model), options.out))


@command(
    "reconstruct",
    argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="photos, folders of photos or frames, videos; or one table of photos (faces.csv) or prepared store",
    ),
    path("--out", "DIR", "new folder to write to"),
    path("--run", "RUN", "folder of a finished run, for its network in place of the one that comes with the package"),
    flag("--all-faces", "take each face of a photo, not the largest alone"),
    flag("--same-person", "all photos show one person: fuse their shapes, too"),
    flag("--compare", "tell whether two photos, or folders of one person each, show the same face by geometry"),
    argument("--every", type=float, default=1.0, metavar="SECONDS", help="of a video: between the frames taken (1)"),
    flag("--meshes", "write the neutral shapes as arrays, too; of a table or a store also as OBJ"),
    argument("--for", dest="benchmark", choices=BENCHMARK_FOLDERS, help="write what this benchmark wants handed in"),
    flag("--framed", "photos without landmarks are cropped to the suite's framing already"),
    path("--cache", "DIR", "folder of cached data (that of the run)"),
)
def reconstruct(options: argparse.Namespace) -> int:
    """Reconstruct the faces in photos: photos in, meshes, parameters, pictures and a page of all out.

    Faces are found by MTCNN, of `pip install 'recface[photos]'`; then OUT/index.html shows them, and a folder for each
    holds neutral and posed meshes (OBJ in mm, GLB with colors), parameters and the shape over the photo. A photo that
    cannot be used is listed, the others go on, and the exit code is 1. With a table of photos (columns x1, y1, ...,
    x68, y68 in pixels frame the faces), a store, or --framed, which needs square photos, nothing is searched; OUT then
    gets arrays that `recface evaluate` reads, and with --meshes each neutral shape. Photos are turned upright by the
    camera's note on their orientation. With --for now, realy or micc, OUT gets meshes as the benchmark names them, with
    its landmarks; docs/protocols.md, "Official folders".
    """
    from recface.run.reconstruct import is_prepared, open_faces, open_network, reconstruct_photos

    if options.compare:
        return _compare(options)
    if options.out is None:
        raise RecfaceError("--out names the new folder to write to, which is missing")
    _make_folder(options.out)
    bench, variant = open_network(options.run, options.cache)
    if options.framed or is_prepared(options.paths[0]):
        if len(options.paths) > 1 or options.same_person or options.all_faces:
            raise RecfaceError("a table, a store or --framed: give one PATH, without --same-person and --all-faces")
        photos = open_faces(options.paths[0], bench, options.framed)
        with progress("photos") as show:
            print(reconstruct_photos(bench, variant, photos, options.out, options.meshes, options.benchmark, show))
        return 0
    found = _found(options, options.paths, bench)
    with progress("reconstructing") as show:
        written = options.out, options.meshes, options.benchmark, show, options.same_person
        folder = reconstruct_photos(bench, variant, found, *written)
    print(folder if options.benchmark else folder / "index.html")
    return int(bool(found.skipped))


def _make_folder(out: Path) -> None:
    """A new or empty folder that can be written to: told before the work, not after it."""
    try:
        require_empty(out)
        out.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=out).close()
    except OSError as error:
        raise RecfaceError(f"--out {out}: cannot be written ({reason(error)}); give another folder") from None


def _found(options: argparse.Namespace, paths: list[Path], bench: Workbench | TrainedNetwork) -> FoundFaces:
    """The faces in photos; what is to be said of the photos goes to stderr."""
    from recface.data.found_faces import find_faces
    from recface.data.framing import canonical_landmarks

    canonical, size = canonical_landmarks(bench.face_model), bench.config["scale"]["image_size"]
    with progress("finding faces") as show:
        found = find_faces(paths, canonical, size, options.all_faces, options.every, show)
    for line in (*found.remarks, *(f"skipped: {line}" for line in found.skipped)):
        print(line, file=sys.stderr)
    return found


def _compare(options: argparse.Namespace) -> int:
    """Two people, each of a photo or several, by their neutral shapes; a picture goes to --out, where it is given."""
    if len(options.paths) != 2:
        raise RecfaceError("--compare takes two PATHs, a photo or a folder of one person each")
    if options.out is not None:
        _make_folder(options.out)
    from recface.run.compare import compare_people, write_comparison
    from recface.run.reconstruct import open_network

    bench, variant = open_network(options.run, options.cache)
    sides = [_found(options, [path], bench) for path in options.paths]
    found = compare_people(bench, variant, sides[0], sides[1])
    verdict = "the same face" if found.comparison.same else "two faces"
    print(
        f"{found.comparison.distance_mm:.2f} mm apart on average: {verdict} by geometry, where up to "
        f"{found.threshold_mm:.2f} mm are one person's (equal error rate of validation people)"
    )
    if options.out is not None:
        print(write_comparison(options.out, found, [str(path) for path in options.paths]))
    return int(any(side.skipped for side in sides))
