"""`recface export`: a trained network for use elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from recface.cli.declaration import argument, command, path
from recface.errors import RecfaceError


@command(
    "export",
    argument("run", nargs="?", type=Path, metavar="RUN", help="folder of a finished run; without it the package's own"),
    path("--out", "FILE", "write the network with its face model to one small file, such as network.npz"),
    path("--onnx", "FILE", "write it as ONNX, such as network.onnx; needs `pip install 'recface[onnx]'`"),
    path("--cache", "DIR", "folder of cached data (that of the run)"),
    one_thread=True,
)
def export(options: argparse.Namespace) -> None:
    """Write a trained network to a file that needs neither the run nor data.

    --out rounds weights and face model so that shapes move by about 0.01 mm, and adds the distance at which the
    validation people are told apart. The face model's license holds for the file, too. --onnx keeps full precision:
    from `photo` (N, 3, S, S) in 0..1, framed as docs/data.md says, to `shape`, `expression`, `rotation`, `scale`,
    `translation` and the neutral `vertices` (N, V, 3) in mm.
    """
    if options.out is None and options.onnx is None:
        raise RecfaceError("name a file to write: --out FILE, --onnx FILE, or both")
    if options.out is not None and options.run is None:
        raise RecfaceError("--out needs RUN, the folder of a finished run")
    from recface.run.export import export_network, export_onnx

    if options.out is not None:
        print(export_network(options.run, options.out, options.cache))
    if options.onnx is not None:
        print(export_onnx(options.run, options.onnx, options.cache))
