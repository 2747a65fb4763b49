"""Speed of ten-fold verification beside a plain NumPy reference, and of all metrics of a test set.

    python benchmarks/bench_verification.py [--threads 2] [--skip-reference]

Times are the best of several runs after one to warm up; the reference, which takes seconds, runs once. CPU seconds
stand beside them, as they tell on a machine that does other things, too.
"""

import argparse
import os
import time
from collections.abc import Callable

# Before torch starts its threads: the size of the pool cannot grow later.
os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import pandas as pd
import torch
from measured import Line, keep
from rich.console import Console
from rich.table import Table

from recface.metrics import evaluate_shapes
from recface.metrics.protocols import BENCHMARKS, Predictions, Truth

PAIRS, MODES = 6000, 199


def best(function: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Shortest wall time of `repeats` runs, and the shortest CPU time, in seconds."""
    function()
    walls, processors = [], []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        function()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    return min(walls), min(processors)


def lfw_like() -> tuple[Predictions, Truth]:
    """12,000 photos in 6,000 pairs of the form of LFW's list, ten folds of 300 genuine and 300 impostor pairs."""
    random = np.random.default_rng(0)
    same = np.tile(np.repeat([True, False], 300), 10)
    first = random.normal(size=(PAIRS, MODES))
    second = np.where(same[:, None], 0.3 * first, 0) + random.normal(size=(PAIRS, MODES))
    ids = [f"p{i}" for i in range(2 * PAIRS)]
    pairs = pd.DataFrame({"first": np.arange(PAIRS), "second": np.arange(PAIRS, 2 * PAIRS), "same": same})
    truth = Truth(pd.DataFrame({"id": ids}), pairs=pairs.assign(fold=np.repeat(np.arange(10), 600)))
    return Predictions(tuple(ids), parameters=np.concatenate([first, second]).astype(np.float32)), truth


def reference(predictions: Predictions, truth: Truth) -> float:
    """Accuracy as scripts of the field compute it: every score of nine folds is tried as a threshold."""
    x, pairs = predictions.parameters.astype(np.float64), truth.pairs
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    scores = (x[pairs["first"]] * x[pairs["second"]]).sum(axis=1)
    same, fold = pairs["same"].to_numpy(), pairs["fold"].to_numpy()
    accuracies = []
    for held_out in range(10):
        train = fold != held_out
        thresholds = np.sort(scores[train])[::-1]
        right = [((scores[train] >= threshold) == same[train]).mean() for threshold in thresholds]
        threshold = thresholds[int(np.argmax(right))]
        accuracies.append(((scores[~train] >= threshold) == same[~train]).mean())
    return float(np.mean(accuracies))


def verification(console: Console, repeats: int, with_reference: bool) -> Line:
    """Ten-fold verification of 6,000 pairs."""
    predictions, truth = lfw_like()
    protocol = BENCHMARKS["lfw-10fold-cos/v1"]
    wall, processor = best(lambda: protocol.evaluate(predictions, truth), repeats)
    found, elapsed = protocol.evaluate(predictions, truth)["accuracy"], None
    table = Table("", "wall, s", "CPU, s", "accuracy")
    table.add_row(
        "ours: accuracy, VAL at FAR 1e-3, AUC (target 0.2 s)", f"{wall:.3f}", f"{processor:.3f}", f"{found:.6f}"
    )
    ours = wall
    if with_reference:
        start, used = time.perf_counter(), time.process_time()
        accuracy = reference(predictions, truth)
        elapsed, processor = time.perf_counter() - start, time.process_time() - used
        table.add_row("plain NumPy: accuracy alone", f"{elapsed:.3f}", f"{processor:.3f}", f"{accuracy:.6f}")
    console.print(f"\nten-fold verification of {PAIRS:,} pairs of {MODES}-vectors")
    console.print(table)
    what = f"ten-fold verification of {PAIRS:,} pairs, against plain NumPy's accuracy alone"
    return Line(what, ours, elapsed, "s", "ours <= 0.2")


def all_metrics(console: Console, photos: int, vertices: int, repeats: int) -> Line:
    """`evaluate_shapes` of a test set with true shapes."""
    random = torch.Generator().manual_seed(0)
    identity = torch.arange(photos) % (photos // 10)
    true = torch.randn(photos // 10, MODES, generator=random)[identity]
    predicted = 0.7 * true + 0.5 * torch.randn(photos, MODES, generator=random)
    sigma = torch.linspace(60, 2, MODES)
    basis = torch.randn(vertices, 3, MODES, generator=random) / (3 * vertices) ** 0.5 * sigma
    mean = 50 * torch.randn(vertices, 3, generator=random)
    extra = {"yaw_abs": torch.rand(photos, generator=random), "expression_norm": torch.rand(photos, generator=random)}
    wall, processor = best(lambda: evaluate_shapes(predicted, identity, basis, mean, sigma, true, **extra), repeats)
    count = len(evaluate_shapes(predicted, identity, basis, mean, sigma, true, **extra))
    console.print(f"\nall {count} metrics of {photos:,} predictions of {vertices:,} vertices (target 10 s)")
    console.print(f"wall {wall:.2f} s, CPU {processor:.2f} s")
    what = f"all metrics of {photos:,} predictions of {vertices:,} vertices"
    return Line(what, wall, None, "s", "ours <= 10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--vertices", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--skip-reference", action="store_true", help="leave out the plain reference, which takes seconds"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    console = Console()
    console.print(f"{options.threads} thread(s)")
    first = verification(console, options.repeats, not options.skip_reference)
    second = all_metrics(console, options.photos, options.vertices, max(1, options.repeats // 2))
    keep("metrics", [first, second])


if __name__ == "__main__":
    main()
