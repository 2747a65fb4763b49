"""Photos for methods that do not run here, and their meshes for the comparison; external/README.md has the whole way.

    python src/external.py export DIR [face_model=ict ...]
    python src/external.py register MESHES LANDMARKS OUT [face_model=ict ...]

The first writes the embedded benchmark's evaluation photos, as src/run.py with the same overrides has them. The second
turns meshes of any topology (a folder of OBJ or PLY files, or arrays with triangles) into shapes of the face model.
LANDMARKS holds the vertices of the 68 landmarks in that topology, counted from 0, -1 for unknown ones. Then
python src/peers.py external/NAME makes the row of the comparison table.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# One mesh after the other: threads would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("IGL_NUM_THREADS", "1")

from recface.errors import RecfaceError
from recface.output import quiet_pipe
from recface.settings.compose import check_overrides, compose_config, run_program


def export(folder: str, overrides: list[str]) -> Path:
    """Write the photos; returns the path of their table."""
    from rich.progress import Progress

    from recface.baselines.export import export_benchmark
    from recface.data.workbench import open_workbench

    config = compose_config("+baselines=mean_face", *overrides)
    bench = open_workbench(config | {"data": config["data"] | {"sources": {}}})
    with Progress() as progress:
        task = progress.add_task("photos", total=None)
        return export_benchmark(
            bench.benchmark,
            bench.face_model,
            Path(folder),
            lambda done, count: progress.update(task, completed=done, total=count),
        )


def register(meshes: str, landmarks: str, out: str, overrides: list[str]) -> Path:
    """Register meshes; returns the path of the report."""
    from rich.progress import Progress

    from recface.baselines.registration import (
        doubtful,
        read_landmark_rows,
        register_predictions,
        write_registered,
    )
    from recface.face_model import get
    from recface.metrics.readers.predictions import read_predictions
    from recface.tracking.atomic import require_empty

    config, rows = compose_config("+baselines=mean_face", *overrides), read_landmark_rows(Path(landmarks))
    found = read_predictions(meshes)
    require_empty(Path(out))  # before the work, not after it
    face_model = get(config["face_model"]["name"], config["face_model"]["path"], Path(config["paths"]["cache"]))
    with Progress() as progress:
        task = progress.add_task("meshes", total=len(found))
        shapes, registered = register_predictions(
            found, face_model, rows, lambda done, _: progress.update(task, completed=done)
        )
    distances = sorted(one.rms_mm for one in registered)
    print(f"distance to the meshes: median {distances[len(distances) // 2]:.2f} mm, largest {distances[-1]:.2f} mm")
    if count := doubtful(registered):
        print(
            f"{count} of {len(registered)} meshes look wrongly met (share, parameter_rms): are the landmarks in order?"
        )
    return write_registered(Path(out), found, shapes, registered)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; by default the process's own.

    Returns:
        Exit code.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(arguments) or not arguments:
        print(__doc__)
        return 0 if arguments else 1

    def body() -> None:
        overrides = [text for text in arguments[1:] if "=" in text]
        plain = [text for text in arguments[1:] if "=" not in text]
        check_overrides(overrides)
        if arguments[0] == "export" and len(plain) == 1:
            print(export(plain[0], overrides))
        elif arguments[0] == "register" and len(plain) == 3:
            print(register(*plain, overrides))
        else:
            raise RecfaceError("expected `export DIR` or `register MESHES LANDMARKS OUT`; see --help")

    return run_program("external.py", body)


if __name__ == "__main__":
    sys.exit(quiet_pipe(main))
