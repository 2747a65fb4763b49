"""Photos of your own through a trained network: python src/reconstruct.py RUN PHOTOS OUT [--meshes].

RUN is the folder of a finished run. PHOTOS is a folder with faces.csv (as of training sources: 68 landmarks x1, y1,
..., x68, y68 in pixels frame the faces), such a CSV, or a folder of square photos that are framed already. Photos are
taken as they are stored: a camera's note on their orientation is not applied. OUT, a new folder, gets arrays that
src/evaluate.py reads, a picture of the first photos and, with --meshes, each photo's neutral shape as OBJ.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from recface.output import quiet_pipe
from recface.settings.compose import run_program


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; by default the process's own.

    Returns:
        Exit code.
    """
    parser = argparse.ArgumentParser(
        prog="reconstruct.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run: runs/<experiment>/<hash>/seed=<n>")
    parser.add_argument("photos", type=Path, help="folder of photos, or their CSV")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--meshes", action="store_true", help="write the neutral shapes as OBJ, and as arrays")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder of cached data (that of the run)")
    options = parser.parse_args(arguments)

    def body() -> None:
        from rich.console import Console
        from rich.progress import Progress

        from recface.run.reconstruct import open_faces, open_run, reconstruct_photos

        bench, variant = open_run(options.run, options.cache)
        photos = open_faces(options.photos, bench)
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("photos", total=len(photos.images))
            print(
                reconstruct_photos(
                    bench,
                    variant,
                    photos,
                    options.out,
                    options.meshes,
                    lambda done, _: progress.update(task, completed=done),
                )
            )

    return run_program("reconstruct.py", body)


if __name__ == "__main__":
    sys.exit(quiet_pipe(main))
