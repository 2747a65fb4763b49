"""Small inputs of kinds that users of such tools stumbled over: each gives its value, or one line that says why not.

They lie beside the project (RECFACE_CASES names another folder), as the real data does.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.fuzz.memory import forget_peak, memory

from recface.errors import RecfaceError
from recface.results.evaluate import evaluate

pytestmark = pytest.mark.data
CASES = Path(os.environ.get("RECFACE_CASES") or ROOT.parent / "shared" / "cases")
UNSAFE = ("pickle", "weights_only", "trust", "unsafe")
Case = Callable[[Path], object]


def message(action: Callable[[], object]) -> str:
    """The one line of a refusal."""
    with pytest.raises(RecfaceError) as caught:
        action()
    text = str(caught.value)
    assert len(text.splitlines()) == 1 and len(text) < 1000, text
    assert not any(word in text for word in UNSAFE), text
    return text


def refused(read: Callable[[Path], object], *words: str) -> Case:
    """A case whose file is refused, by its name and further words."""

    def case(path: Path) -> None:
        text = message(lambda: read(path))
        assert all(word in text for word in (path.name, *words)), text

    return case


def measured(protocol: str, predictions: str, data: str = "", **expected: float) -> Case:
    """A case of `recface evaluate`; `data` is the manifest, beside the case's file, where that is not the manifest."""

    def case(path: Path) -> None:
        report = evaluate(path.parent / predictions, protocol, path.parent / data if data else path)
        found = {name: round(report["values"][name], 4) for name in expected}
        assert found == pytest.approx(expected, abs=1e-9)

    return case


