"""Faces side by side as the page holds them; what draws them is imported only where there is something to draw.

After SIR's comparison (methods.md, "SIR" [A]): light, expression, large pose and occlusion; geometry from shape
parameters alone; maps of the Euclidean distance between two shapes, all on one scale in mm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recface.errors import RecfaceError
from recface.files.cache import default_cache_dir
from recface.files.json_files import read_json
from recface.results.records import Entry

SHAPE, TRUTH, BETWEEN = "shape", "truth", "between"
KINDS = {SHAPE: "neutral shapes", TRUTH: "distance to the true shape", BETWEEN: "distance to the first photo's shape"}


@dataclass(frozen=True)
class Tile:
    """A picture in the page."""

    source: str  # data URI
    text: str  # what it shows, for those who cannot see it
    note: str = ""  # caption


@dataclass
class Person:
    """One person: a photo for each column, and each method's pictures of it by kind."""

    name: str
    photos: list[Tile]
    truth: Tile | None = None
    methods: dict[str, list[dict[str, Tile]]] = field(default_factory=dict)
    meshes: dict[str, Any] = field(default_factory=dict)
    """ "truth" and each method's shapes, one for each photo, as base64 of int16 in `step_mm`; aligned to the truth."""


@dataclass
class Comparison:
    """A table of pictures, or, without people, the reason why there is none."""

    title: str
    columns: list[str] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    triangles: str = ""
    region: str = ""
    step_mm: float = 0.0  # of the meshes' whole numbers
    full_mm: float = 0.0  # distance at the bright end of the maps

    @property
    def kinds(self) -> dict[str, str]:
        """Kinds of pictures that it has, with their names."""
        true = any(person.truth for person in self.people)
        return {kind: name for kind, name in KINDS.items() if true or kind != TRUTH}


def rendered_comparison(title: str, methods: Mapping[str, Entry], people: int = 3) -> Comparison:
    """People of the embedded benchmark, whose photos must be in the cache: nothing is generated for a page.

    Args:
        title: Heading.
        methods: Name to its run; all of one benchmark.
        people: The most people that are shown.
    """
    folder = find_benchmark(next(iter(methods.values())).record.data_manifest)
    if folder is None:
        return Comparison(title, notes=["The benchmark's photos are not in the cache of this machine: no pictures."])
    from recface.report.faces import draw_rendered

    return draw_rendered(title, folder, methods, people)


def real_comparison(title: str, methods: Mapping[str, Entry], people: int = 3) -> Comparison:
    """Photographs of real people, neutral against another expression, where the folder of the runs is found."""
    folder = next(iter(methods.values())).record.config.get("data", {}).get("photos")
    if not folder or not Path(folder).is_dir():
        return Comparison(title, notes=[f"The photographs are not here ({folder or 'the runs name no folder'})."])
    from recface.report.faces import draw_real

    return draw_real(title, Path(folder), methods, people)


def find_benchmark(manifest: str | None, cache: Path | None = None) -> Path | None:
    """The folder of the benchmark of a hash in the cache; None where it is not there."""
    for path in sorted(((cache or default_cache_dir()) / "benchmark").glob("*/meta.json")):
        try:
            if (
                manifest
                and read_json(path).get("manifest_hash") == manifest
                and path.with_name("albedo_model.pt").is_file()
            ):
                return path.parent
        except RecfaceError:
            continue
    return None


def mesh_data(comparisons: Iterable[Comparison]) -> dict[str, Any]:
    """Meshes of the first comparison that has them, for the viewer; {} where none has."""
    for comparison in comparisons:
        people = [person for person in comparison.people if len(person.meshes) > 1]
        if people:
            return {
                "step": comparison.step_mm,
                "full": comparison.full_mm,
                "triangles": comparison.triangles,
                "region": comparison.region,
                "photos": comparison.columns,
                "people": [{"name": person.name, "meshes": person.meshes} for person in people],
            }
    return {}
