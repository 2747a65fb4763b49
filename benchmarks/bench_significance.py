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

PEOPLE, ROWS, COLUMNS = 150, 7, 1000


def false_alarms(seeds: int, ratio: float) -> np.ndarray:
    """How often the tables' test, and Student's t over seeds, reject a true null.

    Args:
        seeds: Number of seeds.
        ratio: Standard deviation of a seed's difference, as a multiple of that of the mean over people.

    Returns:
        (2, 2) shares: of single tests, and of columns with any mark; each by the tables' test and by Student's t.
    """
    rng = np.random.default_rng([seeds, round(10 * ratio)])
    p_values = np.empty((COLUMNS * ROWS, 2))
    for trial in p_values:
        people = rng.normal(size=PEOPLE) + rng.normal(size=(seeds, PEOPLE))
        values = people + ratio / PEOPLE**0.5 * rng.normal(size=(seeds, 1))
        means = values.mean(axis=1)
        trial[:] = compare(means.tolist(), values - means[:, None]).p, compare(means.tolist()).p
    # The least p value of a column is the first that Holm's correction takes, times the number of rows.
    marked = p_values.reshape(COLUMNS, ROWS, 2).min(axis=1) < LEVEL / ROWS
    return np.stack([(p_values < LEVEL).mean(axis=0), marked.mean(axis=0)])


def main() -> None:
    """Print a line for each number of seeds and ratio; keep the worst ratio of each number of seeds."""
    errors = [(LEVEL * (1 - LEVEL) / count) ** 0.5 for count in (COLUMNS * ROWS, COLUMNS)]
    print(
        f"Rejections of a true null at {LEVEL:.0%}, {PEOPLE} people: {COLUMNS * ROWS} tests (standard error "
        f"{errors[0]:.1%}), {COLUMNS} columns of {ROWS} rows with any mark ({errors[1]:.1%})"
    )
    print("seeds  spread of seeds / of the mean over people   tables: test, column   Student's t: test, column")
    lines = []
    for seeds in (2, 3, 5, 8):
        shares = []
        for ratio in (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0):
            begin = time.perf_counter()
            (ours, student), (our_columns, student_columns) = found = false_alarms(seeds, ratio)
            took = 1e6 * (time.perf_counter() - begin) / (COLUMNS * ROWS)
            print(
                f"{seeds:5d}  {ratio:41.1f}   {ours:12.1%}, {our_columns:6.1%}"
                f"   {student:17.1%}, {student_columns:6.1%}   ({took:.0f} us a trial)"
            )
            shares.append(found)
        (ours, student), (our_columns, student_columns) = np.max(shares, axis=0)
        what = f"at {LEVEL:.0%}, {seeds} seeds, at the worst ratio, against Student's t over seeds"
        lines.append(Line(f"false alarms {what}", ours, student, "share", "ours <= 0.06"))
        rows = f"columns of {ROWS} rows with a false alarm {what}"
        lines.append(Line(rows, our_columns, student_columns, "share", "ours <= 0.08"))
    keep("significance", lines)


if __name__ == "__main__":
    main()