def mesh(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a mesh."""
    from recface.files.meshes import read_mesh

    return read_mesh(path)


def same_mesh(other: str) -> Case:
    """A case whose file holds the mesh of another one."""

    def case(path: Path) -> None:
        found, expected = mesh(path), mesh(path.parent / other)
        assert found[1] is not None and expected[1] is not None
        np.testing.assert_allclose(found[0], expected[0], atol=1e-4)  # binary ones have 32 bits
        np.testing.assert_array_equal(found[1], expected[1])

    return case


def vertices_of_rows(path: Path) -> None:
    """Vertices of an ASCII PLY are its rows after the header; whatever else it names is not looked for."""
    lines = path.read_text().splitlines()
    count = int(next(line.split()[2] for line in lines if line.startswith("element vertex")))
    begin = lines.index("end_header") + 1
    expected = [[float(word) for word in line.split()[:3]] for line in lines[begin : begin + count]]
    np.testing.assert_allclose(mesh(path)[0], expected, atol=1e-4)


def checkpoint(path: Path) -> object:
    """Read weights."""
    from recface.files.checkpoints import load_state

    return load_state(path)


def face_model(path: Path) -> object:
    """Read a face model."""
    from recface.face_model import load

    return load(path)


def big_endian_face(path: Path) -> None:
    """It is what NumPy reads, in this machine's byte order."""
    model = face_model(path)
    with np.load(path) as stored:
        assert not stored["mean"].dtype.isnative
        np.testing.assert_allclose(model.mean.numpy(), stored["mean"], rtol=1e-6)
        np.testing.assert_allclose(model.identity_sigma.numpy(), stored["identity_sigma"], rtol=1e-6)


def predictions(path: Path) -> object:
    """Read a method's predictions."""
    from recface.metrics.readers import read_predictions

    return read_predictions(path)


def pairs(path: Path) -> object:
    """Read a pair list."""
    from recface.metrics.readers.pairs import read_pairs

    return read_pairs(path)


def manifest(path: Path) -> object:
    """Read a manifest of identities."""
    from recface.metrics.protocols import BENCHMARKS
    from recface.metrics.readers import read_truth

    return read_truth(path, BENCHMARKS["clustering-parameters/v1"])


def people(path: Path) -> int:
    """Number of named people in a table of photographs."""
    return sources(path).num_identities


def sources(path: Path):
    """A table of photographs as a source of training data."""
    from recface.data.sources import manifest_source

    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return manifest_source(path, np.stack([np.cos(angles), np.sin(angles)], axis=1), 16)


def three_people(path: Path) -> None:
    """NA, null and None are names."""
    found = sources(path)
    assert found.num_identities == 3 and len(found) == 4
    assert [found.identity[0] == number for number in found.identity] == [True, True, False, False]


def two_people(path: Path) -> None:
    """Blanks in the header are no part of names."""
    found = sources(path)
    assert found.num_identities == 2 and found.extra["expression"].tolist() == ["neutral", "neutral"]


def photo(path: Path) -> None:
    """Refused, with the row of a table that names it, without starting a program."""
    import pandas as pd

    from recface.data.photos import load_photos
    from recface.files.images import read_image

    with pytest.MonkeyPatch.context() as patch:
        for name in ("subprocess.Popen", "os.system", "os.posix_spawn", "os.fork"):
            patch.setattr(name, lambda *_, **__: pytest.fail("a program was started"))
        assert path.name in message(lambda: read_image(path))
        table = pd.DataFrame({"file": [path.name]})
        text = message(lambda: load_photos(table, path.parent, np.zeros((68, 2)), 16, "photos", framed=True).images[:])
    assert "line 2" in text and path.name in text


def sweep_points(path: Path) -> list[dict[str, object]]:
    """Read a sweep as `--dry-run` does; the configuration that the command of each point composes."""
    from recface.settings.compose import compose_config
    from recface.settings.overrides import normalize_arguments
    from recface.settings.run_settings import config_mistakes
    from recface.sweeps.spec import dry_run, expand, grid_points
    from recface.sweeps.sweep_mistakes import checked_sweep

    sweep = checked_sweep(path)
    shown = [shlex.split(line) for line in dry_run(sweep)]
    assert shown == [expand(sweep, point.parameters) for point in grid_points(sweep)]
    found = []
    for point in grid_points(sweep):
        command = expand(sweep, point.parameters)
        arguments = command[command.index(sweep.program) + 1 :]
        config = compose_config(*normalize_arguments(arguments, {}), missing=True)
        assert not [key for key, _ in config_mistakes(config) if key in point.parameters]
        found.append(config)
    return found


def runs(key: str, *values: object) -> Case:
    """A sweep whose points have these values of a key, as a run sees them."""

    def case(path: Path) -> None:
        found = [_at(config, key) for config in sweep_points(path)]
        assert [(type(value), value) for value in found] == [(type(value), value) for value in values]

    return case


def runs_or_refused(key: str, *values: object) -> Case:
    """Either is right, as long as a dry run and a run agree."""

    def case(path: Path) -> None:
        try:
            runs(key, *values)(path)
        except RecfaceError:
            refused(sweep_points, "line ")(path)

    return case


def _at(config: dict, key: str) -> object:
    for part in key.split("."):
        config = config[part]
    return config


def grows(path: Path) -> None:
    """Refused in a second and in 200 MB."""
    before, begin = forget_peak(), time.process_time()
    refused(sweep_points, "line ")(path)
    assert time.process_time() - begin < 1
    assert memory("VmHWM") - before < 200e6


NOW, MICC, SAME = "now-scan-to-mesh/v1", "micc-deng-rmse/v1", "correspondence-similarity/v1"
NOW_VALUES = {"median": 0.7187, "mean": 0.7355}
SEAM = "meshes/texture_seam"
SWEEPS = "sweeps"

EXPECTED: dict[str, Case] = {
    f"{SEAM}/now/plai.csv": measured(NOW, "pred.npz", **NOW_VALUES),
    f"{SEAM}/now/seam.csv": measured(NOW, "pred.npz", **NOW_VALUES),
    f"{SEAM}/now/scan.csv": measured(NOW, "pred.npz", **NOW_VALUES),
    f"{SEAM}/now/micc_plai.csv": measured(MICC, "pred.npz", rmse=0.8549),
    f"{SEAM}/now/micc_seam.csv": measured(MICC, "pred.npz", rmse=0.8549),
    f"{SEAM}/now/plain.ply": same_mesh("scan.obj"),
    f"{SEAM}/now/seam.ply": same_mesh("plain.ply"),
    f"{SEAM}/truth/seam.ply": same_mesh("plain.ply"),
    f"{SEAM}/truth/textured.ply": same_mesh("plain.ply"),
    f"{SEAM}/truth/textured_shuffled.ply": vertices_of_rows,
    "meshes/order/same/a.obj": measured(NOW, ".", "../truth/manifest.csv", median=0.6349),
    "meshes/order/mixed/b.obj": refused(
        lambda path: evaluate(path.parent, NOW, path.parent.parent / "truth" / "manifest.csv"), "a.obj", "triangle"
    ),
    "meshes/continued_face.obj": same_mesh("plain.obj"),
    "meshes/continued_vertex.obj": same_mesh("plain.obj"),
    "meshes/mixed_binary.ply": same_mesh("mixed.ply"),
    "meshes/utf16.obj": refused(mesh, "UTF-16"),
    "meshes/upper.obj": refused(mesh, "capital"),
    "meshes/mesh_count_huge.ply": refused(mesh, "99,999,999,999"),
    "meshes/mesh_count_negative.ply": refused(mesh, "-5"),
    "meshes/mesh_texture.ply": vertices_of_rows,
    "tables/identity_named_NA/faces.csv": three_people,
    "tables/header_space/faces.csv": two_people,
    "tables/extra_cell/faces.csv": refused(people, "line 2", "140 cells under 139 columns"),
    "tables/manifest_dup_col.csv": refused(manifest, "id", "twice"),
    "tables/manifest_empty_cell.csv": refused(manifest, "line 26", "identity"),
    "tables/pairs_lfw_superscript.csv": refused(pairs, "line 1"),
    "tables/bigendian.npz": measured("pairs-10fold-cos/v1", "bigendian.npz", "plain.txt", accuracy=0.95),
    **{f"{SWEEPS}/sweep_{name}.yaml": grows
       for name in ("laughs", "merge_bomb", "self_alias", "deep", "int_huge", "range", "grid_product")},
    f"{SWEEPS}/boolean.yaml": runs("trainer.validate", True, False),
    f"{SWEEPS}/crlf.yaml": runs("seed", 0, 1),
    f"{SWEEPS}/epoch_zero.yaml": refused(sweep_points, "line 6", "trainer.epoch_steps", ">= 1", "0"),
    f"{SWEEPS}/exponent.yaml": runs_or_refused("loss.pixel", 1e-3, 1e-3, 1.0),
    f"{SWEEPS}/flags.yaml": runs_or_refused("trainer.validate", True, False),
    f"{SWEEPS}/json.yaml": runs_or_refused("seed", 0),
    f"{SWEEPS}/latin1.yaml": refused(sweep_points),
    f"{SWEEPS}/nested.yaml": refused(sweep_points, "line 7", "nests"),
    f"{SWEEPS}/none.yaml": runs_or_refused("model.end", None, "layer2"),
    f"{SWEEPS}/null.yaml": runs("model.end", None, "layer2"),
    f"{SWEEPS}/octal.yaml": runs("seed", 8, 9),
    f"{SWEEPS}/path_comma.yaml": runs("data.photos", "x,y"),
    f"{SWEEPS}/path_equals.yaml": runs("face_model.path", "runs/scans/ab/seed=0/sfm.npz"),
    f"{SWEEPS}/path_space.yaml": runs("data.photos", "with space"),
    f"{SWEEPS}/path_unicode.yaml": runs("data.photos", "José"),
    f"{SWEEPS}/tab.yaml": refused(sweep_points, "line 6"),
    f"{SWEEPS}/underscore.yaml": runs("scale.stage1_steps", 1000, 4),
    **{f"archives/checkpoint.{name}.training.py_27.pt": refused(checkpoint, "checkpoint")
       for name in ("EOFError", "IndexError", "RuntimeError", "UnicodeDecodeError", "UnpicklingError")},
    "archives/final_list.pt": refused(checkpoint, "dict"),
    "archives/face_big_endian.npz": big_endian_face,
    "archives/face_header_bomb.npz": refused(face_model, "npz"),
    "archives/face_header_broken.npz": refused(face_model, "npz"),
    "archives/face_name_slash.npz": refused(face_model, "name"),
    "archives/pred_hbroken.npz": refused(predictions, "npz"),
    "archives/pred_nomagic.npz": refused(predictions, "npz"),
    **{f"photos/{name}.png": photo for name in ("image_eps", "image_zero_bytes", "image_truncated_jpeg")},
}  # fmt: skip
COMPANIONS = ("*.md", "*.npy", "*.jpg", "*marks*.csv", "fw_*.csv", "mask.txt", "lower.txt", "plain.*", "pred.npz",
              "manifest.csv", "people.csv", "textured*.csv", "truth/seam.csv", "truth/?.obj", "pred/a.obj",
              "same/b.obj", "mixed/a.obj", "scan.obj", "mixed.ply")  # fmt: skip
"""Files that others are measured with."""


@pytest.fixture(scope="session")
def cases() -> Path:
    """Folder of the cases."""
    if not CASES.is_dir():
        pytest.skip(f"the folder of cases is absent ({CASES}); RECFACE_CASES names another")
    return CASES


@pytest.mark.parametrize("name", EXPECTED)
def test_a_case_gives_its_value_or_one_line(cases, name) -> None:
    EXPECTED[name](cases / name)


def test_every_file_has_its_case(cases) -> None:
    files = [path for path in cases.rglob("*") if path.is_file()]
    alone = [path for path in files if not any(path.match(pattern) for pattern in COMPANIONS)]
    assert {str(path.relative_to(cases)) for path in alone} <= set(EXPECTED)
    assert all((cases / name).is_file() for name in EXPECTED)


@pytest.mark.parametrize("name", ["plain", "seam", "textured", "textured_shuffled"])
def test_registered_shapes_keep_their_order_of_vertices(cases, name) -> None:
    """The prediction is the very shape: any other order of its vertices shows."""
    values = evaluate(cases / SEAM / "pred", SAME, cases / SEAM / "truth" / f"{name}.csv")["values"]
    assert values["mean"] == pytest.approx(0, abs=1e-4)
