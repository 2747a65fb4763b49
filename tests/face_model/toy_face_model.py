"""A small symmetric face-like model with random modes, in the schema of the real ones."""

import numpy as np

FLIP = np.array([-1.0, 1.0, 1.0])


def toy_arrays(pairs: int = 60, modes: int = 5, expressions: int = 3, seed: int = 0) -> dict[str, object]:
    """Arrays of a valid model: ``pairs`` mirrored vertex pairs, then 20 vertices on the midline."""
    rng = np.random.default_rng(seed)
    right = rng.uniform(5, 60, (pairs, 3)) * FLIP
    middle = rng.uniform(-50, 50, (20, 3)) * (0.0, 1.0, 1.0)
    mean = np.concatenate([right, right * FLIP, middle])
    count = len(mean)
    mirror = np.concatenate([np.arange(pairs) + pairs, np.arange(pairs), np.arange(2 * pairs, count)])
    return {
        "mean": mean,
        "triangles": rng.permuted(np.tile(np.arange(count), (40, 1)), axis=1)[:, :3],
        "identity_basis": np.linalg.qr(rng.normal(size=(3 * count, modes)))[0],
        "identity_sigma": np.sort(rng.uniform(1, 40, modes))[::-1].copy(),
        "expression_basis": rng.normal(size=(3 * count, expressions)),
        "expression_names": [f"unit{k}" for k in range(expressions)],
        "landmarks68": rng.choice(count, 68, replace=False),
        "mirror": mirror,
        "face_mask": rng.random(count) < 0.5,
        "name": "toy",
        "source": "random numbers",
        "licence": "none needed",
    }
