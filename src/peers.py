"""Evaluate methods that are not ours on the same photos: python src/peers.py eos [face_model=ict ...].

NAME is one of configs/peer/, several separated by commas, or `all`. The overrides are those of src/run.py. The record
goes to the folder of runs, where src/tables.py finds it; what is finished already is not done again.

--search N tries N settings of one peer on validation people and prints the best; the configuration stays as it is.
"""

from __future__ import annotations

import argparse
import os
import sys

# Small problems, one photo after the other: threads would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from recface.output import quiet_pipe
from recface.settings.compose import run_program


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; by default the process's own.

    Returns:
        Exit code: 0, 1 after a mistake, 130 after an interrupt.
    """
    parser = argparse.ArgumentParser(
        prog="peers.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="a peer, several separated by commas, or all")
    parser.add_argument("--search", type=int, metavar="N", help="choose settings on validation people, in N tries")
    parser.add_argument("overrides", nargs="*", help="key=value, as for run.py; peer.KEY=value sets the method's own")
    options = parser.parse_intermixed_args(arguments)

    def look() -> None:
        from recface.baselines.search import Trial, search

        def text(trial: Trial) -> str:
            return f"{trial.error_mm:.4f} mm  " + " ".join(f"baselines.{k}={v:.3g}" for k, v in trial.settings.items())

        best = search(options.name, options.overrides, options.search, watch=lambda t: print(text(t), flush=True))[0]
        print(f"best: {text(best)}")

    def body() -> None:
        if options.search is not None:
            return look()
        from recface.baselines.configuration import baseline_config, known_baselines
        from recface.baselines.run_baseline import run_baseline

        names = known_baselines() if options.name == "all" else options.name.split(",")
        for config in [baseline_config(name, options.overrides) for name in names]:
            print(run_baseline(config, options.overrides).record_path, flush=True)

    return run_program("peers.py", body)


if __name__ == "__main__":
    sys.exit(quiet_pipe(main))
