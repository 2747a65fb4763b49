"""How often the tables' bootstrap calls a difference of zero significant, and what a draw costs.

A simulated difference of seed s on person p is seed_s + person_p + noise. People are 150 as in the embedded benchmark,
p values are taken before Holm's correction. Run: python benchmarks/bench_bootstrap.py
"""

from __future__ import annotations

import time

import numpy as np

from recface.results.significance import LEVEL, bootstrap_p, paired_t_p
from recface.results.statistics import draw_weights, grouped_mean, over_seeds

PEOPLE, TRIALS, REPLICATES = 150, 1000, 2000
PERSON = 1.0  # standard deviation of a person's difference; its mean over people scatters by PERSON / sqrt(PEOPLE)


def false_alarms(seeds: int, seed_scatter: float) -> tuple[float, float]:
    """Shares of trials of a true null that the bootstrap over seeds and people, and Student's t over seeds, reject.

    Args:
        seeds: Number of seeds.
        seed_scatter: Standard deviation of a seed's difference, as a multiple of that of the mean over people.
    """
    rng, groups = np.random.default_rng(seeds), np.arange(PEOPLE)
    weights, chosen = draw_weights(PEOPLE, REPLICATES, 0), draw_weights(seeds, REPLICATES, 1)
    rejected = np.zeros(2)
    for _ in range(TRIALS):
        shared, noise = PERSON * rng.normal(size=PEOPLE), PERSON * rng.normal(size=(seeds, PEOPLE))
        own = seed_scatter * PERSON / PEOPLE**0.5 * rng.normal(size=(seeds, 1))
        values = own + shared + noise
        replicates = over_seeds(np.stack([grouped_mean(row, groups, weights) for row in values]), chosen)
        rejected += [bootstrap_p(replicates) < LEVEL, paired_t_p(values.mean(axis=1)) < LEVEL]
    return tuple(rejected / TRIALS)


def main() -> None:
    print(f"Rejections of a true null at {LEVEL:.0%}, {TRIALS} trials, {PEOPLE} people, {REPLICATES} replicates")
    print("seeds  scatter of seeds / of the mean over people   bootstrap  Student's t over seeds")
    for seeds in (3, 5, 10):
        for scatter in (0.0, 0.5, 1.0, 2.0, 10.0):
            begin = time.perf_counter()
            ours, student = false_alarms(seeds, scatter)
            took = 1e3 * (time.perf_counter() - begin) / TRIALS
            print(f"{seeds:5d}  {scatter:42.1f}   {ours:9.1%}  {student:9.1%}   ({took:.1f} ms a trial)")


if __name__ == "__main__":
    main()
