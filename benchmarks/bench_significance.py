"""How often the test behind the tables' marks rejects a true null, beside Student's t over seeds.

A simulated difference of seed s on person p is seed_s + person_p + noise: both rows saw the same people, so that what
is easy for one row is shared by all its seeds. The test of the tables lets seeds and people vary; Student's t over
seeds takes the people as fixed, and so rejects too often wherever people matter. People are 150 as in the embedded
benchmark; p values are taken before Holm's correction. Run: python benchmarks/bench_significance.py
"""

from __future__ import annotations

import time

import numpy as np
from measured import Line, keep

from recface.results.statistics import LEVEL, compare

PEOPLE, TRIALS = 150, 4000


def false_alarms(seeds: int, ratio: float) -> tuple[float, float]:
    """Shares of trials of a true null that the tables' test, and Student's t over seeds, reject.

    Args:
        seeds: Number of seeds.
        ratio: Standard deviation of a seed's difference, as a multiple of that of the mean over people.
    """
    rng = np.random.default_rng([seeds, round(10 * ratio)])
    rejected = np.zeros(2)
    for _ in range(TRIALS):
        people = rng.normal(size=PEOPLE) + rng.normal(size=(seeds, PEOPLE))
        values = people + ratio / PEOPLE**0.5 * rng.normal(size=(seeds, 1))
        means = values.mean(axis=1)
        tests = compare(means.tolist(), values - means[:, None]), compare(means.tolist())
        rejected += [test.p is not None and test.p < LEVEL for test in tests]
    share = rejected / TRIALS
    return float(share[0]), float(share[1])


def main() -> None:
    """Print a line for each number of seeds and ratio; keep the worst ratio of each number of seeds."""
    error = (LEVEL * (1 - LEVEL) / TRIALS) ** 0.5
    print(f"Rejections of a true null at {LEVEL:.0%} (standard error {error:.1%}), {TRIALS} trials, {PEOPLE} people")
    print("seeds  spread of seeds / of the mean over people   seeds and people  Student's t over seeds")
    lines = []
    for seeds in (3, 5, 8, 10):
        shares = []
        for ratio in (0.0, 0.5, 1.0, 2.0, 5.0, 10.0):
            begin = time.perf_counter()
            ours, student = false_alarms(seeds, ratio)
            took = 1e6 * (time.perf_counter() - begin) / TRIALS
            print(f"{seeds:5d}  {ratio:41.1f}   {ours:16.1%}  {student:22.1%}   ({took:.0f} us a trial)")
            shares.append((ours, student))
        what = f"false alarms at {LEVEL:.0%}, {seeds} seeds, at the worst ratio, against Student's t over seeds"
        lines.append(Line(what, *map(max, zip(*shares, strict=True)), "share", "ours <= 0.06"))
    keep("significance", lines)


if __name__ == "__main__":
    main()
