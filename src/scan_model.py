"""SFM's stage 1 alone: learn a shape model from scans, or measure it beside its baselines.

    python src/scan_model.py sfm.scan.people=500 seed=0 [key=value ...]
    python src/scan_model.py evaluate seed=0,1,2 [key=value ...]
    python src/scan_model.py eos sfm.npz sfm.bin

The first prints the path of sfm.npz, which any run takes as face_model=npz face_model.path=...; the second prints the
records that results/sfm_model.md is built from (python src/tables.py); the third writes a face model for eos.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.output import quiet_pipe
from recface.settings.compose import check_overrides, compose_config, run_program
from recface.settings.run_settings import check_measured_settings, check_process, check_sfm_settings

GROUPS = ("+sfm=default", "+sfm_model=default")


def configurations(overrides: list[str]) -> list[dict[str, Any]]:
    """The configuration of each seed, all checked before the first is used."""
    seeds = [text.removeprefix("seed=") for text in overrides if text.startswith("seed=")]
    rest = [text for text in overrides if not text.startswith("seed=")]
    check_overrides(rest)
    configs = []
    for seed in (seeds[-1] if seeds else "0").split(","):
        config = compose_config(*GROUPS, *rest, f"seed={seed}")
        check_process(config)
        check_sfm_settings(config["sfm"])
        check_measured_settings(config["sfm_model"])
        configs.append(config)
    return configs


def learn(config: dict) -> Path:
    """Learn a scan model; what is finished is not done again. Returns the path of sfm.npz."""
    from recface.run.experiment import set_up_torch  # torch is imported only when there is something to train
    from recface.scan_stage.stage import open_scan_bench, open_scans, scan_model

    set_up_torch(config)
    face_model, benchmark = open_scan_bench(config)
    manifest = None if benchmark is None else benchmark.manifest_hash
    return scan_model(config, face_model, open_scans(config, face_model, benchmark), manifest=manifest).model_path


def evaluate(config: dict) -> Path:
    """Learn and measure all rows of the table sfm_model. Returns the path of the record."""
    from recface.run.experiment import set_up_torch
    from recface.scan_stage.evaluation import evaluate_scan_models
    from recface.scan_stage.stage import open_scan_bench

    set_up_torch(config)
    return evaluate_scan_models(config, *open_scan_bench(config)).record_path


def export_eos(paths: list[str]) -> Path:
    """Write the face model of the first path in eos's format to the second."""
    if len(paths) != 2:
        raise RecfaceError("eos needs two paths: the face model's npz, and the file to write")
    from recface.face_model import load
    from recface.face_model.eos_format import save_eos

    return save_eos(load(paths[0]), paths[1])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; by default the process's own.

    Returns:
        Exit code.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0

    def body() -> None:
        if arguments[:1] == ["eos"]:
            print(export_eos(arguments[1:]))
        elif arguments[:1] == ["evaluate"]:
            for config in configurations(arguments[1:]):
                print(evaluate(config), flush=True)
        else:
            for config in configurations(arguments):
                print(learn(config), flush=True)

    return run_program("scan_model.py", body)


if __name__ == "__main__":
    sys.exit(quiet_pipe(main))
