"""`recface baselines`, `scans` and `reconstruct`: third-party baselines, SFM's scan stage, networks on photos."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recface.cli.declaration import Command, progress


def baselines(options: argparse.Namespace) -> None:
    """Evaluate baselines, or search settings of one."""
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


def export(options: argparse.Namespace) -> None:
    """Write the evaluation photos and print the path of their table."""
    from recface.baselines.run_elsewhere import export_benchmark
    from recface.data.workbench import open_workbench

    config = _checked_config(options.overrides)
    bench = open_workbench(config | {"data": config["data"] | {"sources": {}}})
    with progress("photos") as show:
        path = export_benchmark(bench.benchmark, bench.face_model, options.folder, show)
    print(path)


def register(options: argparse.Namespace) -> None:
    """Register meshes and print the path of the report."""
    from recface.baselines.registration import doubtful, read_landmark_rows, register_predictions, write_registered
    from recface.face_model import get
    from recface.metrics.readers.predictions import read_predictions
    from recface.tracking.atomic import require_empty

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


def _for_each_seed(work: str) -> Callable[[argparse.Namespace], None]:
    def body(options: argparse.Namespace) -> None:
        for config in scan_configurations(options.overrides):
            print(globals()[work](config), flush=True)

    return body


def export_eos(options: argparse.Namespace) -> None:
    """Write a face model in eos's format."""
    from recface.face_model import load
    from recface.face_model.eos_format import save_eos

    print(save_eos(load(options.face_model), options.out))


def reconstruct(options: argparse.Namespace) -> None:
    """Reconstruct photos with a trained network and print the folder."""
    from recface.run.reconstruct import open_faces, open_run, reconstruct_photos

    bench, variant = open_run(options.run, options.cache)
    photos = open_faces(options.photos, bench)
    with progress("photos") as show:
        folder = reconstruct_photos(bench, variant, photos, options.out, options.meshes, show)
    print(folder)


def _declare_baselines(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="NAME", help="of configs/baselines/, external/NAME, several with commas, or all"
    )
    parser.add_argument("--search", type=int, metavar="N", help="try N settings of one on validation people")


def _declare_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write to")


def _declare_register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("meshes", type=Path, metavar="MESHES", help="folder of OBJ or PLY, or arrays with triangles")
    parser.add_argument(
        "landmarks", type=Path, metavar="LANDMARKS", help="rows of the 68 landmarks from 0; -1: unknown"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="new folder to write to")


def _declare_eos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("face_model", type=Path, metavar="NPZ", help="a face model such as sfm.npz")
    parser.add_argument("out", type=Path, metavar="BIN", help="file to write")


def _declare_reconstruct(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="folder of a finished run: runs/<experiment>/<hash>/seed=<n>")
    add("photos", type=Path, metavar="PHOTOS", help="folder of photos, or their CSV")
    add("out", type=Path, metavar="OUT", help="new folder to write to")
    add("--meshes", action="store_true", help="write the neutral shapes as OBJ, and as arrays")
    add("--cache", type=Path, metavar="DIR", help="folder of cached data (that of the run)")


_KEYS = "configuration keys as of `recface run`"
_SCAN_KEYS = "configuration keys such as sfm.scan.people=500; seed=0,1,2 for several seeds"
COMMANDS = (
    Command(
        "baselines",
        "Evaluate third-party baselines on the same photos: recface baselines mean_face,eos",
        baselines,
        _declare_baselines,
        overrides=f"{_KEYS}; baselines.KEY=value sets the method's own",
        details="The record goes to the folder of runs, where `recface tables` finds it; finished ones are skipped.\n"
        "--search prints settings and writes none.",
        one_thread=True,
    ),
    Command(
        "baselines export",
        "Write the benchmark's evaluation photos for a method that runs elsewhere.",
        export,
        _declare_export,
        overrides=f"{_KEYS}, such as face_model=ict",
        details="external/README.md has the whole way from these photos to a row of the table.",
    ),
    Command(
        "baselines register",
        "Turn meshes of any topology into shapes of the face model.",
        register,
        _declare_register,
        overrides=f"{_KEYS}, such as face_model=ict",
        details="`recface baselines external/NAME` then makes the row of the comparison table: external/README.md.",
        one_thread=True,
    ),
    *(
        Command(
            name,
            "Learn a shape model from scans: SFM's first stage alone.",
            _for_each_seed("learn_scan_model"),
            overrides=_SCAN_KEYS,
            details="Prints the path of sfm.npz, which any run takes: face_model=npz face_model.path=...",
        )
        for name in ("scans", "scans learn")
    ),
    Command(
        "scans evaluate",
        "Learn and measure all rows of the table sfm_model.",
        _for_each_seed("measure_scan_models"),
        overrides=_SCAN_KEYS,
        details="Prints the records that `recface tables` builds results/sfm_model.md from.",
    ),
    Command("scans eos", "Write a face model in eos's format.", export_eos, _declare_eos),
    Command(
        "reconstruct",
        "Reconstruct photos of your own with a trained network.",
        reconstruct,
        _declare_reconstruct,
        details="PHOTOS is a folder with faces.csv (columns x1, y1, ..., x68, y68 in pixels frame the faces), such\n"
        "a CSV, or a folder of square photos that are framed already. Photos are taken as they are stored: a camera's\n"
        "note on their orientation is not applied. OUT gets arrays that `recface evaluate` reads, a picture of the\n"
        "first photos and, with --meshes, each photo's neutral shape as OBJ.",
    ),
)
