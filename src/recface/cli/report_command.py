"""`recface report`: the page of results/, or of a user's own runs, also while they train."""

from __future__ import annotations

import argparse
from pathlib import Path

from recface.cli.declaration import argument, command, flag, path
from recface.errors import RecfaceError


@command(
    "report",
    argument("paths", nargs="*", type=Path, metavar="RUN", help="run folders, or folders with runs below (results/)"),
    path("--out", "FILE", "the page (results/report.html; of runs: report.html)"),
    argument("--wandb", metavar="ENTITY/PROJECT", help="write a W&B report of the tables and its runs instead"),
    flag("--watch", "with RUN: write it anew as they train, until they have ended"),
    path("--runs", "DIR", "folder of runs", "runs"),
    path("--results", "DIR", "folder of results", "results"),
    path("--configs", "DIR", "table YAMLs (configs/table)"),
    one_thread=True,
)
def report(options: argparse.Namespace) -> None:
    """Write one self-contained HTML page: findings, tables, curves, faces with error maps, meshes that turn.

    Pictures need the benchmark's photos in the cache (RECFACE_CACHE), where a run puts them.
    """
    if options.watch and not options.paths:
        raise RecfaceError("--watch follows runs that train: name their folders, such as runs/sir")
    from recface.files.atomic import write_bytes
    from recface.report.page import report_of_results, report_of_runs, watch
    from recface.results.build import read_results
    from recface.settings.compose import CONFIGS

    configs = options.configs or CONFIGS / "table"
    if options.wandb:
        print(_wandb_report(options.wandb, configs, options.runs, options.results))
        return
    if not options.paths:
        out = options.out or options.results / "report.html"
        found = read_results(configs, options.runs, options.results / "records")
        write_bytes(out, report_of_results(found.tables, found.entries))
        print(out)
        return
    out = options.out or Path("report.html")

    def write(reload: bool) -> None:
        write_bytes(out, report_of_runs(configs, options.paths, reload))
        print(out, flush=True)

    if options.watch:
        watch(write, options.paths)
    else:
        write(False)


def _wandb_report(project: str, configs: Path, runs: Path, results: Path) -> str:
    """The address of a W&B report with every table."""
    from recface.results.build import read_results
    from recface.results.markdown import to_markdown
    from recface.tracking.wandb_report import write_report

    tables = read_results(configs, runs, results / "records").tables
    return write_report(project, {table.spec.title: to_markdown(table) for table in tables})
