"""AFLW2000-3D from 3DDFA's arrays, against the loop of its code."""

from math import sqrt

import numpy as np
import pytest
from tests.official.benchmarks import write_aflw2000

from recface.errors import RecfaceError
from recface.metrics.layouts import LAYOUTS
from recface.metrics.protocols import BENCHMARKS
from recface.results.evaluate import evaluate

PIXEL = 0.5
OF_21 = [[18], [20], [22], [23], [25], [27], [37], list(range(37, 43)), [40], [43], list(range(43, 49)), [46], [3]]
OF_21 += [[32], [31], [36], [15], [49], list(range(61, 69)), [55], [9]]  # from 1, as 3DDFA's code counts


@pytest.fixture(scope="module")
def aflw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aflw")
    write_aflw2000(folder / "3DDFA")
    return folder


def errors(configs, predicted: np.ndarray, name: str, points: int) -> list[float]:
    """NME of each photo as 3DDFA's code computes it."""
    true68, found = np.load(configs / f"{name}.npy").astype(np.float64), []
    true21 = np.load(configs / "AFLW2000-3D.pts21.npy")
    for row, fit in enumerate(predicted):
        box = true68[row]
        length = sqrt((box[0].max() - box[0].min()) * (box[1].max() - box[1].min()))
        if points == 68:
            offsets = fit - box[:2]
        else:
            few = np.stack([fit[:, [i - 1 for i in of]].mean(1) for of in OF_21], 1)
            valid = (true21[row][0] != -1) & (true21[row][1] != -1)
            offsets = few[:, valid] - true21[row][:2, valid]
        found.append(100 * np.mean(np.sqrt((offsets**2).sum(0))) / length)
    return found


@pytest.mark.parametrize("yaw", ["pose", "new-pose"])
@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("68-original", "AFLW2000-3D.pts68"),
        ("68-reannotated", "AFLW2000-3D-Reannotated.pts68"),
        ("21-original", "AFLW2000-3D.pts68"),
    ],
)
def test_against_3ddfa_s_loop(aflw, tmp_path, kind, file, yaw) -> None:
    configs, random = aflw / "3DDFA" / "test.configs", np.random.default_rng(1)
    predicted = np.load(configs / "AFLW2000-3D.pts68.npy")[:, :2] + random.normal(size=(24, 2, 68)) * 6
    ids = [f"crops/image{2 * row:05d}" for row in range(1, 25)]
    landmarks = predicted.transpose(0, 2, 1) - PIXEL  # the arrays count from the first pixel's center as 1
    np.savez(tmp_path / "p.npz", ids=ids[::-1], landmarks=landmarks[::-1])
    found = evaluate(tmp_path / "p.npz", f"aflw2000-nme-{kind}-{yaw}/v2", aflw / "3DDFA", layout="aflw2000")["values"]
    nme = np.array(errors(configs, predicted, file, int(kind[:2])))
    angle = np.abs(np.load(configs / f"AFLW2000-3D{'' if yaw == 'pose' else '-new'}.pose.npy"))
    bins = [nme[angle <= 30].mean(), nme[(angle > 30) & (angle <= 60)].mean(), nme[angle > 60].mean()]
    names = ("nme_0_30", "nme_30_60", "nme_60_90")
    expected = dict(zip(names, bins, strict=True)) | {"nme": nme.mean(), "nme_balanced": np.mean(bins)}
    assert found == pytest.approx(expected | {"beyond_90": int((angle > 90).sum())}, rel=1e-5)
    assert found["beyond_90"] >= 1 and angle.max() > 100  # else an upper end would not be missed


def test_v1_leaves_out_what_v2_counts(aflw) -> None:
    truth = LAYOUTS["aflw2000"].read(aflw / "3DDFA", BENCHMARKS["aflw2000-nme-68-original-pose/v2"], [])
    assert "aflw2000-nme-reannotated/v1" not in LAYOUTS["aflw2000"].protocols
    assert type(BENCHMARKS["aflw2000-nme/v1"]).__doc__.startswith("Outdated")
    assert truth.table["id"].tolist()[:2] == ["image00002", "image00004"]
    assert truth.table["yaw"].tolist()[3] == pytest.approx(-351.23)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "test.data" / "AFLW2000-3D_crop.list").unlink(), "no AFLW2000-3D_crop.list; .*zip"),
        (
            lambda folder: (folder / "test.configs" / "AFLW2000-3D.pose.npy").unlink(),
            "no AFLW2000-3D.pose.npy; the arrays",
        ),
        (
            lambda folder: np.save(folder / "test.configs" / "AFLW2000-3D.pts68.npy", np.zeros((24, 3, 21))),
            r"float64 \(24, 3, 21\), expected numbers \(24, 2, 68\)",
        ),
        (
            lambda folder: np.save(folder / "test.configs" / "AFLW2000-3D.pose.npy", np.zeros((24, 3))),
            r"float64 \(24, 3\), expected numbers \(24,\); the arrays are test.configs",
        ),
        (
            lambda folder: (folder / "test.data" / "AFLW2000-3D_crop.list").write_text("../x.jpg\n"),
            "line 1: '../x.jpg' leads out of the folder",
        ),
    ],
)
def test_what_is_missing_is_one_line(tmp_path, change, said) -> None:
    write_aflw2000(tmp_path)
    change(tmp_path)
    with pytest.raises(RecfaceError, match=said) as caught:
        LAYOUTS["aflw2000"].read(tmp_path, BENCHMARKS["aflw2000-nme-68-original-pose/v2"], [])
    assert "\n" not in str(caught.value)
