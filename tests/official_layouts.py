"""Write the official folders that docs/paper_scale.md walks through, in miniature: a rehearsal without licensed data.

    python tests/official_layouts.py OUT

OUT gets VGGFace2, 300W_LP, BFM (the Basel Face Model of 2009), LFW, AFLW2000 and NoW, and under `datasets`,
`face_models` and `benchmarks` every other folder that the suite reads. Photos show drawn or rendered faces, scans are
spheres and sheets; names, structure and lists are the official ones.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from recface.data.benchmark import BenchmarkConfig, get_benchmark  # noqa: E402
from recface.face_model import get  # noqa: E402
from recface.files.cache import default_cache_dir  # noqa: E402
from tests.official import benchmarks, datasets, face_models  # noqa: E402

CANVAS, FACE = 250, 128
"""Pixels of a photo, as LFW has them, and of the rendered face in its middle."""
PEOPLE, EACH = 40, 4
"""Rendered people, and photos of each: as many as the miniature LFW has."""
SIZES = dict.fromkeys(BenchmarkConfig.__dataclass_fields__, 1) | {
    "image_size": FACE,
    "test_people": PEOPLE,
    "photos_each": EACH,
    "albedo_modes": 4,
}


class Portraits:
    """Photos of rendered people, in which a detector finds faces, and their 68 landmarks in pixels."""

    def __init__(self, cache: Path) -> None:
        benchmark = get_benchmark(get("makehuman", None, cache), BenchmarkConfig(**SIZES), cache)
        self.images, marks = benchmark.images("test"), benchmark.labels("test")["landmarks"]
        self.marks = (CANVAS - FACE) / 2 + (marks * [1, -1] + 1) / 2 * FACE

    def write(self, path: Path, number: int) -> np.ndarray:
        """Write a photo and return its landmarks, (68, 2)."""
        canvas = Image.new("RGB", (CANVAS, CANVAS), (96, 104, 112))
        canvas.paste(Image.fromarray(self.images[number].transpose(1, 2, 0)), ((CANVAS - FACE) // 2,) * 2)
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas.save(path, quality=95)
        return self.marks[number]


def write_trial(folder: Path, cache: Path) -> None:
    """The six folders of the walk-through."""
    portraits = Portraits(cache)
    datasets.write_vggface2(folder / "VGGFace2", people=4, each=4)
    datasets.write_300w_lp(folder / "300W_LP", each=3)
    face_models.write_bfm2009(folder / "BFM")
    write_lfw(folder / "LFW", portraits)
    write_aflw2000(folder / "AFLW2000", portraits)
    write_now(folder / "NoW", portraits)


def write_lfw(folder: Path, portraits: Portraits) -> None:
    """LFW's photos and lists."""
    benchmarks.write_lfw(folder)
    for number, photo in enumerate(sorted((folder / "lfw").glob("*/*.jpg"))):
        portraits.write(photo, number)


def write_aflw2000(folder: Path, portraits: Portraits) -> None:
    """AFLW2000-3D's photos and labels, and the arrays of 3DDFA's repository in `test.configs` and `test.data`."""
    benchmarks.write_aflw2000(folder)
    crops, marks = folder / "test.data" / "AFLW2000-3D_crop", []
    for number, crop in enumerate(sorted(crops.glob("*.jpg"))):
        marks.append(portraits.write(folder / crop.name, number) + 0.5)  # MATLAB counts from 1
        deep = np.concatenate([marks[-1].T, np.zeros((1, 68))])
        box = np.array([[*marks[-1].min(0), *marks[-1].max(0)]])
        labels = {"pt3d_68": deep, "pt2d": marks[-1][:21].T, "roi": box, "Pose_Para": np.zeros((1, 7))}
        savemat((folder / crop.name).with_suffix(".mat"), labels)
        crop.unlink()
    crops.rmdir()
    points = np.array(marks, np.float32).transpose(0, 2, 1)
    np.save(folder / "test.configs" / "AFLW2000-3D-Reannotated.pts68.npy", points)
    np.save(folder / "test.configs" / "AFLW2000-3D.pts68.npy", np.pad(points, [(0, 0), (0, 1), (0, 0)]))


def write_now(folder: Path, portraits: Portraits) -> None:
    """NoW's photos, both lists, scans and landmarks."""
    benchmarks.write_now(folder)
    release = folder / "NoW_Dataset" / "final_release_version"
    release.parent.mkdir()
    (folder / "final_release_version").rename(release)
    (folder / "imagepathstest.txt").write_text("FaMoS_180426_03337_TA/selfie/IMG_0001.jpg\n")
    names = [name for path in sorted(folder.glob("imagepaths*.txt")) for name in path.read_text().split()]
    for number, name in enumerate(names):
        portraits.write(release / "iphone_pictures" / name, EACH * number)


def write_all(folder: Path, cache: Path) -> None:
    """The walk-through's folders and all others."""
    write_trial(folder, cache)
    datasets.write_all(folder / "datasets")
    for name in ("bfm2017", "bfm2019", "deep3d", "flame2020", "flame2023", "surrey", "ict"):
        getattr(face_models, f"write_{name}")(folder / "face_models" / name)
    benchmarks.write_realy(folder / "benchmarks" / "REALY")
    benchmarks.write_realy_predictions(folder / "benchmarks" / "REALY-predicted")
    benchmarks.write_micc(folder / "benchmarks" / "MICC")
    benchmarks.write_bin(folder / "benchmarks" / "lfw.bin")
    benchmarks.write_now_predictions(folder / "predicted")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="new folder to write to")
    options = parser.parse_args()
    if options.out.exists() and any(options.out.iterdir()):
        raise SystemExit(f"official_layouts.py: {options.out} is not empty; give a new folder")
    write_all(options.out, default_cache_dir())
    print("\n".join(sorted(path.name for path in options.out.iterdir())))


if __name__ == "__main__":
    main()
