import numpy as np
import torch
from PIL import Image

from recface.data.benchmark.scene import CONDITIONS, named_conditions
from recface.data.workbench import open_workbench
from recface.figures.comparison_page import (
    CAPTION,
    TILE,
    choose_pairs,
    distance_colors,
    draw_comparison_page,
)
from recface.render import euler_to_matrix


def test_photos_are_chosen_by_rule(benchmark):
    labels = benchmark.labels("test")
    conditions = named_conditions(labels)
    pairs = choose_pairs(conditions, labels["identity"], 1)
    assert pairs and len({labels["identity"][plain] for _, plain, _ in pairs}) == len(pairs)
    for condition, plain, under in pairs:
        assert labels["identity"][plain] == labels["identity"][under]
        assert conditions["plain"][plain] and [n for n in CONDITIONS if conditions[n][under]] == [condition]


def test_a_moved_copy_is_no_distance_and_a_bump_is_its_own(face_model):
    shape, mask = face_model.mean, face_model.face_mask
    moved = 1.1 * shape @ euler_to_matrix(torch.tensor([[0.1, 0.2, 0.3]]))[0].T + 5
    dark, mean = distance_colors(shape, moved, mask)
    assert mean < 1e-3 and dark[mask].sum(1).max() < 0.1 and (dark[~mask] == 0.8).all()
    bumped, vertex = shape.clone(), int(mask.nonzero()[7])
    bumped[vertex, 2] += 20
    assert int(distance_colors(shape, bumped, mask)[0].sum(1).where(mask, torch.tensor(-1.0)).argmax()) == vertex


def test_the_page_shows_every_method(smoke_config, cache_dir, benchmark, tmp_path):
    bench = open_workbench(smoke_config | {"paths": {"cache": str(cache_dir), "runs": str(tmp_path)}})
    count, modes = len(benchmark.labels("test")["identity"]), bench.face_model.num_identity
    methods = {"eos": np.ones((count, modes - 1), np.float32)}  # fewer modes than the model
    pairs = draw_comparison_page(bench, methods, tmp_path / "page.png", people=1)
    page = Image.open(tmp_path / "page.png").convert("RGB")
    assert page.size == (5 * TILE + 84, CAPTION + TILE * len(pairs))
    tiles = np.asarray(page)[CAPTION:, 84:].reshape(len(pairs), TILE, 5, TILE, 3).std(axis=(1, 3, 4))
    assert (tiles > 10).all()  # nothing is left empty
