"""SFM's stage 1 alone: learn a shape model from scans, or measure it beside its baselines.

    python src/scan_model.py sfm.scan.people=500 seed=0 [key=value ...]
    python src/scan_model.py evaluate seed=0,1,2 [key=value ...]
    python src/scan_model.py eos sfm.npz sfm.bin

The first prints the path of sfm.npz, which any run takes as face_model=npz face_model.path=...; the second prints the
records that results/sfm_model.md is built from (python src/tables.py); the third writes a face model for eos.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from recface.errors import RecfaceError
from recface.experiment.command_line import check_overrides, compose_config, explain
from recface.output import quiet_pipe

GROUPS = ("+sfm=default", "+sfm_model=default")


def configurations(overrides: list[str]) -> Iterator[dict]:
    """The configuration of each seed."""
    seeds = [text.removeprefix("seed=") for text in overrides if text.startswith("seed=")]
    rest = [text for text in overrides if not text.startswith("seed=")]
    check_overrides(rest)
    for seed in (seeds[-1] if seeds else "0").split(","):
        yield compose_config(*GROUPS, *rest, f"seed={seed}")


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
    evaluate = arguments[:1] == ["evaluate"]
    try:
        if arguments[:1] == ["eos"]:
            print(export_eos(arguments[1:]))
            return 0
        for config in configurations(arguments[evaluate:]):
            from recface.experiment.run import set_up_torch  # torch is imported only when there is something to train
            from recface.experiment.scan_evaluation import evaluate_scan_models
            from recface.experiment.scan_stage import open_scan_bench, open_scans, scan_model

            set_up_torch(config)
            face_model, benchmark = open_scan_bench(config)
            if evaluate:
                print(evaluate_scan_models(config, face_model, benchmark).record_path, flush=True)
                continue
            manifest = None if benchmark is None else benchmark.manifest_hash
            model = scan_model(config, face_model, open_scans(config, face_model, benchmark), manifest=manifest)
            print(model.path / "sfm.npz", flush=True)
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        return 130
    except Exception as error:  # Hydra's and the suite's mistakes alike end in one line
        if not isinstance(error, RecfaceError) and "hydra" not in type(error).__module__:
            raise
        print(f"scan_model.py: {explain(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(quiet_pipe(main))
